"""An HTTP server on a socket that somebody else bound, which it owns from `serve` on; the socket may change."""

from __future__ import annotations

import socket
from typing import Final

from aiohttp import web

_CLOSE_S: Final = 0.3  # how long an answer in progress may hold up the end


class HttpServer:
    """Serves one application."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_CLOSE_S)
        self._site: web.SockSite | None = None

    async def serve(self, sock: socket.socket | None) -> None:
        """Answer on `sock`, which is bound, and no longer on the one before; None: nowhere."""
        before, self._site = self._site, None
        if sock is not None:
            if self._runner.server is None:
                await self._runner.setup()
            self._site = web.SockSite(self._runner, sock)
            await self._site.start()
        if before is not None:
            await before.stop()

    async def close(self) -> None:
        """Stop; answers that are on their way have a moment to finish."""
        await self._runner.cleanup()
