"""How many TCP connections there may be, and for how long."""

from __future__ import annotations

from typing import NamedTuple, Self

from pdns.config.schema import Server


class TcpLimits(NamedTuple):
    """What one client, and all of them, may take. For IPv6 a client is a /64: whoever has one has all of it."""

    max_connections: int = 1000
    max_per_client: int = 50
    idle_timeout_s: float = 10.0  # since the last whole message; also how long a peer may leave answers unread
    answer_deadline_s: float = 10.0  # after that long nothing asked before will be answered
    max_outstanding: int = 128  # queries of one connection at a time; the next ones wait

    @classmethod
    def of(cls, server: Server, *, answer_deadline_s: float = 10.0) -> Self:
        """The limits that the configuration sets. `answer_deadline_s` must be above the time that upstreams are given."""
        return cls(
            max_connections=server.tcp_max_connections,
            max_per_client=server.tcp_max_connections_per_client,
            idle_timeout_s=server.tcp_idle_timeout_s,
            answer_deadline_s=answer_deadline_s,
        )
