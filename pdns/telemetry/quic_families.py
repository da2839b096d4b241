"""Metric families of the quic process: DNS over QUIC and HTTP/3."""

from __future__ import annotations

from typing import Final

from pdns.telemetry.family import Family

QUIC_FAMILIES: Final = (
    Family("quic_connections", "gauge", "quic", ("transport",), "Open connections of clients over QUIC, by transport: quic, h3."),
    Family(
        "quic_handshakes_total",
        "counter",
        "quic",
        ("transport", "result"),
        "QUIC handshakes, by result: completed, failed, timeout.",
    ),
    Family("quic_retries_total", "counter", "quic", (), "Clients that were asked to prove their address (Retry)."),
    Family(
        "quic_refused_total",
        "counter",
        "quic",
        ("reason",),
        "Connections over QUIC that were refused, or closed because of what the client did.",
    ),
    Family("quic_dropped_total", "counter", "quic", ("reason",), "Datagrams and queries that the quic process dropped."),
    Family("quic_relay_waiting", "gauge", "quic", (), "Queries over QUIC that wait for an answer of a worker."),
)
