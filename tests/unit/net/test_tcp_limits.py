"""How many TCP connections there may be."""

from __future__ import annotations

from pdns.config.schema import Server
from pdns.net.tcp_limits import TcpLimits


def test_limits_are_those_of_the_configuration() -> None:
    """Every key of [server] that concerns TCP has an effect."""
    server = Server(tcp_max_connections=7, tcp_max_connections_per_client=3, tcp_idle_timeout_s=2.5)
    assert TcpLimits.of(server, answer_deadline_s=6.0) == TcpLimits(7, 3, 2.5, 6.0, 128)
