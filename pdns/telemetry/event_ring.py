"""The events of one worker: a ring (`pdns.telemetry.ring`) with a table of repeats, in memory that outlives the worker.

The first query of its kind in a minute is a record at once. Its repeats are counted in the table, and become one more record soon
after the minute has ended, or when the place is needed. `pdns.reference.event_writer` says what a repeat is.

A record, behind the prefix of every record (its weight is a number of queries):

    offset  type
    16      f64 x 2   first and last query, in seconds of `pdns.clock.boottime_s`
    32      16 bytes  client, as `pdns.core.client_identity` says
    48      u16       type of the query
    50      u8        transport: place in `TRANSPORTS`
    51      u8        bit 0: these are repeats; bit 1: blocked, else monitored
    52      u8 x 2    kind of the client, and bits of its prefix
    54      u8 x 4    how many slots; bytes of the queried name, of the listed name and of the text
    60      u32 each  slots in the counter memory of the same worker: of the series that each of these queries was counted in
    then    both names in wire form and lower case, and the text of the Extended DNS Error

The writer's own region: u64 number of workers, which share what one listed name may have of records a minute, 56 bytes unused;
its places, u64 key, u32 repeats, u32 minute, f64 x 2 the first and the last repeat; a record for each place that has repeats.
The writer's words of the header: all queries that were noted, and those of them that were only monitored.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import Final, NamedTuple

from xxhash import xxh128_digest

from pdns.telemetry.ring import HEADER_BYTES, Ring, weight_of
from pdns.wire.transport import Transport

KIND: Final = b"evnt"
TRANSPORTS: Final = tuple(Transport)
MAX_SLOTS: Final = 29
FIXED = struct.Struct("=16xdd16sHBBBBBBBB2x")
FIXED_BYTES: Final = FIXED.size
SLOT_BYTES: Final = 4
RECORD_BYTES: Final = 896
CAPACITY: Final = 8192  # 7 MiB, once it has gone round

PLACE = struct.Struct("=QIIdd")
PLACE_BYTES: Final = PLACE.size
PLACES: Final = 8192
DOMAIN_PLACES: Final = 1024  # behind them: for what is merged whoever asked
PROBES: Final = 8  # of them for one key
SWEPT: Final = 1024  # places at a time, so that the end of a minute does not overrun the ring
TABLE_AT: Final = HEADER_BYTES + 64
REPEATS_AT: Final = TABLE_AT + (PLACES + DOMAIN_PLACES) * PLACE_BYTES  # the records of the places
OWN_BYTES: Final = 64 + (PLACES + DOMAIN_PLACES) * (PLACE_BYTES + RECORD_BYTES)
NOTED, MONITORED = 2, 3  # the writer's words

REPEATS, BLOCKED = 1, 2

# What is merged, as `pdns.reference.event_writer` describes it. Names below one are of all workers, which share these limits.
MINUTE_S: Final = 60.0
MOST_QUESTIONS: Final = 32
MOST_RECORDS: Final = 400
MOST_RECORDS_AND_CLIENTS: Final = 450
COUNTS: Final = 4096  # places of the counters behind these limits
MAX_TEXT_BYTES: Final = 200
CLIENT_MARK, DOMAIN_MARK = 0x5851F42D4C957F2D, 0x14057B7EF767814F  # set keys of merged questions apart
SALT: Final = b"pdns sighted\0\0\0\0"


def name_hash(listed: bytes) -> int:
    """The hash of a listed name, given in wire form and lower case."""
    return int.from_bytes(xxh128_digest(SALT + listed)[:8])


class RawEvent(NamedTuple):
    """One record. Times are of `pdns.clock.boottime_s`."""

    n: int
    first_s: float
    last_s: float
    client: bytes
    qtype: int
    transport: Transport
    is_merged: bool
    is_blocked: bool
    client_kind: int
    client_bits: int
    slots: tuple[int, ...]
    qname: bytes  # wire form
    listed: bytes  # wire form; b"" of a query that was only monitored
    text: bytes


class EventRing(Ring):
    """The memory, mapped."""

    def __init__(self, fd: int, *, writable: bool) -> None:
        """Raises `ValueError` when `fd` is another memory; the caller closes it then."""
        super().__init__(fd, KIND, RECORD_BYTES, OWN_BYTES, writable=writable)
        self.workers = max(1, int.from_bytes(self.memory[HEADER_BYTES : HEADER_BYTES + 8], sys.byteorder))

    @classmethod
    def create(cls, capacity: int = CAPACITY, workers: int = 1) -> EventRing:
        """New memory to read here; the process that gets the descriptor may write. It is one of `workers`."""
        fd = Ring.make(KIND, capacity, RECORD_BYTES, OWN_BYTES)
        try:
            os.pwrite(fd, workers.to_bytes(8, sys.byteorder), HEADER_BYTES)
            return cls(fd, writable=False)
        except BaseException:
            os.close(fd)
            raise

    @classmethod
    def attach(cls, fd: int, *, writable: bool = True) -> EventRing:
        """The memory behind `fd`, which it owns from then on. Raises `ValueError`."""
        try:
            return cls(fd, writable=writable)
        except BaseException:
            os.close(fd)
            raise

    @property
    def noted(self) -> int:
        """Queries that were noted, those included that wait as repeats."""
        return self.words[NOTED]

    @property
    def monitored(self) -> int:
        """Those of them that were only monitored."""
        return self.words[MONITORED]


def event_of(record: bytes) -> RawEvent:
    """What a record says. Raises `ValueError` when it cannot have been written by a worker."""
    first_s, last_s, client, qtype, transport, flags, kind, bits, count, qname, listed, text = FIXED.unpack_from(record)
    at = FIXED_BYTES + SLOT_BYTES * count
    if count > MAX_SLOTS or transport >= len(TRANSPORTS) or at + qname + listed + text > RECORD_BYTES:
        raise ValueError("not an event")
    return RawEvent(
        weight_of(record),
        first_s,
        last_s,
        client,
        qtype,
        TRANSPORTS[transport],
        bool(flags & REPEATS),
        bool(flags & BLOCKED),
        kind,
        bits,
        struct.unpack_from(f"={count}I", record, FIXED_BYTES),
        record[at : at + qname],
        record[at + qname : at + qname + listed],
        record[at + qname + listed : at + qname + listed + text],
    )
