"""The routes about feeds and local entries: what `pdns feeds`, `block`, `allow`, `indicators`, `pause`, `resume` do.

A command takes the same path as one from the command line (`pdns.state.commands`); the API itself changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from aiohttp import web

from pdns.config.catalogue import catalogue
from pdns.files.safe_files import make_directory, write_whole
from pdns.http.server import Problem
from pdns.state import commands, overrides
from pdns.state.feed_status import FeedsStatus, HeldUpdate
from pdns.state.overrides import Indicator, as_csv
from pdns.supervisor.http.api_commands import CommandRoutes, TenantsCommand, Wanted, for_tenant, wanted_of
from pdns.supervisor.http.api_parts import ApiSource, DoneOrNot, as_json
from pdns.supervisor.http.api_routes import ApiCall, ApiQuery, ApiRoute
from pdns.supervisor.http.status import StatusReader

_FEED_COMMANDS: Final = ("hold", "release", "drop", "disable", "enable")
_UPDATE: Final = "update"  # in commands.DIRECTORY: touching it starts a refresh of every feed


class PausedTenant(msgspec.Struct, frozen=True):
    """Whether blocking is paused for a tenant. Times are seconds since the epoch, 0 for not paused."""

    paused: bool
    reason: str = ""
    author: str = ""
    since_s: float = 0.0
    until_s: float = 0.0


class HeldItems(msgspec.Struct, frozen=True):
    """What is held of one feed."""

    update: HeldUpdate | None
    names: dict[str, str]
    kinds: dict[str, str]
    names_count: int
    refused_names: dict[str, str]
    refused_names_count: int
    every_update_is_held: str
    disabled_until_s: float
    expired: bool


class FeedRoutes(CommandRoutes):
    """Feeds and local entries."""

    def __init__(self, facts: ApiSource, status: StatusReader) -> None:
        super().__init__(facts)
        self._status = status

    def routes(self) -> list[ApiRoute]:
        """The table of these routes."""
        done = DoneOrNot
        return [
            ApiRoute("GET", "/api/feeds", self._feeds, "Status of every feed", FeedsStatus, "read", commands=("feeds status",)),
            ApiRoute(
                "GET", "/api/feeds/held", self._held, "What is held or refused, by feed", dict[str, HeldItems], "read",
                commands=("feeds held",),
            ),
            ApiRoute(
                "GET", "/api/feeds/catalogue", self._catalogue, "Public feeds that a configuration can use",
                dict[str, dict[str, Any]], "read", commands=("feeds catalogue",),
            ),
            ApiRoute(
                "POST", "/api/feeds/update", self._update, "Start a refresh of every feed", done, commands=("feeds update",),
                statuses=(202,),
            ),
            ApiRoute(
                "POST", "/api/feeds/release", self._release_all, "Put held items of all feeds in force", done, body=Wanted,
                commands=("feeds release",), statuses=(404, 409, 504),
            ),
            ApiRoute(
                "POST", "/api/feeds/{feed}/{command}", self._command_feed, "Hold, release, drop, disable or enable", done,
                body=Wanted, commands=tuple(f"feeds {command}" for command in _FEED_COMMANDS),
                choices={"command": _FEED_COMMANDS}, statuses=(404, 409, 504),
            ),
            ApiRoute(
                "GET", "/api/indicators", self._list_indicators, "Local entries in force", list[Indicator], "read",
                query=(ApiQuery("format", "csv for CSV instead of JSON"),),
                commands=("indicators list", "indicators export"), other=("text/csv",),
            ),
            ApiRoute(
                "POST", "/api/indicators", self._indicate, "Block or allow a name", done, body=Wanted,
                commands=("block", "allow"), statuses=(404, 409, 504),
            ),
            ApiRoute(
                "DELETE", "/api/indicators/{name}", self._remove, "Remove the local entry for a name", done, body=Wanted,
                commands=("indicators remove",), statuses=(404, 409, 504),
            ),
            ApiRoute(
                "GET", "/api/tenants/{tenant}/indicators", self._list_of_tenant, "Local entries for a tenant", list[Indicator],
                "read", tenant="tenant", statuses=(404,),
            ),
            ApiRoute(
                "POST", "/api/tenants/{tenant}/indicators", self._indicate_for, "Block or allow a name for a tenant", done,
                tenant="tenant", body=TenantsCommand, statuses=(404, 409, 504),
            ),
            ApiRoute(
                "DELETE", "/api/tenants/{tenant}/indicators/{name}", self._remove_for, "Remove a local entry for a tenant", done,
                tenant="tenant", body=TenantsCommand, statuses=(404, 409, 504),
            ),
            ApiRoute(
                "GET", "/api/tenants/{tenant}/pause", self._paused, "Whether blocking is paused for a tenant", PausedTenant,
                "read", tenant="tenant", statuses=(404,),
            ),
            ApiRoute(
                "POST", "/api/tenants/{tenant}/pause", self._pause, "Block nothing for a tenant for a while", done,
                tenant="tenant", body=TenantsCommand, commands=("pause",), statuses=(404, 409, 504),
            ),
            ApiRoute(
                "POST", "/api/tenants/{tenant}/resume", self._resume, "Block again for a tenant", done, tenant="tenant",
                body=TenantsCommand, commands=("resume",), statuses=(404, 409, 504),
            ),
        ]  # fmt: skip

    async def _feeds(self, _call: ApiCall) -> web.Response:
        return as_json(self._status.read())

    async def _held(self, _call: ApiCall) -> web.Response:
        return as_json(held(self._status.read()))

    async def _catalogue(self, _call: ApiCall) -> web.Response:
        return as_json(catalogue())

    async def _update(self, _call: ApiCall) -> web.Response:
        await asyncio.to_thread(self._touch)
        return as_json(DoneOrNot(done=False, text="a refresh of every feed starts; GET /api/feeds shows how it goes"), 202)

    def _touch(self) -> None:
        request = self.state_dir / commands.DIRECTORY / _UPDATE
        make_directory(request.parent, 0o750)
        write_whole(request, b"", synced=False)

    async def _command_feed(self, call: ApiCall) -> web.Response:
        if call.at["command"] not in _FEED_COMMANDS:
            raise Problem(404, f"known: {', '.join(_FEED_COMMANDS)}")
        return await self.execute(call, call.at["command"], await wanted_of(call, Wanted), call.at["feed"])

    async def _release_all(self, call: ApiCall) -> web.Response:
        return await self.execute(call, "release", await wanted_of(call, Wanted))

    async def _list_indicators(self, call: ApiCall) -> web.Response:
        entries = overrides.read(self.state_dir).at(time.time()).indicators
        if call.request.query.get("format") == "csv":
            return web.Response(text=as_csv(entries), content_type="text/csv")
        return as_json(entries)

    async def _indicate(self, call: ApiCall) -> web.Response:
        wanted = await wanted_of(call, Wanted)
        if not wanted.action:
            raise Problem(400, 'action: expected "block" or "allow"')
        return await self.execute(call, wanted.action, await self.with_name(call, wanted))

    async def _remove(self, call: ApiCall) -> web.Response:
        wanted = await wanted_of(call, Wanted)
        return await self.execute(call, "remove", msgspec.structs.replace(wanted, name=call.at["name"]))

    async def _list_of_tenant(self, call: ApiCall) -> web.Response:
        tenant = self.tenant_of(call)
        entries = overrides.read(self.state_dir).at(time.time()).indicators
        return as_json([entry for entry in entries if entry.tenant == tenant])

    async def _indicate_for(self, call: ApiCall) -> web.Response:
        wanted = await wanted_of(call, TenantsCommand)
        if not wanted.action:
            raise Problem(400, 'action: expected "block" or "allow"')
        ours = for_tenant(wanted, self.tenant_of(call))
        return await self.execute(call, wanted.action, await self.with_name(call, ours))

    async def _remove_for(self, call: ApiCall) -> web.Response:
        wanted = for_tenant(await wanted_of(call, TenantsCommand), self.tenant_of(call))
        return await self.execute(call, "remove", msgspec.structs.replace(wanted, name=call.at["name"]))

    async def _paused(self, call: ApiCall) -> web.Response:
        entry = overrides.read(self.state_dir).at(time.time()).paused.get(self.tenant_of(call))
        if entry is None:
            return as_json(PausedTenant(paused=False))
        return as_json(PausedTenant(True, entry.reason, entry.author, entry.since_s, entry.until_s))

    async def _pause(self, call: ApiCall) -> web.Response:
        return await self.execute(call, "pause", for_tenant(await wanted_of(call, TenantsCommand), self.tenant_of(call)))

    async def _resume(self, call: ApiCall) -> web.Response:
        return await self.execute(call, "resume", for_tenant(await wanted_of(call, TenantsCommand), self.tenant_of(call)))


def held(status: FeedsStatus) -> Mapping[str, HeldItems]:
    """Held and refused items of each feed, and whether it is switched off or expired; other feeds are left out."""
    return {
        name: HeldItems(
            update=feed.held_update,
            names=feed.held_names.names,
            kinds=feed.held_names.kinds,
            names_count=feed.held_names.held,
            refused_names=feed.held_names.refused_names,
            refused_names_count=feed.held_names.refused,
            every_update_is_held=feed.frozen,
            disabled_until_s=feed.disabled_until_s,
            expired=feed.expired,
        )
        for name, feed in status.feeds.items()
        if feed.held or feed.held_names.refused or feed.frozen or feed.disabled_until_s > time.time() or feed.expired
    }
