"""How one sorted text differs from another: lines taken away and lines added, in the order of both.

    # protective-dns lines 1
    -a line of the text before
    +a line of the text after

Lines of a text are in bytewise order, each but once, and end with LF. Both directions go through the files once, side by side.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from pdns.errors import PdnsError

HEAD: Final = b"# protective-dns lines 1\n"
MAX_LINE_BYTES: Final = 2 * 1024 * 1024
_CHUNK_BYTES: Final = 256 * 1024
_BUFFER_LINES: Final = 4096


class BadDiff(PdnsError):
    """A difference that is not one, or not one of this text."""


class DiffSummary(NamedTuple):
    """How many lines are different."""

    removed: int
    added: int


class Applied(NamedTuple):
    """A text that was written."""

    sha256: str
    size_bytes: int


def make(before: BinaryIO, after: BinaryIO, out: BinaryIO) -> DiffSummary:
    """Write to `out` how the text `after` differs from the text `before`. Raises `OSError`."""
    removed = added = 0
    lines = [HEAD]
    old, new = before.readline(), after.readline()
    while old or new:
        if old == new:
            old, new = before.readline(), after.readline()
            continue
        if not new or (old and old < new):
            removed += 1
            lines.append(b"-" + old)
            old = before.readline()
        else:
            added += 1
            lines.append(b"+" + new)
            new = after.readline()
        if len(lines) >= _BUFFER_LINES:
            out.write(b"".join(lines))
            lines.clear()
    out.write(b"".join(lines))
    return DiffSummary(removed, added)


def apply(before: BinaryIO, difference: BinaryIO, out: BinaryIO, most_bytes: int) -> Applied:
    """Write to `out` what `difference` makes of the text `before`: at most `most_bytes`.

    Raises `BadDiff`, `OSError`, and whatever reading `difference` raises. What was written until then is of no use.
    """
    writer = _TextWriter(out, most_bytes)
    chunks = _chunks(before)
    lines, at = next(chunks, []), 0
    for sign, line in _operations(difference):
        while lines and lines[-1] < line:
            writer.put(lines[at:])
            lines, at = next(chunks, []), 0
        end = bisect_left(lines, line, at)
        writer.put(lines[at:end])
        at = end
        has_it = at < len(lines) and lines[at] == line
        if has_it != (sign == b"-"):
            raise BadDiff("not a difference to this text")
        if has_it:
            at += 1
        else:
            writer.put([line])
    while lines:
        writer.put(lines[at:])
        lines, at = next(chunks, []), 0
    return writer.end()


def _operations(difference: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    if difference.readline(len(HEAD)) != HEAD:
        raise BadDiff("not a difference, or of another version")
    last = b""
    while whole := difference.readline(MAX_LINE_BYTES):
        sign, line = whole[:1], whole[1:]
        if sign not in (b"-", b"+") or not line.endswith(b"\n") or line <= last:
            raise BadDiff("a difference that is damaged")
        last = line
        yield sign, line


def _chunks(file: BinaryIO) -> Iterator[list[bytes]]:
    while lines := file.readlines(_CHUNK_BYTES):
        yield lines


class _TextWriter:
    def __init__(self, out: BinaryIO, most_bytes: int) -> None:
        self._out, self._most_bytes = out, most_bytes
        self._digest = hashlib.sha256()
        self._size_bytes = 0
        self._lines: list[bytes] = []

    def put(self, lines: list[bytes]) -> None:
        self._lines += lines
        if len(self._lines) >= _BUFFER_LINES:
            self._flush()

    def end(self) -> Applied:
        self._flush()
        return Applied(self._digest.hexdigest(), self._size_bytes)

    def _flush(self) -> None:
        data = b"".join(self._lines)
        self._lines.clear()
        self._size_bytes += len(data)
        if self._size_bytes > self._most_bytes:
            raise BadDiff(f"it makes a text of more than {self._most_bytes:,} bytes")
        self._digest.update(data)
        self._out.write(data)
