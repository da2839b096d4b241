"""The listed names that a worker met: a ring in memory, created and read by the supervisor, written by the worker.

Neither side waits: a writer that is too far ahead overwrites unread records, and the reader knows how many.

    offset  type
    0       8 bytes   "pdnssee1"
    8       u32       capacity in events
    12      u32       bytes per event: 272
    16      u64       head: events ever written; number n is at 64 + 272 * (n % capacity)
    64      events    u64 `name_hash` of the listed name, u32 slot of a series of the same worker's counter memory whose
                      first label is the tenant, u32 one more than the slot of the series of `blocked_total`, or 0;
                      u8 bytes of the listed name, then that name in wire form

The supervisor of an earlier version makes events of 16 bytes, which end before the name.

All numbers are in native byte order. The head is raised after the event is written. A replacement worker continues at the head.
"""

from __future__ import annotations

import mmap
import os
import struct
from typing import Final, NamedTuple

from xxhash import xxh128_digest

from pdns.files.sealed import new_memory

_HEADER = struct.Struct("=8sIIQ")
_EVENT = struct.Struct("=QII")
_MAX_NAME_BYTES: Final = 255
EVENT_BYTES: Final = _EVENT.size + 1 + _MAX_NAME_BYTES
_MAGIC: Final = b"pdnssee1"
_HEAD_AT: Final = 16
_EVENTS_AT: Final = 64
CAPACITY: Final = 16384  # 4.3 MiB; a worker writes each name of a tenant at most once a minute
SALT: Final = b"pdns sighted\0\0\0\0"

REPEATS_AFTER_S: Final = 60
_MOST_REMEMBERED: Final = 65536


def name_hash(listed: bytes) -> int:
    """The hash of a listed name, given in wire form and lower case."""
    return int.from_bytes(xxh128_digest(SALT + listed)[:8])


class BlockEvent(NamedTuple):
    """One event."""

    listed_hash: int
    series: int
    blocked: int  # one more than the slot of the series of `blocked_total`; 0: unknown
    listed: bytes  # in wire form; b"": unknown


class BlockRing:
    """The memory, mapped."""

    def __init__(self, fd: int, *, writable: bool) -> None:
        """Map `fd`. Raises `ValueError` when it is not a block ring; the caller closes it then."""
        self.fd = fd
        size = os.fstat(fd).st_size
        if size < _EVENTS_AT:
            raise ValueError("not a block ring: too short")
        self._map = mmap.mmap(fd, size, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        magic, self.capacity, self._event_bytes, _ = _HEADER.unpack_from(self._map)
        is_whole = size >= _EVENTS_AT + self.capacity * self._event_bytes and self.capacity > 0
        if magic != _MAGIC or self._event_bytes not in (_EVENT.size, EVENT_BYTES) or not is_whole:
            self._map.close()
            raise ValueError("not a block ring of this version")
        self._head = memoryview(self._map)[_HEAD_AT : _HEAD_AT + 8].cast("Q")

    @classmethod
    def create(cls, capacity: int = CAPACITY) -> BlockRing:
        """New memory to read here; the process that gets the descriptor may write."""
        fd = new_memory("pdns-block-ring", _EVENTS_AT + capacity * EVENT_BYTES)
        try:
            os.pwrite(fd, _HEADER.pack(_MAGIC, capacity, EVENT_BYTES, 0), 0)
            return cls(fd, writable=False)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def attach(cls, fd: int) -> BlockRing:
        """The memory behind `fd`, to write to. It owns `fd` from then on. Raises `ValueError`."""
        try:
            return cls(fd, writable=True)
        except BaseException:
            os.close(fd)
            raise

    @property
    def head(self) -> int:
        """How many events were ever written."""
        return self._head[0]

    @property
    def memory(self) -> mmap.mmap:
        """The whole memory, for writers in compiled code."""
        return self._map

    def write(self, listed_hash: int, series: int, blocked: int = 0, listed: bytes = b"") -> None:
        """Write one event. For the only writer."""
        head = self._head[0]
        at = _EVENTS_AT + head % self.capacity * self._event_bytes
        _EVENT.pack_into(self._map, at, listed_hash, series, blocked)
        if self._event_bytes == EVENT_BYTES:
            at += _EVENT.size
            self._map[at : at + 1 + len(listed)] = bytes((len(listed),)) + listed
        self._head[0] = head + 1

    def event(self, number: int) -> BlockEvent:
        """An event, unless it was overwritten meanwhile."""
        at = _EVENTS_AT + number % self.capacity * self._event_bytes
        listed = b""
        if self._event_bytes == EVENT_BYTES:
            end = at + _EVENT.size + 1
            listed = self._map[end : end + self._map[end - 1]]
        listed_hash, series, blocked = _EVENT.unpack_from(self._map, at)
        return BlockEvent(listed_hash, series, blocked, listed)

    def close(self) -> None:
        """Unmap, and close the descriptor."""
        self._head.release()
        self._map.close()
        os.close(self.fd)


class BlockRingReader:
    """Reads the events written since the last call."""

    def __init__(self, block_ring: BlockRing) -> None:
        self._block_ring = block_ring
        self._next = block_ring.head
        self.lost = 0  # overwritten before they were read, ever

    def read(self) -> list[tuple[int, int]]:
        """New events, oldest first: hash, series."""
        return [event[:2] for event in self.take()]

    def take(self) -> list[BlockEvent]:
        """New events, oldest first. The oldest of a full ring is left out: it may be half overwritten."""
        block_ring = self._block_ring
        head = block_ring.head
        first = max(self._next, head - block_ring.capacity + 1)
        events = [block_ring.event(number) for number in range(first, head)]
        overtaken = min(len(events), max(0, block_ring.head - block_ring.capacity + 1 - first))
        self.lost += first - self._next + overtaken
        self._next = head
        return events[overtaken:]


class BlockRingWriter:
    """The worker's end: writes each name of a tenant at most once a minute."""

    def __init__(self, block_ring: BlockRing) -> None:
        self.block_ring = block_ring
        self._said: set[tuple[int, int, int]] = set()
        self._minute = -1

    def saw(self, series: int, listed: bytes, now: float, blocked: int = 0) -> None:
        """`listed` was blocked for the tenant that is the first label of `series`; `blocked` as in `BlockEvent`. `now`: from a
        monotonic clock.
        """
        minute = int(now) // REPEATS_AFTER_S
        if minute != self._minute or len(self._said) >= _MOST_REMEMBERED:
            self._minute = minute
            self._said.clear()
        event = name_hash(listed), series, blocked
        if event not in self._said:
            self._said.add(event)
            self.block_ring.write(*event, listed)
