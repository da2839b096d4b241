"""The sockets and connections of one upstream."""

from __future__ import annotations

import asyncio
import ssl

from pdns.net.tls import client_context
from pdns.upstream.exchange import Events
from pdns.upstream.kernel import UdpKernel
from pdns.upstream.randomness import Randomness
from pdns.upstream.server import UpstreamServer
from pdns.upstream.tcp import TcpPool
from pdns.upstream.timers import Timers
from pdns.upstream.udp import UdpPool


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
        tls: ssl.SSLContext | None,
        kernel: UdpKernel,
        max_udp_sockets: int = 512,
    ) -> None:
        self.udp = UdpPool(server, loop, timers, random, events, max_udp_sockets, kernel) if server.takes_datagrams else None
        self.tcp = TcpPool(server, loop, timers, random, events, tls if server.address.transport.is_encrypted else None)

    def has_moved(self, now: float) -> bool:
        """Whether our own address for it has just changed. Then answers to what was sent cannot come, and it was asked anew."""
        moved = self.udp is not None and self.udp.has_moved(now)
        return self.tcp.has_moved(now) or moved

    def close(self) -> None:
        if self.udp is not None:
            self.udp.close()
        self.tcp.close()


def tls_context(ca_file: str) -> ssl.SSLContext:
    """A context that checks certificate and name against `ca_file`, or the system's store. Raises `OSError`."""
    context = client_context(ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["dot"])
    return context
