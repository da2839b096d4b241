"""The counters of the quic process, named as in `pdns.telemetry.metrics`."""

from __future__ import annotations

from typing import Final

from pdns.telemetry.counters import Counters
from pdns.wire.transport import Transport

TRANSPORTS: Final = (Transport.QUIC, Transport.H3)
GAUGES: Final = ("quic_connections", "quic_relay_waiting")


class QuicStats:
    """For the only writer of `counters`."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        for family in GAUGES:  # of a process before this one
            counters.forget(family)

    def connections(self, transport: Transport, count: int) -> None:
        """So many are open now."""
        self._set("quic_connections", count, transport)

    def waiting(self, count: int) -> None:
        """So many queries wait for a worker's answer now."""
        self._set("quic_relay_waiting", count)

    def handshake(self, transport: Transport, result: str) -> None:
        """A handshake is over: completed, failed, timeout."""
        self._counters.add(1, "quic_handshakes_total", transport, result)

    def retried(self) -> None:
        """A client was asked to prove its address."""
        self._counters.add(1, "quic_retries_total")

    def refused(self, reason: str) -> None:
        """A connection was refused, or ended because of its client."""
        self._counters.add(1, "quic_refused_total", reason)

    def lost(self, reason: str) -> None:
        """A datagram or a query was dropped."""
        self._counters.add(1, "quic_dropped_total", reason)

    def _set(self, family: str, value: int, *labels: str) -> None:
        self._counters.values[self._counters.slot(family, *labels)] = value
