"""The files of a directory in one file, which is the copy of a feed: its own form, read and written by this program alone.

pack      the magic, then the files
file      u16 bytes of name, u64 bytes of content, the name, the content
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from struct import Struct
from typing import BinaryIO, Final, NamedTuple

MAGIC: Final = b"pdns files 1\n"
MAX_FILES: Final = 20_000  # in one directory
_HEADER = Struct("<HQ")


class DamagedPack(ValueError):
    """Not what was written. `str()` is the reason."""


class PackedFile(NamedTuple):
    """Where the content of a file is."""

    name: str
    begin: int
    size_bytes: int


def header(name: str, size_bytes: int) -> bytes:
    """What stands before the content of a file."""
    encoded = os.fsencode(name)
    return _HEADER.pack(len(encoded), size_bytes) + encoded


def packed_files(pack: BinaryIO) -> Iterator[PackedFile]:
    """The files, in the order in which they were written; `pack` may be read and moved meanwhile.

    Raises `DamagedPack`: also for more than `MAX_FILES` of them, and for one that would reach past the end.
    """
    end = pack.seek(0, os.SEEK_END)
    pack.seek(0)
    if pack.read(len(MAGIC)) != MAGIC:
        raise DamagedPack("it does not begin as one")
    at = len(MAGIC)
    for _ in range(MAX_FILES):
        if at == end:
            return
        pack.seek(at)
        head = pack.read(_HEADER.size)
        if len(head) < _HEADER.size:
            raise DamagedPack("it is cut short")
        name_bytes, size_bytes = _HEADER.unpack(head)
        name = os.fsdecode(pack.read(name_bytes))
        begin = at + _HEADER.size + name_bytes
        at = begin + size_bytes
        if at > end:
            raise DamagedPack("it is cut short")
        yield PackedFile(name, begin, size_bytes)
    if at != end:
        raise DamagedPack(f"it has more than {MAX_FILES:,} files")
