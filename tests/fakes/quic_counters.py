"""Counters as the quic process has them."""

from __future__ import annotations

from pdns.quic.stats import QuicStats
from pdns.telemetry.counters import Counters
from pdns.wire.transport import Transport


def of_quic() -> Counters:
    """Of a process with one connection, which has refused another one."""
    counters = Counters.create(64)
    stats = QuicStats(counters)
    stats.connections(Transport.QUIC, 1)
    stats.waiting(0)
    stats.handshake(Transport.QUIC, "completed")
    stats.retried()
    stats.refused("too_fast")
    stats.lost("not_quic")
    return counters
