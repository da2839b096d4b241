"""The reports of a worker about tunnels, in a ring (`pdns.telemetry.ring`). The record, in native byte order:

offset  type
16      f64       when it was made, by `pdns.clock.boottime_s`
24      u64       number of the window
32      3 x u64   bytes carried; bytes that make a tunnel, over all workers; new names
56      u8        where the domain begins in the name
57      3 x u8    bytes of the tenant, the client and the name, which follow
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from pdns.core.tunnels import TunnelReport
from pdns.telemetry.ring import PREFIX_BYTES, Ring

KIND: Final = b"tunl"
CAPACITY: Final = 1024
RECORD_BYTES: Final = 512
_FIXED: Final = struct.Struct("=dQQQQBBBB")
_MAX_TEXT_BYTES: Final = 80


class TunnelRecord(NamedTuple):
    """One report. As `pdns.core.tunnels.TunnelReport`, but for the client."""

    tenant: str
    domain: bytes
    sample: bytes
    window: int
    at_s: float
    size_bytes: int
    least_bytes: int
    names: int
    client: str  # as `events.clients` says


def new_tunnel_ring() -> int:
    """The descriptor of new memory, which the caller owns."""
    return Ring.make(KIND, CAPACITY, RECORD_BYTES)


def map_tunnel_ring(fd: int, *, writable: bool) -> Ring:
    """The memory behind `fd`, which the ring owns. Raises `ValueError` when it is another one; the caller closes it then."""
    return Ring(fd, KIND, RECORD_BYTES, writable=writable)


def encoded(report: TunnelReport, client: str) -> bytes:
    """What `Ring.write` takes."""
    tenant, told = report.tenant.encode()[:_MAX_TEXT_BYTES], client.encode()[:_MAX_TEXT_BYTES]
    at = len(report.sample) - len(report.domain)
    fixed = _FIXED.pack(
        report.at_s, report.window, report.size_bytes, report.least_bytes, report.names,
        at, len(tenant), len(told), len(report.sample),
    )  # fmt: skip
    return b"".join((fixed, tenant, told, report.sample))


def decoded(record: bytes) -> TunnelRecord:
    """What a record says. Raises `ValueError` when no worker can have written it."""
    at_s, window, size_bytes, least_bytes, names, domain_at, *sizes = _FIXED.unpack_from(record, PREFIX_BYTES)
    parts, at = [], PREFIX_BYTES + _FIXED.size
    for size in sizes:
        parts.append(record[at : at + size])
        at += size
    tenant, client, sample = parts
    if at > RECORD_BYTES or domain_at >= len(sample):
        raise ValueError("not a report of a tunnel")
    return TunnelRecord(
        tenant.decode(), sample[domain_at:], sample, window, at_s, size_bytes, least_bytes, names, client.decode()
    )
