"""A JSON document that is one long array, a member on each line: it grows and shrinks without being read whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from feeds.fetch.candidate import Candidate


class MemberWriter:
    """Writes `head`, members, `tail`. The head ends in `[`, the tail begins with `]`."""

    def __init__(self, candidate: Candidate, head: bytes, tail: bytes) -> None:
        self._candidate = candidate
        self._tail = tail
        self._begun = False
        candidate.write(head + b"\n")

    def write(self, member: bytes) -> None:
        """Append a member, which is on one line."""
        self._candidate.write(b",\n" + member if self._begun else member)
        self._begun = True

    def finish(self) -> None:
        self._candidate.write(b"\n" * self._begun + self._tail + b"\n")


def one_line(member: bytes | msgspec.Raw) -> bytes:
    """JSON without a line break, and without other space. Raises `msgspec.DecodeError`."""
    return msgspec.json.format(bytes(member), indent=-1)


def members_of(path: Path) -> Iterator[bytes]:
    """What a `MemberWriter` wrote to `path`. Blocks. Raises `OSError`, and `msgspec.DecodeError` when some is missing."""
    with path.open("rb") as file:
        next(file, None)
        for line in file:
            if line.startswith(b"]"):
                return
            yield line.rstrip(b",\n")
    raise msgspec.DecodeError("cut short")
