"""The sockets and connections of one upstream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from pdns.upstream.exchange import Events
from pdns.upstream.kernel import UdpKernel
from pdns.upstream.randomness import Randomness
from pdns.upstream.server import UpstreamServer
from pdns.upstream.streams import StreamConnection, StreamPool
from pdns.upstream.tcp import TcpConnection
from pdns.upstream.timers import Timers
from pdns.upstream.tls import UpstreamTls
from pdns.upstream.udp import UdpPool
from pdns.wire.transport import Transport


class UpstreamPools:
    """`udp` is None when `server` takes no datagrams."""

    def __init__(
        self,
        server: UpstreamServer,
        loop: asyncio.AbstractEventLoop,
        timers: Timers,
        random: Randomness,
        events: Events,
        *,
        tls: UpstreamTls | None,
        ca_file: str,
        kernel: UdpKernel,
        max_udp_sockets: int = 512,
    ) -> None:
        self.udp = UdpPool(server, loop, timers, random, events, max_udp_sockets, kernel) if server.takes_datagrams else None
        self.stream = StreamPool(server, loop, timers, random, events, _connector(server.address.transport, tls, ca_file))

    def has_moved(self, now: float) -> bool:
        """Whether our own address for it has just changed. Then answers to what was sent cannot come, and it was asked anew."""
        moved = self.udp is not None and self.udp.has_moved(now)
        return self.stream.has_moved(now) or moved

    def close(self) -> None:
        if self.udp is not None:
            self.udp.close()
        self.stream.close()


def _connector(transport: Transport, tls: UpstreamTls | None, ca_file: str) -> Callable[[StreamPool], StreamConnection]:
    """Begins connections. A library is loaded with the first upstream that needs it."""
    if transport is Transport.HTTPS:
        from pdns.upstream.https import HttpsConnection  # noqa: PLC0415

        assert tls is not None
        return partial(HttpsConnection, tls=tls)
    if transport is Transport.QUIC:
        from pdns.upstream.quic import QuicSessions, QuicUpstream  # noqa: PLC0415

        sessions: list[QuicSessions] = []

        def connect(pool: StreamPool) -> StreamConnection:
            if not sessions:
                sessions.append(QuicSessions(pool, ca_file))
            return QuicUpstream(pool, sessions[0])

        return connect
    return partial(TcpConnection, tls=tls)
