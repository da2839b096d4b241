"""The sockets of a fake upstream: UDP and TCP (or TLS) on one port."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any, Protocol

from pdns.wire.framing import Deframer, frame

if TYPE_CHECKING:
    from tests.fakes.upstream import FakeUpstream


async def listen(
    server: FakeUpstream, loop: asyncio.AbstractEventLoop, wanted: int, *, tcp: bool, tls: ssl.SSLContext | None
) -> tuple[asyncio.DatagramTransport, asyncio.Server | None, int]:
    """Listen for `server` on the port that is `wanted`, on a free one for 0. Returns that port too."""
    for _ in range(100):
        try:
            udp, _protocol = await loop.create_datagram_endpoint(lambda: _Udp(server), ("127.0.0.1", wanted))
        except OSError:  # a client of somebody has the port of last time
            await asyncio.sleep(0.05)
            continue
        port: int = udp.get_extra_info("sockname")[1]
        try:
            listening = await loop.create_server(lambda: _Tcp(server), "127.0.0.1", port, ssl=tls) if tcp else None
        except OSError:  # another program has that TCP port
            udp.abort()
            await asyncio.sleep(0.01)
            continue
        return udp, listening, port
    raise OSError("no port that is free for both UDP and TCP")


def reserve(port: int) -> list[socket.socket]:
    """Sockets that are bound to `port` and hear nothing: no other program can be given it meanwhile."""
    reserved = []
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        sock = socket.socket(socket.AF_INET, kind)
        reserved.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
        if kind is socket.SOCK_DGRAM:
            sock.connect(("127.0.0.1", 9))
    return reserved


class Peer(Protocol):
    """Who asked, as it can be answered."""

    def send(self, wire: bytes, *, other_port: bool, to: tuple[str, int] | None) -> None: ...
    def hang_up(self, raw: bytes, *, stay: bool) -> None: ...


class _UdpPeer:
    def __init__(self, server: FakeUpstream, transport: asyncio.DatagramTransport | None, addr: tuple[str | Any, int]) -> None:
        self._server, self._transport, self._addr = server, transport, addr

    def send(self, wire: bytes, *, other_port: bool, to: tuple[str, int] | None) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if not other_port:
            self._transport.sendto(wire, to or self._addr)
        elif self._server._other_port is not None:  # not stopping
            self._server._other_port.sendto(wire, to or self._addr)

    def hang_up(self, raw: bytes, *, stay: bool) -> None:
        """Nothing happens."""


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: FakeUpstream) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.DatagramTransport) or hasattr(transport, "sendto")
        self._transport = transport  # type: ignore[assignment]  # uvloop's transport is a datagram transport by duck type only

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._server._arrived(data, "udp", (addr[0], addr[1]), _UdpPeer(self._server, self._transport, addr))

    def error_received(self, exc: Exception) -> None:
        """Whoever asked has gone."""


class _Tcp(asyncio.Protocol):
    def __init__(self, server: FakeUpstream) -> None:
        self._server = server
        self._deframer = Deframer()
        self._transport: asyncio.Transport
        self._source = ("", 0)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a stream transport, by the loop's promise
        peer = transport.get_extra_info("peername")
        self._source = (peer[0], peer[1])
        self._server.connections += 1
        self._server._open.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        for wire in self._deframer.feed(data):
            self._server._arrived(wire, "tls" if self._server._tls else "tcp", self._source, self)

    def send(self, wire: bytes, *, other_port: bool, to: tuple[str, int] | None) -> None:
        if not (self._transport.is_closing() or other_port or to):
            self._transport.write(frame(wire))

    def hang_up(self, raw: bytes, *, stay: bool) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(raw)
        if not stay:
            self._transport.close()
