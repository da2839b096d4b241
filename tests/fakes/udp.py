"""A listener for DNS over UDP, and clients that ask it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pdns.config.addresses import Endpoint
from pdns.fast.udp import UdpListener
from pdns.net.edge import Reply
from pdns.net.sockets import bind_udp
from pdns.reference.udp_listener import ReferenceUdpListener
from tests.fakes.edges import FakeService, FakeStatistics

LISTENERS: dict[str, Any] = {"python": ReferenceUdpListener, "compiled": UdpListener}
on_both_binds = pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"], ids=["specific", "wildcard"])


class UdpServer:
    """A listener, and clients that ask it."""

    twin: Any = ReferenceUdpListener

    def __init__(self, sock: socket.socket, service: FakeService) -> None:
        self.sock = sock
        self.port: int = sock.getsockname()[1]
        self.service = service
        self.stats = FakeStatistics()
        self.listener = self.twin(sock, service, asyncio.get_running_loop(), self.stats)

    async def ask(self, wire: bytes, server: str = "127.0.0.1") -> bytes:
        """The answer to `wire`, taken from the very address that was asked and from no other."""
        with client(server, self.port) as sock:
            sock.send(wire)
            return await answer(sock)


@asynccontextmanager
async def listening(act: Callable[[bytes, Reply], None], host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[UdpServer]:
    running = UdpServer(bind_udp(Endpoint(host, port)), FakeService(act))
    try:
        yield running
    finally:
        running.listener.close()


def client(server: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.connect(socket.getaddrinfo(server, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0][4])
    return sock


async def answer(sock: socket.socket) -> bytes:
    async with asyncio.timeout(30):
        return await asyncio.get_running_loop().sock_recv(sock, 65535)
