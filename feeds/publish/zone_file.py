"""A policy zone on the disk: a head, blocks of records in the order of the zone, a tail.

    frame   u32 length, u32 records, u32 CRC-32, then so many bytes: records, or the JSON of head (first) and tail (last)

Where a block ends depends on the records in it, so that two versions of a zone have most blocks in common, byte by byte.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import Struct
from typing import BinaryIO, Final, NamedTuple, TypeVar

import msgspec

from pdns.errors import PdnsError
from pdns.files.safe_files import create, open_state

FORM: Final = 1
LEAST_BLOCK_BYTES: Final = 4 * 1024
MOST_BLOCK_BYTES: Final = 32 * 1024
_MOST_FRAME_BYTES: Final = 64 * 1024
_ENDS_A_BLOCK: Final = 0x7F  # bits of a record's checksum that are 0 where a block ends
_FRAME: Final = Struct("<III")
_T = TypeVar("_T")


class DamagedZone(PdnsError):
    """A file that is not, or not wholly, what was written."""


class ZoneHead(msgspec.Struct, frozen=True, kw_only=True):
    """What a version of a zone is."""

    form: int = FORM
    serial: int
    settings: str  # changes with what is not in the records, such as the timers of the SOA


class ZoneTail(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted on the way."""

    records: int = 0
    names: int = 0  # entries for names
    addresses: int = 0
    left_out: int = 0  # names that no policy zone can hold
    bytes: int = 0  # of all records


class RecordBlock(NamedTuple):
    """Some records, as they stand in a message."""

    records: int
    data: bytes


def write_zone(path: Path, head: ZoneHead, records: Iterable[bytes], tail: ZoneTail) -> ZoneTail:
    """Write a zone to the new file `path`, onto the disk. Returns `tail` with what was counted here. Raises `OSError`."""
    count = size = 0
    with create(path, 0o640) as file:
        _put(file, 0, msgspec.json.encode(head))
        for block in blocks_of(records):
            _put(file, block.records, block.data)
            count += block.records
            size += len(block.data)
        tail = msgspec.structs.replace(tail, records=count, bytes=size)
        _put(file, 0, msgspec.json.encode(tail))
        file.flush()
        os.fsync(file.fileno())
    return tail


def blocks_of(records: Iterable[bytes]) -> Iterator[RecordBlock]:
    """`records` in blocks that end at the same records in each version of a zone."""
    held: list[bytes] = []
    size = 0
    for record in records:
        held.append(record)
        size += len(record)
        if size >= MOST_BLOCK_BYTES or (size >= LEAST_BLOCK_BYTES and not zlib.crc32(record) & _ENDS_A_BLOCK):
            yield RecordBlock(len(held), b"".join(held))
            held, size = [], 0
    if held:
        yield RecordBlock(len(held), b"".join(held))


def write_blocks(path: Path, records: Iterable[bytes]) -> tuple[int, int]:
    """Write `records` as blocks alone, without head and tail, to the new file `path`. Returns its length and their number.

    Raises `OSError`.
    """
    count = 0
    with create(path, 0o640) as file:
        for block in blocks_of(records):
            _put(file, block.records, block.data)
            count += block.records
        return file.tell(), count


def blocks_between(fd: int, at: int, end: int, path: Path) -> Iterator[RecordBlock]:
    """The blocks between two places of an open file. Raises `DamagedZone` and `OSError`."""
    while at < end:
        length, records, checksum = _FRAME.unpack(_exactly(fd, at, _FRAME.size, path))
        data = _exactly(fd, at + _FRAME.size, min(length, _MOST_FRAME_BYTES), path)
        if len(data) != length or zlib.crc32(data) != checksum:
            raise DamagedZone(str(path))
        at += _FRAME.size + length
        yield RecordBlock(records, data)


class ZoneReader:
    """A version of a zone, open: it stays what it is while a new one takes its place."""

    def __init__(self, path: Path) -> None:
        """Raises `OSError`, and `DamagedZone` when the head is not whole."""
        self._file = open_state(path)
        self._path = path
        try:
            self.head = _decoded(_frame(self._file, path).data, ZoneHead, path)
            if self.head.form != FORM:
                raise DamagedZone(str(path))
        except BaseException:
            self._file.close()
            raise
        self._start = self._file.tell()

    def blocks(self) -> Iterator[RecordBlock]:
        """All records. Raises `DamagedZone` as late as where the damage is, and `OSError`."""
        at = self._start
        while True:
            self._file.seek(at)
            block = _frame(self._file, self._path)
            if not block.records:
                return
            at = self._file.tell()
            yield block

    def check(self) -> ZoneTail:
        """Read all of it. Raises `DamagedZone` and `OSError`."""
        count = 0
        self._file.seek(self._start)
        while (block := _frame(self._file, self._path)).records:
            count += block.records
        tail = _decoded(block.data, ZoneTail, self._path)
        if tail.records != count:
            raise DamagedZone(str(self._path))
        return tail

    def close(self) -> None:
        self._file.close()


def _exactly(fd: int, at: int, size: int, path: Path) -> bytes:
    data = os.pread(fd, size, at)
    if len(data) != size:
        raise DamagedZone(str(path))
    return data


def _put(file: BinaryIO, records: int, data: bytes) -> None:
    file.write(_FRAME.pack(len(data), records, zlib.crc32(data)))
    file.write(data)


def _frame(file: BinaryIO, path: Path) -> RecordBlock:
    head = file.read(_FRAME.size)
    if len(head) != _FRAME.size:
        raise DamagedZone(str(path))
    length, records, checksum = _FRAME.unpack(head)
    data = file.read(length) if length <= _MOST_FRAME_BYTES else b""
    if len(data) != length or zlib.crc32(data) != checksum:
        raise DamagedZone(str(path))
    return RecordBlock(records, data)


def _decoded(data: bytes, kind: type[_T], path: Path) -> _T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError):
        raise DamagedZone(str(path)) from None
