"""Zip archives (APPNOTE 6.3.9), read with bounds: stored and deflated members; no size that the archive states is believed."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator
from struct import Struct
from typing import BinaryIO, Final, NamedTuple

from feeds.fetch.inflate import PIECE_BYTES, InflateError

MAX_MEMBERS: Final = 64  # files in one zip
END_MAGIC: Final = b"PK\x05\x06"
MEMBER_MAGIC: Final = b"PK\x03\x04"
_ENTRY_MAGIC, _ZIP64_LOCATOR = b"PK\x01\x02", b"PK\x06\x07"
_MAX_DIRECTORY_BYTES: Final = 256 * 1024  # enough for so many members with names of any length that occurs
_MAX_COMMENT_BYTES: Final = 65535
_LOCATOR_BYTES: Final = 20
_END = Struct("<4sHHHHIIH")
_ENTRY = Struct("<4sHHHHHHIIIHHHHHII")
_HEADER = Struct("<4sHHHHHIIIHH")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1  # bit of the flags
_UNIX = 3  # made on
_IN_ZIP64 = 0xFFFFFFFF


class _Member(NamedTuple):
    """A file, as the directory describes it."""

    method: int
    checksum: int
    packed_bytes: int
    size_bytes: int
    header_at: int


def unzipped(file: BinaryIO) -> Iterator[bytes]:
    """The content of each file of the archive in turn, each on lines of its own, in bounded pieces.

    Raises `InflateError`: also for members that overlap, and for one that unpacks to something else than the directory states.
    """
    directory_at, directory = _directory(file)
    members = list(_members(directory))
    if not members:
        raise InflateError("a zip without a file in it")
    if len(members) > MAX_MEMBERS:
        raise InflateError(f"a zip of {len(members):,} files: at most {MAX_MEMBERS} are read")
    begins = [_data_at(file, member) for member in members]
    free_at = 0
    for begin, member in sorted(zip(begins, members, strict=True)):
        if begin < free_at or begin + member.packed_bytes > directory_at:
            raise _damaged("its files overlap")
        free_at = begin + member.packed_bytes
    for begin, member in zip(begins, members, strict=True):
        last = b"\n"
        for last in _content(file, begin, member):
            yield last
        if not last.endswith(b"\n"):
            yield b"\n"


def _directory(file: BinaryIO) -> tuple[int, bytes]:
    """Where the directory of the archive is, and its content."""
    file_bytes = file.seek(0, os.SEEK_END)
    tail_at = file.seek(max(0, file_bytes - _END.size - _MAX_COMMENT_BYTES - _LOCATOR_BYTES))
    tail = file.read()
    end = tail.rfind(END_MAGIC)
    if end < 0 or len(tail) < end + _END.size:
        raise InflateError("the packed list ends in the middle")
    size_bytes, directory_at = _END.unpack_from(tail, end)[5:7]
    if size_bytes > _MAX_DIRECTORY_BYTES or tail[max(0, end - _LOCATOR_BYTES) : end].startswith(_ZIP64_LOCATOR):
        raise InflateError(f"a zip of too many files: at most {MAX_MEMBERS} are read")
    if directory_at + size_bytes > tail_at + end:
        raise _damaged("its directory is not where it should be")
    file.seek(directory_at)
    return directory_at, file.read(size_bytes)


def _members(directory: bytes) -> Iterator[_Member]:
    """The regular files."""
    at = 0
    while at < len(directory):
        if len(directory) - at < _ENTRY.size:
            raise _damaged("its directory is cut short")
        (
            magic, made_by, _, flags, method, _, _, checksum, packed_bytes, size_bytes, name_bytes, extra_bytes, comment_bytes,
            _, _, attributes, header_at,
        ) = _ENTRY.unpack_from(directory, at)  # fmt: skip
        if magic != _ENTRY_MAGIC:
            raise _damaged("its directory has something else in it")
        at += _ENTRY.size
        name = directory[at : at + name_bytes]
        at += name_bytes + extra_bytes + comment_bytes
        kind = stat.S_IFMT(attributes >> 16) if made_by >> 8 == _UNIX else 0
        if name.endswith(b"/") or kind not in (0, stat.S_IFREG):
            continue
        if flags & _ENCRYPTED:
            raise InflateError("a zip with a password: unpack it first")
        if method not in (_STORED, _DEFLATED):
            raise InflateError(f"a file in the zip is packed with method {method}: only deflate and none at all are read")
        if _IN_ZIP64 in (packed_bytes, size_bytes, header_at):
            raise InflateError("a file in the zip has more than 4 GiB")
        yield _Member(method, checksum, packed_bytes, size_bytes, header_at)


def _data_at(file: BinaryIO, member: _Member) -> int:
    file.seek(member.header_at)
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(MEMBER_MAGIC):
        raise _damaged("a file is not where its directory says")
    name_bytes, extra_bytes = _HEADER.unpack(header)[-2:]
    return int(member.header_at + _HEADER.size + name_bytes + extra_bytes)


def _content(file: BinaryIO, begin: int, member: _Member) -> Iterator[bytes]:
    """What one file holds, in pieces that are not empty."""
    checksum = size_bytes = 0
    for piece in _stored(file, begin, member) if member.method == _STORED else _inflated(file, begin, member):
        checksum = zlib.crc32(piece, checksum)
        size_bytes += len(piece)
        if size_bytes > member.size_bytes:
            break
        yield piece
    if size_bytes != member.size_bytes or checksum != member.checksum:
        raise _damaged("a file is not what its directory says")


def _stored(file: BinaryIO, begin: int, member: _Member) -> Iterator[bytes]:
    file.seek(begin)
    left = member.packed_bytes
    while left and (piece := file.read(min(left, PIECE_BYTES))):
        left -= len(piece)
        yield piece


def _inflated(file: BinaryIO, begin: int, member: _Member) -> Iterator[bytes]:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    left, data = member.packed_bytes, b""
    while not engine.eof:
        if not data:
            file.seek(begin + member.packed_bytes - left)
            data = file.read(min(left, PIECE_BYTES))
            left -= len(data)
        try:
            piece = engine.decompress(data, PIECE_BYTES)
        except zlib.error as exc:
            raise _damaged(str(exc)) from None
        if not piece and not data:
            break  # it ends in the middle
        data = engine.unconsumed_tail
        if piece:
            yield piece
    if not engine.eof or engine.unused_data or left:
        raise _damaged("a file does not end where its directory says")


def _damaged(what: str) -> InflateError:
    return InflateError(f"the packed list is damaged ({what})")
