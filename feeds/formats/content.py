"""The content of a list: a sample to tell its format by, and then all of it, as lines or whole."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Final

from feeds.containers import is_packed, unpacked
from feeds.formats.collector import Collector
from feeds.normalise import Reason
from pdns.config.schema import Feed
from pdns.wire.names import MAX_NAME_BYTES

MAX_LINE_BYTES: Final = 4096
_SAMPLE_BYTES: Final = 256 * 1024
_STRETCH_BYTES: Final = 4096
_BOM = b"\xef\xbb\xbf"
_WIDE: Final = ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class Content:
    """What is in `file`, unpacked. Its methods raise `FeedError` when it is damaged or too large, and `OSError`."""

    def __init__(self, file: BinaryIO, feed: Feed) -> None:
        self.feed = feed
        self._file = file
        self.size_bytes = 0  # unpacked, of what was read at most at one go
        self._wide = False  # UTF-16 or UTF-32, as its byte order mark says
        self.head = self._head()
        self.sample = self._sample()

    def lines(self, out: Collector, max_bytes: int = MAX_LINE_BYTES) -> Iterator[bytes]:
        """Each line without its end, set as the line of `out`. Lines that are too long or not text are counted instead."""
        for block in _whole_blocks(self._chunks(), max_bytes):
            yield from _usable_lines(block.splitlines(), max_bytes, out)

    def lines_but(self, plain: Callable[[bytes], list[bytes]], out: Collector) -> Iterator[bytes]:
        """As `lines`, without empty lines. Where every line of a stretch is a name, `out` gets all of them at once instead.

        `plain` finds the names, one for each such line that ends in LF, in a stretch in lower case.
        """
        for block in _whole_blocks(self._chunks(), MAX_LINE_BYTES):
            start = 0
            while start < len(block):
                end = block.find(b"\n", start + _STRETCH_BYTES) + 1 or len(block)
                stretch = block[start:end]
                start = end
                names = plain(stretch.lower())
                if len(names) == stretch.count(b"\n") and stretch.endswith(b"\n") and max(map(len, names)) <= MAX_NAME_BYTES - 2:
                    out.line_number += len(names)
                    out.add_plain(names)
                else:
                    yield from filter(None, _usable_lines(stretch.splitlines(), MAX_LINE_BYTES, out))

    def contains(self, word: bytes) -> bool:
        """Whether `word` is in it, in lower case."""
        end = b""
        for piece in self._chunks():
            if word in end + piece:
                return True
            end = piece[-len(word) :]
        return False

    def body(self) -> bytes:
        """All of it, at most `feed.max_bytes`."""
        return b"".join(self._chunks())

    def _head(self) -> bytes:
        head = bytearray()
        for piece in self._chunks():
            head += piece
            if len(head) >= _SAMPLE_BYTES:
                break
        return bytes(head[:_SAMPLE_BYTES])

    def _sample(self) -> bytes:
        """The beginning of the list and, of a longer one, its end: some lists have the lines that tell the format last."""
        if self._wide or is_packed(self._file) or self._file.seek(0, os.SEEK_END) <= 2 * _SAMPLE_BYTES:
            return self.head
        self._file.seek(-_SAMPLE_BYTES, os.SEEK_END)
        return self.head.rpartition(b"\n")[0] + b"\n" + self._file.read().partition(b"\n")[2]

    def _chunks(self) -> Iterator[bytes]:
        """All of it, as UTF-8, without a byte order mark."""
        begun, decoder = False, None
        read_bytes = 0
        for piece in unpacked(self._file, self.feed):
            if not piece:
                continue
            read_bytes += len(piece)
            self.size_bytes = max(self.size_bytes, read_bytes)
            data = piece
            if not begun:
                begun = True
                mark, encoding = next((wide for wide in _WIDE if piece.startswith(wide[0])), (_BOM, ""))
                data = piece.removeprefix(mark)
                if encoding:
                    self._wide, decoder = True, codecs.getincrementaldecoder(encoding)("replace")
            if decoder is not None:
                data = decoder.decode(data).encode("utf-8", "replace")
            yield data
        if decoder is not None:
            yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _usable_lines(lines: list[bytes], max_bytes: int, out: Collector) -> Iterator[bytes]:
    for line in lines:
        out.line_number += 1
        out.line = line
        if len(line) > max_bytes:
            out.refuse(Reason.LINE_TOO_LONG)
        elif b"\0" in line:
            out.refuse(Reason.NOT_TEXT)
        else:
            yield line


def _whole_blocks(chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """The lines, ended by LF, CRLF or CR, that each chunk completes. A line over the limit is cut, but not to within it."""
    held = b""
    for chunk in chunks:
        data = held + chunk
        end = max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1  # a CR at the very end may be half of a CRLF
        yield data[:end]
        held = data[end:]
        if len(held) > max_bytes:
            held = held[: max_bytes + 1]
    yield held
