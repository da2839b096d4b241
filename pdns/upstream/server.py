"""One configured upstream: where it is, how it does, what it can do, and the ways to it."""

from __future__ import annotations

import asyncio
import ssl

from pdns.config.addresses import parse_upstream
from pdns.upstream.case import CaseMemory
from pdns.upstream.edns import EdnsMemory
from pdns.upstream.exchange import Events
from pdns.upstream.health import Health
from pdns.upstream.randomness import Randomness
from pdns.upstream.tcp import TcpPool
from pdns.upstream.timers import Timers
from pdns.upstream.udp import UdpPool
from pdns.upstream.usefulness import Usefulness


class UpstreamServer:
    """`name` is its configured text. `udp` is None when only a stream leads to it."""

    def __init__(
        self,
        name: str,
        loop: asyncio.AbstractEventLoop,
        timers: Timers,
        random: Randomness,
        events: Events,
        *,
        case_randomisation: bool,
        tls: ssl.SSLContext | None,
        max_udp_sockets: int = 512,
    ) -> None:
        self.name = name
        self.address = parse_upstream(name)
        self.health = Health()
        self.usefulness = Usefulness()
        self.case = CaseMemory(enabled=case_randomisation)
        self.edns = EdnsMemory()
        self.udp = UdpPool(self, loop, timers, random, events, max_udp_sockets) if self.address.transport == "udp" else None
        self.tcp = TcpPool(self, loop, timers, random, events, tls if self.address.transport == "tls" else None)

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
    context = ssl.create_default_context(cafile=ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["dot"])
    return context
