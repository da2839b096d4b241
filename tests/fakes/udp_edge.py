"""A service behind a UDP socket, and a forwarder to fake upstreams."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import msgspec

from pdns.config.addresses import Endpoint
from pdns.config.groups import server_groups
from pdns.config.schema import Config
from pdns.core.ruleset import RuleSet
from pdns.net.sockets import bind_udp
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import Stats
from pdns.upstream.forwarder import Forwarder
from pdns.upstream.kernel import UdpKernel
from tests.fakes.edges import until
from tests.fakes.services import kernels, new_service
from tests.wire import query_wire

FEEDS: dict[str, Any] = {"feed": [{"name": "alpha", "url": "file:a"}, {"name": "watch", "url": "file:w", "mode": "monitor"}]}
TRUE, FORGED, SINKHOLE = "192.0.2.7", "203.0.113.66", "192.0.2.1"


class Edge:
    """A listener on a real socket, a service, and a forwarder to fake upstreams."""

    def __init__(
        self, upstreams: list[str], sections: dict[str, Any], *, compiled: bool, sockets: UdpKernel | None = None
    ) -> None:
        self.loop, self.counters = asyncio.get_running_loop(), Counters.create(4096)
        self.stats = Stats(self.counters)
        options = {"timeout_s": 30.0, **sections.pop("upstream", {})}
        self.config = msgspec.convert({"upstream": {"servers": upstreams, **options}, **sections}, Config)
        self.kernels = kernels(compiled=compiled)
        self.forwarder = Forwarder(server_groups(self.config), self.loop, self.stats, sockets or self.kernels.upstream)
        self.service = new_service(RuleSet.of(self.config), self.forwarder, self.stats, self.loop.time, compiled=compiled)
        sock = bind_udp(Endpoint("127.0.0.1", 0))
        self.address = sock.getsockname()
        self.listener = self.kernels.udp_listener(sock, self.service, self.loop, self.stats, self.service.fast_path)
        self.compiled = compiled
        self.clients: list[socket.socket] = []

    def client(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect(self.address)
        self.clients.append(sock)
        return sock

    def send(self, *wires: bytes) -> socket.socket:
        """A client that has sent these, all before any of them is looked at."""
        sock = self.client()
        for wire in wires:
            sock.send(wire)
        return sock

    async def reply(self, sock: socket.socket, patience_s: float = 30.0) -> bytes:
        async with asyncio.timeout(patience_s):
            return await self.loop.sock_recv(sock, 65535)

    async def ask(self, name: str, qtype: str = "A", **options: Any) -> bytes:
        return await self.reply(self.send(query_wire(name, qtype, **options)))

    def count(self, family: str, *labels: str) -> int:
        """The sum of a family's series whose labels include `labels`."""
        return sum(value for name, own, value in self.counters.items() if name == family and set(labels) <= set(own))

    def in_fast_forward(self) -> int:
        return sum(socket_set.in_fast_forward for socket_set in self.forwarder._socket_sets)

    async def out(self, count: int) -> None:
        """Return when `count` questions are out; each of them in the forwarding kernel, where there is one."""
        await until(lambda: self.service.in_flight() == count)
        assert self.in_fast_forward() == (count if self.compiled else 0)
        assert self.forwarder.in_flight == count

    async def close(self) -> None:
        self.listener.close()
        self.forwarder.close()
        for sock in self.clients:
            sock.close()
        await asyncio.sleep(0)
        assert self.in_fast_forward() == 0
        assert self.count("dropped_total", "internal_error") == 0
