"""The pages for machines: `/metrics`, `/healthz`, `/readyz`; and the status page for people. They change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from pdns.http.server import HttpRoute, HttpServer, Problem
from pdns.supervisor.http.collector import PdnsCollector
from pdns.supervisor.http.exposition import Exposition
from pdns.supervisor.http.live_snapshot import LiveSource, LiveView
from pdns.supervisor.http.status import StatusReader
from pdns.supervisor.http.status_pages import StatusPages

_INDEX: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>pdns</title></head><body><h1>pdns</h1>
<ul><li><a href="/metrics">/metrics</a></li><li><a href="/healthz">/healthz</a></li><li><a href="/readyz">/readyz</a></li></ul>
</body></html>
"""


class HealthSource(LiveSource, Protocol):
    """What the pages need from the supervisor besides the metrics."""

    def unhealthy(self) -> list[str]: ...


class AdminPages(HttpServer):
    """Serves the pages for machines."""

    def __init__(self, facts: HealthSource, status: StatusReader, live: LiveView) -> None:
        self._facts = facts
        self._status_pages = StatusPages(live, lambda: facts.config.metrics.status_page)
        self._collector = PdnsCollector(facts, status)
        self._exposition = Exposition()
        routes = (
            HttpRoute("GET", "/", self._index),
            HttpRoute("GET", "/metrics", self._metrics),
            HttpRoute("GET", "/healthz", self._healthz),
            HttpRoute("GET", "/readyz", self._readyz),
            *self._status_pages.routes(),
        )
        super().__init__("metrics", routes, lambda: facts.config.metrics.hosts)

    async def _index(self, request: web.BaseRequest, path: str) -> web.Response:
        if not self._status_pages.is_off:
            return await self._status_pages.page(request, path)
        return web.Response(text=_INDEX, content_type="text/html")

    async def _metrics(self, request: web.BaseRequest, _path: str) -> web.Response:
        try:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        except ValueError:
            raise Problem(400, "expected Accept to name versions of a format") from None
        if "escaping=dots" in content_type:  # other names of metrics
            body = encode(self._collector)
        else:
            openmetrics = content_type.startswith("application/openmetrics-text")
            body = self._exposition.page(self._collector.values(), openmetrics=openmetrics)
        response = web.Response(body=body, headers={"Content-Type": content_type})
        response.enable_compression()
        return response

    async def _healthz(self, _request: web.BaseRequest, _path: str) -> web.Response:
        return _verdict(self._facts.unhealthy())

    async def _readyz(self, _request: web.BaseRequest, _path: str) -> web.Response:
        return _verdict(self._facts.not_ready(), self._facts.remarks())


def _verdict(missing: list[str], remarks: Sequence[str] = ()) -> web.Response:
    lines = [*(missing or ["ok"]), *remarks]
    return web.Response(text="".join(f"{line}\n" for line in lines), status=503 if missing else 200)
