"""A ring of records in shared memory: one process writes, others read, and neither waits.

A writer that is too far ahead overwrites unread records; a reader knows how many, and how much they weighed.

    offset  type
    0       8 bytes   "pdnsrng1"
    8       4 bytes   what the records are, such as "evnt"
    12      u32       capacity in records
    16      u32       bytes per record
    20      u32       bytes of the writer's own region
    24      u64       a random number that identifies this memory
    32      u64       head: records ever written
    40      u64       weight: the weights of all of them
    48      2 x u64   for the writer
    64      the writer's own region
    then    records   number n is at n % capacity: u64 weight of all records before it, u32 its own weight, 4 bytes unused;
                      the rest is for the kind of record

All numbers are in native byte order. Head and weight are raised after the record is written. A replacement of the writer
continues at the head.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final

from pdns.files.sealed import new_memory

_HEADER = struct.Struct("=8s4sIIIQ")
_PREFIX = struct.Struct("=QI4x")
_MAGIC: Final = b"pdnsrng1"
_WORDS_AT: Final = 32
HEADER_BYTES: Final = 64
PREFIX_BYTES: Final = _PREFIX.size


class Ring:
    """The memory, mapped."""

    def __init__(self, fd: int, kind: bytes, record_bytes: int, own_bytes: int = 0, *, writable: bool) -> None:
        """Map `fd`. Raises `ValueError` when it is not a ring of these records; the caller closes it then."""
        self.fd = fd
        size = os.fstat(fd).st_size
        if size < HEADER_BYTES:
            raise ValueError("not a ring: too short")
        header = os.pread(fd, _HEADER.size, 0)
        magic, found_kind, self.capacity, found_bytes, found_own, self.id = _HEADER.unpack(header)
        self.records_at = HEADER_BYTES + own_bytes
        self.record_bytes = record_bytes
        is_whole = self.capacity > 0 and size >= self.records_at + self.capacity * record_bytes
        if (magic, found_kind, found_bytes, found_own) != (_MAGIC, kind, record_bytes, own_bytes) or not is_whole:
            raise ValueError(f"not a ring of {kind.decode()} records of this version")
        self.memory = mmap.mmap(fd, size, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        self.words: memoryview[int] = memoryview(self.memory)[_WORDS_AT:HEADER_BYTES].cast("Q")

    @staticmethod
    def make(kind: bytes, capacity: int, record_bytes: int, own_bytes: int = 0) -> int:
        """The descriptor of new memory, which the caller owns."""
        fd = new_memory(f"pdns-{kind.decode()}", HEADER_BYTES + own_bytes + capacity * record_bytes)
        header = _HEADER.pack(_MAGIC, kind, capacity, record_bytes, own_bytes, int.from_bytes(os.urandom(8)))
        try:
            os.pwrite(fd, header, 0)
        except BaseException:
            os.close(fd)
            raise
        return fd

    @property
    def head(self) -> int:
        """How many records were ever written."""
        return self.words[0]

    @property
    def weight(self) -> int:
        """The weights of all of them."""
        return self.words[1]

    def write(self, record: bytes, weight: int = 1) -> None:
        """Write one record, all but its first `PREFIX_BYTES`. For the only writer."""
        head, before = self.words[0], self.words[1]
        at = self.records_at + head % self.capacity * self.record_bytes
        _PREFIX.pack_into(self.memory, at, before, weight)
        at += PREFIX_BYTES
        self.memory[at : at + len(record)] = record
        self.words[1] = before + weight
        self.words[0] = head + 1

    def read_at(self, number: int) -> bytes:
        """A record with its prefix, unless it was overwritten meanwhile."""
        at = self.records_at + number % self.capacity * self.record_bytes
        return self.memory[at : at + self.record_bytes]

    def close(self) -> None:
        """Unmap, and close the descriptor."""
        self.words.release()
        self.memory.close()
        os.close(self.fd)


class RingReader:
    """Reads the records written since the last call. Each reader has its own place."""

    def __init__(self, ring: Ring, number: int | None = None, weight: int = 0) -> None:
        """Begins at the head, or at record `number`, before which all records weigh `weight`."""
        self.ring = ring
        self.next = ring.head if number is None else number
        self.weight = ring.weight if number is None else weight  # of all records before the next one
        self.lost = 0  # records overwritten before they were read, since the reader began
        self.lost_weight = 0

    def take(self, most: int = 1 << 30) -> list[tuple[int, bytes]]:
        """At most `most` new records with their numbers, oldest first."""
        ring = self.ring
        head = ring.head
        first = max(self.next, head - ring.capacity + 1)  # the oldest of a full ring may be half overwritten
        last = min(head, first + most)
        records = [(number, ring.read_at(number)) for number in range(first, last)]
        overtaken = min(len(records), max(0, ring.head - ring.capacity + 1 - first))
        records = records[overtaken:]
        if lost := first - self.next + overtaken:
            self.lost += lost
            self._count_lost(records, lost)
        elif records:
            self.weight = _end_of(records[-1][1])
        self.next = last
        return records

    def _count_lost(self, records: list[tuple[int, bytes]], lost: int) -> None:
        if records:
            before, _ = _PREFIX.unpack_from(records[0][1])
            self.lost_weight += before - self.weight
            self.weight = _end_of(records[-1][1])
        else:  # each of them weighs 1 at least; the next call that finds one corrects this
            self.lost_weight += lost
            self.weight += lost


def weight_of(record: bytes) -> int:
    """The weight of a record."""
    return int(_PREFIX.unpack_from(record)[1])


def _end_of(record: bytes) -> int:
    before, weight = _PREFIX.unpack_from(record)
    return int(before + weight)
