"""Queries that a worker copies for taps, in a ring (`pdns.telemetry.ring`). The record, in native byte order:

    offset  type
    16      f64       when it came, by `pdns.clock.boottime_s`
    24      u32       slot of a series of the same worker's counter memory whose first label is the tenant
    28      u8        why it is here: `SAMPLED`, `TAPPED` (its tenant is tapped)
    29      u8        transport: place in `pdns.telemetry.event_ring.TRANSPORTS`
    30      u8        kind of the client
    31      u8        bits of the client, of the 128
    32      16 bytes  client, as `pdns.core.client_identity.ClientIdentity`
    48      u16       bytes of the message
    50      the message

The message is the query with its header, its question as it came, and its OPT record without options: options can name the client
(RFC 7871, RFC 7873).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from pdns.core.client_identity import ClientIdentity, text_of
from pdns.telemetry.event_ring import TRANSPORTS
from pdns.telemetry.ring import PREFIX_BYTES, Ring
from pdns.wire.transport import Transport

KIND: Final = b"qtap"
CAPACITY: Final = 16384  # 5.5 MB, when all of it is used; read five times a second
FIXED: Final = struct.Struct("=dIBBBB16sH")
RECORD_BYTES: Final = 336
MOST_MESSAGE_BYTES: Final = RECORD_BYTES - PREFIX_BYTES - FIXED.size
SAMPLED, TAPPED = 1, 2


class TapRecord(NamedTuple):
    """One query."""

    at_s: float
    series: int
    flags: int
    transport: Transport
    client: str  # as `events.clients` says
    message: bytes


def new_tap_ring(capacity: int = CAPACITY) -> int:
    """The descriptor of new memory, which the caller owns."""
    return Ring.make(KIND, capacity, RECORD_BYTES)


def map_tap_ring(fd: int, *, writable: bool) -> Ring:
    """The memory behind `fd`, which the ring owns. Raises `ValueError` when it is another one; the caller closes it then."""
    return Ring(fd, KIND, RECORD_BYTES, writable=writable)


def encoded(at_s: float, series: int, flags: int, transport: Transport, client: ClientIdentity, message: bytes) -> bytes:
    """What `Ring.write` takes."""
    number = TRANSPORTS.index(transport)
    return FIXED.pack(at_s, series, flags, number, client.kind, client.bits, client.value, len(message)) + message


def decoded(record: bytes) -> TapRecord:
    """What a record says. Raises `ValueError` when no worker can have written it."""
    at_s, series, flags, transport, kind, bits, client, size = FIXED.unpack_from(record, PREFIX_BYTES)
    if transport >= len(TRANSPORTS) or size > MOST_MESSAGE_BYTES:
        raise ValueError("not a query")
    start = PREFIX_BYTES + FIXED.size
    told = text_of(ClientIdentity(kind, bits, client))
    return TapRecord(at_s, series, flags, TRANSPORTS[transport], told, record[start : start + size])
