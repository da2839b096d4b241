"""The routes about single events: what `pdns events` does. The token of a tenant sees its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar, get_args

import msgspec
from aiohttp import web

from pdns.errors import SinkError, StoreError
from pdns.event_erasing import ErasedEvents, erase_events
from pdns.event_store.event import Event, Finding, Hour
from pdns.event_store.open import open_store
from pdns.event_store.queries import EventQueries, Headline, MachineRow, TopBy, TopRow, Window
from pdns.event_store.sqlite_schema import DIRECTORY
from pdns.files.records import DamagedError
from pdns.http.server import Problem
from pdns.incident_lookup import client_texts
from pdns.report.periods import typed_period
from pdns.state.sink_states import SinkState, read_states
from pdns.supervisor.http.api_commands import CommandRoutes
from pdns.supervisor.http.api_parts import ApiSource, as_json, json_body
from pdns.supervisor.http.api_routes import ApiCall, ApiQuery, ApiRoute
from pdns.wire import names

T = TypeVar("T")
MAX_ROWS: Final = 10_000
_MOST_WAITING: Final = 4
_PERIOD: Final = (
    ApiQuery("since", "a length of time before now (7d), a date or a time; 24h without it"),
    ApiQuery("until", "likewise; now without it"),
    ApiQuery("tenant", "of this tenant only"),
)
_LIMIT: Final = ApiQuery("limit", f"how many at most, up to {MAX_ROWS}; 100 without it")
_BY: Final = get_args(TopBy)


class EraseCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an erasure: a client, a tenant, or a client at a tenant."""

    client: str = ""
    tenant: str = ""


class EventRoutes(CommandRoutes):
    """Queries on the event store run one at a time, in one thread: a command never waits for a thread behind them."""

    def __init__(self, facts: ApiSource) -> None:
        super().__init__(facts)
        self._turn = asyncio.Lock()
        self._waiting = 0

    def routes(self) -> list[ApiRoute]:
        """The table of these routes."""
        filters = (
            ApiQuery("name", "queried or listed names at or below this one"),
            ApiQuery("client", "an address, or as events name the client"),
            ApiQuery("feed", "it decided, or lists the name too"),
        )
        by = ApiQuery("by", f"one of {', '.join(_BY)}", required=True)
        return [
            ApiRoute(
                "GET", "/api/events", self._events, "Blocked and monitored queries, the newest first", list[Event], "read",
                tenant="tenant", query=(*filters, _LIMIT, *_PERIOD), statuses=(404,),
            ),
            ApiRoute(
                "GET", "/api/events/findings", self._findings, "What deserves a look, the newest first", list[Finding], "read",
                tenant="tenant", query=(_LIMIT, *_PERIOD), commands=("events findings",), statuses=(404,),
            ),
            ApiRoute(
                "GET", "/api/events/machines", self._machines, "Machines to look at", list[MachineRow], "read", tenant="tenant",
                query=(_LIMIT, *_PERIOD), commands=("events machines",), statuses=(404,),
            ),
            ApiRoute(
                "GET", "/api/events/hours", self._hours, "Whether the events account for every blocked query", list[Hour],
                "read", tenant="tenant", query=_PERIOD, commands=("events hours",), statuses=(404,),
            ),
            ApiRoute(
                "GET", "/api/events/headline", self._headline, "The headline numbers", Headline, "read", tenant="tenant",
                query=_PERIOD, statuses=(404,),
            ),
            ApiRoute(
                "GET", "/api/events/top", self._top, "A top list of blocked queries", list[TopRow], "read", tenant="tenant",
                query=(by, _LIMIT, *_PERIOD), statuses=(404,),
            ),
            ApiRoute(
                "GET", "/api/events/sinks", self._sinks, "How far each sink is", list[SinkState], "read",
                commands=("events sinks",), statuses=(404,),
            ),
            ApiRoute(
                "POST", "/api/events/erase", self._erase, "Erase a client or a tenant from the store of this machine",
                ErasedEvents, body=EraseCommand, body_required=True, commands=("events erase",), statuses=(404,),
            ),
        ]  # fmt: skip

    async def _events(self, call: ApiCall) -> web.Response:
        query, config, limit = call.request.query, self.facts.config, _limit(call)
        name = names.to_text(names.from_text(query["name"])) if query.get("name") else ""
        is_admin = call.caller.role == "admin"  # others must not learn whose pseudonym one is
        client = query.get("client", "")

        def ask(store: EventQueries, window: Window, tenant: str | None) -> list[Event]:
            clients = client_texts(config, client, with_pseudonyms=is_admin) if client else ()
            return store.events(window, tenant, name=name, clients=clients, feed=query.get("feed", ""), limit=limit)

        return as_json(await self._asked(call, ask))

    async def _findings(self, call: ApiCall) -> web.Response:
        limit = _limit(call)
        return as_json(await self._asked(call, lambda store, window, tenant: store.findings(window, tenant, limit=limit)))

    async def _machines(self, call: ApiCall) -> web.Response:
        limit = _limit(call)
        return as_json(await self._asked(call, lambda store, window, tenant: store.machines(window, tenant, limit)))

    async def _hours(self, call: ApiCall) -> web.Response:
        return as_json(await self._asked(call, lambda store, window, tenant: store.hours(window, tenant)))

    async def _headline(self, call: ApiCall) -> web.Response:
        return as_json(await self._asked(call, lambda store, window, tenant: store.headline(window, tenant)))

    async def _top(self, call: ApiCall) -> web.Response:
        limit = _limit(call)
        try:
            by = msgspec.convert(call.request.query.get("by", ""), TopBy)
        except msgspec.ValidationError:
            raise Problem(400, f"by: expected one of {', '.join(_BY)}") from None
        return as_json(await self._asked(call, lambda store, window, tenant: store.top(window, tenant, by, limit)))

    async def _sinks(self, _call: ApiCall) -> web.Response:
        try:
            return as_json((await asyncio.to_thread(read_states, self.state_dir / DIRECTORY)).sinks)
        except (OSError, DamagedError) as error:
            raise Problem(404, f"the state of the sinks is unknown: {error}") from None

    async def _erase(self, call: ApiCall) -> web.Response:
        wanted = await json_body(call.request, EraseCommand)
        if not wanted.client and not wanted.tenant:
            raise Problem(400, "expected a client, a tenant, or both")
        config = self.facts.config
        try:
            return as_json(await self._in_turn(lambda: erase_events(config, client=wanted.client, tenant=wanted.tenant)))
        except SinkError as error:
            raise Problem(503, str(error)) from None

    async def _asked(self, call: ApiCall, ask: Callable[[EventQueries, Window, str | None], T]) -> T:
        """What the store answers. Raises `Problem` for an unknown tenant, `ValueError` for no period."""
        query = call.request.query
        tenant = self.tenant_of(call, query["tenant"]) if query.get("tenant") else None
        period = typed_period(query.get("since", "24h"), query.get("until", ""), time.time())

        def read() -> T:
            store = open_store(self.facts.config)
            try:
                return ask(store, Window(period.start_s, period.end_s), tenant)
            finally:
                store.close()

        return await self._in_turn(read)

    async def _in_turn(self, work: Callable[[], T]) -> T:
        if self._waiting >= _MOST_WAITING:
            raise Problem(503, "other queries on events are running; try again", {"Retry-After": "10"})
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work)
        except StoreError as error:
            raise Problem(404, str(error)) from None
        finally:
            self._waiting -= 1


def _limit(call: ApiCall) -> int:
    """Raises `Problem`."""
    text = call.request.query.get("limit", "100")
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MAX_ROWS):
        raise Problem(400, f"limit: expected 1 to {MAX_ROWS}")
    return int(text)
