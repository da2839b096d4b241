"""A listener for DNS over TCP with its connections, and clients of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, cast

from pdns.config.addresses import Endpoint
from pdns.net.edge import Reply
from pdns.net.sockets import bind_tcp
from pdns.net.tcp import TcpConnections, TcpListener
from pdns.net.tcp_limits import TcpLimits
from pdns.wire.framing import frame
from tests.fakes.edges import FakeService, FakeStatistics, until

ROOMY: Final = TcpLimits()
PATIENCE_S: Final = 30.0


class Peer:
    """A client's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.port: int = writer.get_extra_info("sockname")[1]

    def send(self, *messages: bytes) -> None:
        self.writer.write(b"".join(map(frame, messages)))

    async def receive(self) -> bytes:
        """The next message."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.readexactly(int.from_bytes(await self.reader.readexactly(2)))

    async def ask(self, wire: bytes) -> bytes:
        self.send(wire)
        return await self.receive()

    async def rest(self) -> bytes:
        """All bytes until the other side closes or resets the connection."""
        received = b""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while more := await self.reader.read(65536):
                    received += more
            except ConnectionError:
                pass
        return received

    @property
    def is_open(self) -> bool:
        return not self.reader.at_eof() and self.reader.exception() is None

    def stop_reading(self) -> None:
        """Read nothing from now on, so that the buffers fill."""
        cast("asyncio.Transport", self.writer.transport).pause_reading()

    def read_on(self) -> None:
        cast("asyncio.Transport", self.writer.transport).resume_reading()

    def close(self) -> None:
        self.writer.transport.abort()


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class TcpServer:
    """A listener with its connections, and clients that come from any loopback address."""

    def __init__(self, act: Callable[[bytes, Reply], None], limits: TcpLimits, clock: Callable[[], float] | None = None) -> None:
        self.sock = bind_tcp(Endpoint("127.0.0.1", 0))
        self.port: int = self.sock.getsockname()[1]
        self.service = FakeService(act)
        self.stats = FakeStatistics()
        self.connections = TcpConnections(limits, asyncio.get_running_loop(), self.stats, clock)
        self.listener = TcpListener(self.sock, self.service, self.connections)
        self.peers: list[Peer] = []

    async def connect(self, client: str = "127.0.0.1", *, counted: bool = True) -> Peer:
        """A new connection; `counted`: that the listener has taken up."""
        before = self.stats.drops["tcp_made_room"] + len(self.connections)
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port, local_addr=(client, 0)))
        self.peers.append(peer)
        if counted:
            await until(lambda: self.stats.drops["tcp_made_room"] + len(self.connections) > before)
            await until(lambda: all(stream._open for stream in self.connections._table))  # counted before it has a transport
        return peer


@asynccontextmanager
async def listening(
    act: Callable[[bytes, Reply], None], limits: TcpLimits = ROOMY, clock: Callable[[], float] | None = None
) -> AsyncIterator[TcpServer]:
    """`clock` decides which connections are idle; without one, the clock of the loop."""
    running = TcpServer(act, limits, clock)
    running.listener.start()
    try:
        yield running
    finally:
        running.listener.close()
        running.connections.close()
        for peer in running.peers:
            peer.close()
        await asyncio.sleep(0.01)  # the loops close what was aborted in their next turn


def knock(port: int, client: str, count: int = 1) -> list[socket.socket]:
    """`count` connections of `client` that wait in the kernel to be accepted."""
    knocking = []
    for _ in range(count):
        sock = socket.socket()
        sock.bind((client, 0))
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        knocking.append(sock)
    return knocking
