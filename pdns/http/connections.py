"""The connections of one HTTP server: their limit, their idle timeout, and which one is closed at the limit."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from typing import Final

from aiohttp import web

from pdns.net.descriptors import limit

REQUEST_WITHIN_S: Final = 10.0  # a whole header, from the connection or from the answer before on
BACKLOG: Final = 16
_MOST: Final = 64
_SHARE: Final = 8  # one server takes at most this part of the process's descriptors
LINGER_S: Final = 1.0  # for the rest of an unwanted body
_SAY_EVERY_S: Final = 60.0

_log = logging.getLogger(__name__)


def most_connections(descriptors: int) -> int:
    """How many connections a server may hold in a process that may open `descriptors` files."""
    return max(4, min(_MOST, descriptors // _SHARE))


class BoundedServer:
    """Accepts connections for a `web.Server`. At the limit, the client address with the most connections loses its oldest one, so
    that one client cannot lock out the others.
    """

    def __init__(self, server: web.Server, most: int | None = None) -> None:
        """`most`: connections at a time; by default as many as the limit of descriptors allows."""
        self.dropped = 0  # connections that made room
        self.handshakes: dict[Handshake, None] = {}  # the oldest first
        self._server = server
        self._most = most_connections(limit()) if most is None else most
        self._said_s: float | None = None

    async def listen(
        self, sock: socket.socket, tls: Callable[[], ssl.SSLContext] | None = None, backlog: int = BACKLOG
    ) -> asyncio.Server:
        """Accept on `sock`, which is bound. `tls` returns the context for the next connection; None: plain."""
        loop = asyncio.get_running_loop()
        factory = self._protocol if tls is None else lambda: Handshake(self, tls)
        if sock.family == socket.AF_UNIX:
            return await loop.create_unix_server(factory, sock=sock, backlog=backlog)
        return await loop.create_server(factory, sock=sock, backlog=backlog)

    def new_protocol(self) -> web.RequestHandler:
        """The protocol of a connection that has its place."""
        return self._server()

    def make_room(self) -> None:
        """Call this for each new connection. Closes another one at the limit."""
        there: list[web.RequestHandler | Handshake] = [*self._server.connections, *self.handshakes]  # the oldest of each first
        hosts = {one: (one.peername or ("",))[0] for one in there if one.transport is not None and not one.transport.is_closing()}
        if len(hosts) >= self._most:
            held = Counter(hosts.values())
            victim = max(hosts, key=lambda one: held[hosts[one]])
            if victim.transport is not None:
                victim.transport.abort()
            self.dropped += 1
            self._log_closed(str(hosts[victim]), held[hosts[victim]])

    def _protocol(self) -> web.RequestHandler:
        self.make_room()
        return self._server()

    def _log_closed(self, host: str, connections: int) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._said_s is None or now_s >= self._said_s + _SAY_EVERY_S:
            self._said_s = now_s
            _log.warning(
                "%d HTTP connections are open, which is the limit: %s has %d of them, and its oldest is closed",
                self._most, host, connections,
            )  # fmt: skip


class Handshake(asyncio.Protocol):
    """A connection until its TLS handshake is done. It counts as a connection, so handshakes are bounded like requests."""

    def __init__(self, owner: BoundedServer, tls: Callable[[], ssl.SSLContext]) -> None:
        self.transport: asyncio.Transport | None = None
        self.peername: tuple[str, int] | None = None
        self._owner, self._tls = owner, tls
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake. Nothing is read before TLS has taken over."""
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        self._owner.make_room()
        self.transport, self.peername = transport, transport.get_extra_info("peername")
        self._owner.handshakes[self] = None
        self._task = asyncio.get_running_loop().create_task(self._upgrade(transport))

    async def _upgrade(self, transport: asyncio.Transport) -> None:
        protocol = self._owner.new_protocol()
        try:
            encrypted = await asyncio.get_running_loop().start_tls(
                transport, protocol, self._tls(), server_side=True, ssl_handshake_timeout=REQUEST_WITHIN_S
            )
        except (OSError, ValueError):  # of which ssl.SSLError is one: what is sent is not TLS, or the client left
            encrypted = None
        finally:
            self._owner.handshakes.pop(self, None)
        if encrypted is None:
            transport.abort()
        else:
            protocol.connection_made(encrypted)
