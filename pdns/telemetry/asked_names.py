"""The names that a worker answered and did not block, as keyed digests in a ring: no name in clear, and nothing of the client.

A query gives the digest of its name, and of `*.` with each name above that has two labels or more. So a name can be looked for
exactly, with everything below it, or below it only. Each digest is written once a day for each tenant, as far as the writer
remembers.

The kind of the ring is "askd". Its own region holds the key of the digests; the supervisor writes it there. A record is

    16 bytes  digest: BLAKE2s (RFC 7693) of the name in wire form and lower case, 16 bytes long, with that key
    u32       slot of a series of the same worker's counter memory whose first label is the tenant
    u32       day since the epoch, UTC
"""

# kernel: pdns/fast/asked.pyx

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2s
from typing import Final, NamedTuple

from pdns.telemetry.ring import HEADER_BYTES, PREFIX_BYTES, Ring
from pdns.wire.names import labels_of, parent

KIND: Final = b"askd"
KEY_BYTES: Final = 32
DIGEST_BYTES: Final = 16
CAPACITY: Final = 65536  # 2.6 MB; emptied once a second
DAY_S: Final = 86400
_RECORD: Final = struct.Struct("=16sII")
RECORD_BYTES: Final = PREFIX_BYTES + _RECORD.size
_BELOW: Final = b"\x01*"
_LEAST_LABELS: Final = 2
_MOST_REMEMBERED: Final = 1 << 17


class AskedRecord(NamedTuple):
    """One digest that was written."""

    digest: bytes
    series: int
    day: int


class NameDigests:
    """Digests under one key."""

    def __init__(self, key: bytes) -> None:
        self._keyed = blake2s(key=key, digest_size=DIGEST_BYTES)

    def of(self, name: bytes) -> bytes:
        """The digest of a name in wire form and lower case."""
        keyed = self._keyed.copy()
        keyed.update(name)
        return keyed.digest()

    def below(self, name: bytes) -> bytes:
        """The digest that is written for every name below `name`."""
        return self.of(_BELOW + name)

    def of_all(self, names: Iterable[bytes]) -> Iterator[bytes]:
        """The digests of many names."""
        for name in names:
            keyed = self._keyed.copy()
            keyed.update(name)
            yield keyed.digest()


def noted_names(qname: bytes) -> Iterator[bytes]:
    """What is noted of a query for `qname`: the name, and a wildcard at each name above that has two labels or more."""
    yield qname
    for _ in range(len(labels_of(qname)) - _LEAST_LABELS):
        qname = parent(qname)
        yield _BELOW + qname


def new_ring(key: bytes, capacity: int = CAPACITY) -> int:
    """The descriptor of a ring for one worker, which the caller owns."""
    fd = Ring.make(KIND, capacity, RECORD_BYTES, KEY_BYTES)
    os.pwrite(fd, key, HEADER_BYTES)
    return fd


def map_ring(fd: int, *, writable: bool) -> Ring:
    """The memory behind `fd`. Raises `ValueError` when it is not such a ring; the caller closes `fd` then."""
    return Ring(fd, KIND, RECORD_BYTES, KEY_BYTES, writable=writable)


def key_in(ring: Ring) -> bytes:
    """The key of the digests."""
    return ring.memory[HEADER_BYTES : HEADER_BYTES + KEY_BYTES]


def record_of(raw: bytes) -> AskedRecord:
    """A record of the ring."""
    return AskedRecord(*_RECORD.unpack_from(raw, PREFIX_BYTES))


class AskedNames:
    """The worker's end. `tenant_slot` gives a slot as above."""

    def __init__(self, ring: Ring, tenant_slot: Callable[[str], int]) -> None:
        self._ring = ring
        self._tenant_slot = tenant_slot
        self._digests = NameDigests(key_in(ring))
        self._noted: set[tuple[int, bytes]] = set()
        self.day = 0

    def turn(self, day: int) -> None:
        """It is that day now: every name is noted again."""
        if day != self.day:
            self.day = day
            self._noted.clear()

    def note(self, qname: bytes, tenant: str) -> None:
        """A client of `tenant` has an answer for `qname`, in wire form and lower case, that is not a block."""
        slot = self._tenant_slot(tenant)
        for name in noted_names(qname):
            digest = self._digests.of(name)
            if (slot, digest) in self._noted:
                return  # and what is above it too
            if len(self._noted) >= _MOST_REMEMBERED:
                self._noted.clear()
            self._noted.add((slot, digest))
            self._ring.write(_RECORD.pack(digest, slot, self.day))
