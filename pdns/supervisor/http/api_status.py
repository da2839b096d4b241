"""The routes about what the live views show."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from pdns.http.server import Problem
from pdns.supervisor.http.api_parts import ApiSource, as_json
from pdns.supervisor.http.api_routes import ApiCall, ApiRoute
from pdns.supervisor.http.live_snapshot import LiveView
from pdns.telemetry.live_status import LiveStatus, TenantStatus


class StatusRoutes:
    """`GET /api/status`, and the part of a tenant."""

    def __init__(self, facts: ApiSource, live: Callable[[], LiveView]) -> None:
        self._facts, self._live = facts, live

    def routes(self) -> list[ApiRoute]:
        """The table of these routes."""
        return [
            ApiRoute(
                "GET", "/api/status", self._status, "Rates, latency, blocked names, upstreams, feeds, workers, tenants",
                LiveStatus, "read", commands=("top",),
            ),
            ApiRoute(
                "GET", "/api/tenants/{tenant}/status", self._of_tenant, "Rates and blocked names of a tenant", TenantStatus,
                "read", tenant="tenant", statuses=(404,),
            ),
        ]  # fmt: skip

    async def _status(self, _call: ApiCall) -> web.Response:
        return as_json(await self._now())

    async def _of_tenant(self, call: ApiCall) -> web.Response:
        tenant = call.at["tenant"]
        if tenant not in [one.name for one in self._facts.config.tenant]:
            raise Problem(404, "there is no tenant of this name")
        return as_json(self._live().of_tenant(await self._now(), tenant))

    async def _now(self) -> LiveStatus:
        status = await self._live().status()
        if status is None:
            raise Problem(503, "the server stops")
        return status
