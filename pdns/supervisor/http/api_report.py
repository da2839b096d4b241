"""The routes about what was blocked: what `pdns report` does. The token of a tenant gets reports of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar

from aiohttp import web

from pdns.errors import StoreError
from pdns.event_store.open import open_store
from pdns.event_store.queries import EventQueries
from pdns.event_store.sqlite_schema import store_path
from pdns.http.server import Problem
from pdns.incident_lookup import incident_of
from pdns.report.content import ReportContent, gather
from pdns.report.incident import IncidentContent, SealedIncident, sealed
from pdns.report.periods import Period, typed_period
from pdns.state import feed_status
from pdns.supervisor.http.api_commands import CommandRoutes
from pdns.supervisor.http.api_parts import ApiSource, as_json
from pdns.supervisor.http.api_routes import ApiCall, ApiQuery, ApiRoute

T = TypeVar("T")
_MOST_WAITING: Final = 4
_PERIOD: Final = (
    ApiQuery("since", "a length of time before now (7d), a date or a time; 7d without it"),
    ApiQuery("until", "likewise; now without it"),
    ApiQuery("time_zone", "such as Europe/London; UTC without it"),
    ApiQuery("tenant", "of this tenant only"),
)


class IncidentAnswer(SealedIncident, frozen=True):
    """An incident report, and the SHA-256 of the bytes of its content."""

    content: IncidentContent  # type: ignore[assignment]


class EventReportRoutes(CommandRoutes):
    """Reports on events. They are made one at a time, in one thread: a command never waits for a thread behind them."""

    def __init__(self, facts: ApiSource) -> None:
        super().__init__(facts)
        self._turn = asyncio.Lock()
        self._waiting = 0

    def routes(self) -> list[ApiRoute]:
        """The table of these routes."""
        return [
            ApiRoute(
                "GET", "/api/report", self._report, "What was blocked in a period", ReportContent, "read", tenant="tenant",
                query=_PERIOD, commands=("report",), statuses=(404,),
            ),
            ApiRoute(
                "GET", "/api/incident", self._incident, "All that is known of a name or a machine", IncidentAnswer, "read",
                tenant="tenant", commands=("report",), statuses=(404,),
                query=(
                    ApiQuery("name", "a name, an address or a URL"), ApiQuery("client", "a machine, as events name it"), *_PERIOD,
                ),
            ),
        ]  # fmt: skip

    async def _report(self, call: ApiCall) -> web.Response:
        period, tenant, now_s = self._asked(call)
        config, state_dir = self.facts.config, self.state_dir
        return as_json(
            await self._made(lambda queries: gather(queries, config, feed_status.read(state_dir), period, tenant, now_s))
        )

    async def _incident(self, call: ApiCall) -> web.Response:
        period, tenant, now_s = self._asked(call)
        config, query = self.facts.config, call.request.query
        name, client = query.get("name", ""), query.get("client", "")
        if not name and not client:
            raise Problem(400, "expected name or client")
        is_admin = call.caller.role == "admin"  # others must not learn whose pseudonym one is

        def make(queries: EventQueries) -> SealedIncident:
            return sealed(
                incident_of(
                    queries, config, period, now_s, name=name, client=client, tenant=tenant, with_pseudonyms=is_admin
                )
            )  # fmt: skip

        return as_json(await self._made(make))

    def _asked(self, call: ApiCall) -> tuple[Period, str | None, float]:
        """The period, the tenant and the time now. Raises `Problem` for an unknown tenant, `ValueError` for no period."""
        query, now_s = call.request.query, time.time()
        tenant = self.tenant_of(call, query["tenant"]) if query.get("tenant") else None
        period = typed_period(query.get("since", "7d"), query.get("until", ""), now_s, query.get("time_zone", "UTC"))
        return period, tenant, now_s

    async def _made(self, make: Callable[[EventQueries], T]) -> T:
        if self._waiting >= _MOST_WAITING:
            raise Problem(503, "other reports are being made; try again", {"Retry-After": "10"})
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(self._read, make)
        finally:
            self._waiting -= 1

    def _read(self, make: Callable[[EventQueries], T]) -> T:
        try:
            queries = open_store(self.facts.config)
            try:
                return make(queries)
            finally:
                queries.close()
        except StoreError as error:
            has_events = self.facts.config.events.enabled and store_path(self.state_dir).exists()
            raise Problem(503 if has_events else 404, str(error)) from None
