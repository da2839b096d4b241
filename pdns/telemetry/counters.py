"""Counter memory: the counters of one worker. The supervisor can read it at any time, also after the worker's death.

A memfd: header, then one u64 for each slot, then one fixed-size key for each slot (family and labels). There is one writer.
It writes a key before it raises the count of slots in use, so a reader never sees a slot without its name.
Unused pages cost nothing.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Container, Iterator
from typing import Final

from pdns.files.sealed import new_memory

_HEADER = struct.Struct("=8sIIQQ")  # magic, slots, bytes per key, slots in use, slots that did not fit
_MAGIC: Final = b"pdnsctr1"
_HEADER_BYTES: Final = 64
_USED_WORD: Final = 2  # of the header, counted in u64
_DROPPED_WORD: Final = 3
_VALUE_BYTES: Final = 8
_KEY_BYTES: Final = 256  # two bytes of length, then UTF-8
_SEPARATOR: Final = "\x1f"

ABSENT: Final = 2**64 - 1  # a gauge without a value at the moment: `items` leaves it out


class Counters:
    """The memory, mapped. `values[slot]` is a u64; the slot of a series comes from `slot` and never changes."""

    def __init__(self, fd: int, *, writable: bool) -> None:
        """Map `fd`. Raises `ValueError` when it is not counter memory; the caller closes it then."""
        self.fd = fd
        size = os.fstat(fd).st_size
        if size < _HEADER_BYTES:
            raise ValueError("not a counter memory: too short")
        self._map = mmap.mmap(fd, size, access=mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ)
        magic, slots, key_bytes, _, _ = _HEADER.unpack_from(self._map)
        if magic != _MAGIC or key_bytes != _KEY_BYTES or size < _size_bytes(slots):
            self._map.close()
            raise ValueError("not a counter memory of this version")
        self.slots: int = slots
        self._keys_at = _HEADER_BYTES + _VALUE_BYTES * (self.slots + 1)
        view = memoryview(self._map)
        self._header = view[:_HEADER_BYTES].cast("Q")
        self.values: memoryview[int] = view[_HEADER_BYTES : self._keys_at].cast("Q")
        self._names: list[tuple[str, ...]] = []
        self._slots: dict[tuple[str, ...], int] = {}

    @classmethod
    def create(cls, slots: int = 65536) -> Counters:
        """New memory for `slots` series, all zero, writable here and by the process that gets the descriptor."""
        fd = new_memory("pdns-counters", _size_bytes(slots))
        try:
            os.pwrite(fd, _HEADER.pack(_MAGIC, slots, _KEY_BYTES, 0, 0), 0)
            return cls(fd, writable=True)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def attach(cls, fd: int, *, writable: bool) -> Counters:
        """The memory behind `fd`, which it owns from then on. Raises `ValueError`."""
        try:
            return cls(fd, writable=writable)
        except BaseException:
            os.close(fd)
            raise

    def slot(self, family: str, *labels: str) -> int:
        """The slot of a series, made at first use.

        When the memory is full, this is a spare slot that is never read; `dropped` counts how often.
        """
        wanted = (family, *labels)
        self._read_names()
        found = self._slots.get(wanted)
        if found is not None:
            return found
        key = _key(wanted)
        name = _name(key)  # the same text that every reader sees of a shortened key
        found = self._slots.get(name)
        if found is None:
            found = len(self._names)
            if found >= self.slots:
                self._header[_DROPPED_WORD] += 1
                return self.slots
            start = self._keys_at + found * _KEY_BYTES
            self._map[start : start + 2 + len(key)] = len(key).to_bytes(2) + key
            self.values[found] = 0
            self._header[_USED_WORD] = found + 1
            self._names.append(name)
            self._slots[name] = found
        self._slots[wanted] = found
        return found

    def fold(self, other: Counters, but: Container[str]) -> None:
        """Add all values of `other` except the families in `but`. For the only writer."""
        for family, labels, value in other.items():
            if family not in but:
                self.add(value, family, *labels)
        self._header[_DROPPED_WORD] += other.dropped

    @property
    def dropped(self) -> int:
        """How often there was no slot for a series."""
        return self._header[_DROPPED_WORD]

    def name(self, slot: int) -> tuple[str, ...]:
        """Family and labels of the series in `slot`; () for the spare slot and unused slots."""
        self._read_names()
        return self._names[slot] if slot < len(self._names) else ()

    def add(self, n: int, family: str, *labels: str) -> None:
        """Add `n` to a counter. For the only writer."""
        self.values[self.slot(family, *labels)] += n

    def value(self, family: str, *labels: str) -> int | None:
        """The value of a series; None when it was never used or has no value."""
        self._read_names()
        slot = self._slots.get((family, *labels))
        return None if slot is None or self.values[slot] == ABSENT else self.values[slot]

    def items(self) -> Iterator[tuple[str, tuple[str, ...], int]]:
        """Every series with a value: family, labels, value. Values are read one by one, not as one snapshot."""
        self._read_names()
        for index, name in enumerate(self._names):
            value = self.values[index]
            if value != ABSENT:
                yield name[0], name[1:], value

    def forget(self, family: str, *labels: str) -> None:
        """Every series of a gauge whose labels begin with `labels` has no value until it is set again."""
        self._read_names()
        start = (family, *labels)
        for index, name in enumerate(self._names):
            if name[: len(start)] == start:
                self.values[index] = ABSENT

    def close(self) -> None:
        """Unmap, and close the descriptor."""
        self.values.release()
        self._header.release()
        self._map.close()
        os.close(self.fd)

    def _read_names(self) -> None:
        """Read the names of slots added since the last call, by this or the previous writer."""
        for index in range(len(self._names), self._header[_USED_WORD]):
            start = self._keys_at + index * _KEY_BYTES
            size = int.from_bytes(self._map[start : start + 2])
            if not size:  # not visible yet: stores of another processor may arrive in any order
                return
            name = _name(self._map[start + 2 : start + 2 + size])
            self._names.append(name)
            self._slots.setdefault(name, index)


def _key(name: tuple[str, ...]) -> bytes:
    return _SEPARATOR.join(part.replace(_SEPARATOR, "?") for part in name).encode("utf-8", "replace")[: _KEY_BYTES - 2]


def _name(key: bytes) -> tuple[str, ...]:
    return tuple(key.decode("utf-8", "replace").split(_SEPARATOR))


def _size_bytes(slots: int) -> int:
    return _HEADER_BYTES + _VALUE_BYTES * (slots + 1) + _KEY_BYTES * slots
