"""The connections of one HTTP server: how many there may be, how long one may say nothing, and which one makes room."""

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
_SHARE: Final = 8  # of this process's descriptors one server takes no more than this part
LINGER_S: Final = 1.0  # for the rest of a body that is not wanted
_SAY_EVERY_S: Final = 60.0

_log = logging.getLogger(__name__)


def most_connections(descriptors: int) -> int:
    """How many connections a server may hold in a process that may open `descriptors` files."""
    return max(4, min(_MOST, descriptors // _SHARE))


class BoundedServer:
    """Accepts for a `web.Server`. When there are too many connections the client address that has most loses its oldest one, so
    that a client that opens many keeps no other out.
    """

    def __init__(self, server: web.Server, most: int | None = None) -> None:
        """`most`: connections at a time; by default what the limit of descriptors allows."""
        self.dropped = 0  # connections that made room
        self._server = server
        self._most = most_connections(limit()) if most is None else most
        self._said_s: float | None = None

    async def listen(self, sock: socket.socket) -> asyncio.Server:
        """Accept on `sock`, which is bound."""
        return await asyncio.get_running_loop().create_server(self._protocol, sock=sock, backlog=BACKLOG)

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
            self._say(str(hosts[victim]), held[hosts[victim]])
        return self._server()

    def _say(self, host: str, connections: int) -> None:
        now_s = asyncio.get_running_loop().time()
        if self._said_s is None or now_s >= self._said_s + _SAY_EVERY_S:
            self._said_s = now_s
            _log.warning(
                "%d HTTP connections are open, the most that are allowed: %s has %d of them, and its oldest is closed",
                self._most, host, connections,
            )  # fmt: skip
