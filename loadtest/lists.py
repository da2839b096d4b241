"""The two lists of a soak: a file whose names come and go, and one over HTTP whose server fails in every way there is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from aiohttp import web

from loadtest.loopback import Address
from loadtest.population import Population
from pdns.wire import names

Manner = Literal["well", "404", "page", "empty", "cut", "hangs"]

ALWAYS = 5_000  # of the sample, the names that traffic asks for: listed in the file from the first moment to the last
OVER_HTTP = 1_000  # the next ones: listed over HTTP all the time
COMING_AND_GOING = 200
_HANG_S = 90.0


class Lists:
    """What is listed where. Names in wire form."""

    def __init__(self, population: Population, file: Path) -> None:
        """Writes the first version of `file`."""
        listed = population.listed
        self.always = listed[:ALWAYS] + listed[ALWAYS : ALWAYS + OVER_HTTP]
        self.over_http = listed[ALWAYS : ALWAYS + OVER_HTTP]
        self.changing = listed[ALWAYS + OVER_HTTP : ALWAYS + OVER_HTTP + COMING_AND_GOING]
        self.manner: Manner = "well"
        self.requests = 0
        self._file = file
        self._more_over_http = 0
        elsewhere = {names.to_text(name) for name in [*self.over_http, *self.changing]}
        self._base = "\n".join(name for name in population.list_file.read_text().split() if name not in elsewhere) + "\n"
        self._turn = 0
        self.write_file()

    @property
    def coming(self) -> list[bytes]:
        """Those of the changing names that are in the file now."""
        return self.changing[self._turn % 2 :: 2]

    @property
    def going(self) -> list[bytes]:
        return self.changing[(self._turn + 1) % 2 :: 2]

    def change(self) -> None:
        """The names that come and go change places."""
        self._turn += 1
        self.write_file()

    def lengthen(self) -> None:
        """One more name over HTTP."""
        self._more_over_http += 1

    def write_file(self, *, empty: bool = False) -> None:
        """The file as it should be, or empty."""
        text = "" if empty else self._base + _lines(self.coming)
        new = self._file.with_suffix(".new")
        new.write_text(text)
        new.replace(self._file)

    @contextlib.asynccontextmanager
    async def served(self) -> AsyncIterator[Address]:
        """The list over HTTP, on a loopback port, in the `manner` of the moment."""
        application = web.Application()
        application.router.add_get("/list.txt", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield Address(*runner.addresses[0][:2])
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        extra = "".join(f"soak{n}.invoice-portal{n}.top\n" for n in range(self._more_over_http))
        body = (_lines(self.over_http) + extra).encode()
        match self.manner:
            case "404":
                return web.Response(status=404, text="not here")
            case "page":
                return web.Response(
                    text="<!DOCTYPE html><html><body>Down for maintenance</body></html>", content_type="text/html"
                )
            case "empty":
                return web.Response(body=b"")
            case "cut":
                response = web.StreamResponse(headers={"Content-Length": str(len(body))})
                await response.prepare(request)
                await response.write(body[: len(body) // 2])
                if request.transport is not None:
                    request.transport.close()
                return response
            case "hangs":
                await asyncio.sleep(_HANG_S)
        return web.Response(body=body)


def _lines(wire: list[bytes]) -> str:
    return "".join(names.to_text(name) + "\n" for name in wire)
