"""The connections of one HTTP server: their limit, their idle timeout, and which one is closed at the limit."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
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
        self._server = server
        self._most = most_connections(limit()) if most is None else most
        self._said_s: float | None = None

    async def listen(self, sock: socket.socket, backlog: int = BACKLOG) -> asyncio.Server:
        """Accept on `sock`, which is bound."""
        return await asyncio.get_running_loop().create_server(self._protocol, sock=sock, backlog=backlog)

    def _protocol(self) -> asyncio.Protocol:
        hosts = {
            handler: (handler.peername or ("",))[0]
            for handler in self._server.connections  # the oldest first
            if handler.transport is not None and not handler.transport.is_closing()
        }
        if len(hosts) >= self._most:
            held = Counter(hosts.values())
            victim = max(hosts, key=lambda handler: held[hosts[handler]])
            if victim.transport is not None:
                victim.transport.abort()
            self.dropped += 1
            self._log_closed(str(hosts[victim]), held[hosts[victim]])
        return self._server()

    def _log_closed(self, host: str, connections: int) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._said_s is None or now_s >= self._said_s + _SAY_EVERY_S:
            self._said_s = now_s
            _log.warning(
                "%d HTTP connections are open, which is the limit: %s has %d of them, and its oldest is closed",
                self._most, host, connections,
            )  # fmt: skip
