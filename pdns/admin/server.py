"""An HTTP server on a socket that somebody else bound, which it owns from `serve` on; the socket may change."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

from aiohttp import web

from pdns.admin.connections import BoundedServer, bounded_runner

_CLOSE_S: Final = 0.3  # how long an answer in progress may hold up the end


class HttpServer:
    """Serves one application, to a bounded number of connections."""

    def __init__(self, app: web.Application) -> None:
        self._runner = bounded_runner(app, _CLOSE_S)
        self._bounded: BoundedServer | None = None
        self._listening: asyncio.Server | None = None

    @property
    def dropped(self) -> int:
        """Connections that were closed because there were too many."""
        return 0 if self._bounded is None else self._bounded.dropped

    async def serve(self, sock: socket.socket | None) -> None:
        """Answer on `sock`, which is bound, and no longer on the one before; None: nowhere."""
        before, self._listening = self._listening, None
        if sock is not None:
            if self._bounded is None:
                await self._runner.setup()
                assert self._runner.server is not None
                self._bounded = BoundedServer(self._runner.server)
            self._listening = await self._bounded.listen(sock)
        if before is not None:
            before.close()

    async def close(self) -> None:
        """Stop; answers that are on their way have a moment to finish."""
        if self._listening is not None:
            self._listening.close()
        await self._runner.cleanup()
