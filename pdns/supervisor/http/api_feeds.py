"""The routes about feeds and local entries, and explanations: what `pdns feeds`, `block`, `allow`, `indicators`, `explain` do.

A command takes the same path as one from the command line (`pdns.state.commands`); the API itself changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec
from aiohttp import web

from pdns.config.catalogue import catalogue
from pdns.explain import Explanation, explain
from pdns.files.safe_files import make_directory, write_whole
from pdns.http.server import Problem
from pdns.state import commands, overrides
from pdns.state.commands import Command, CommandName
from pdns.state.feed_status import FeedsStatus, HeldUpdate
from pdns.state.overrides import Indicator, as_csv
from pdns.supervisor.http.api_parts import ApiSource, DoneOrNot, as_json
from pdns.supervisor.http.api_routes import ApiCall, ApiQuery, ApiRoute
from pdns.supervisor.http.status import StatusReader
from pdns.telemetry.upstream_states import upstream_states

_FEED_COMMANDS: Final = ("hold", "release", "drop", "disable", "enable")
_UPDATE: Final = "update"  # in commands.DIRECTORY: touching it starts a refresh of every feed


_B = TypeVar("_B", "Wanted", "TenantsCommand")


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a command. `for` is written as on the command line; the audit log names `user` after the API."""

    action: Literal["", "block", "allow"] = ""
    name: str = ""
    reason: str = ""
    for_: str = msgspec.field(name="for", default="")
    user: str = ""
    all: bool = False
    category: str = ""
    kind: str = ""
    force: bool = False
    tenant: str = ""


class TenantsCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a command about one tenant, which the path names."""

    action: Literal["", "block", "allow"] = ""
    name: str = ""
    reason: str = ""
    for_: str = msgspec.field(name="for", default="")
    user: str = ""
    force: bool = False


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


class FeedRoutes:
    """Feeds, local entries and explanations."""

    def __init__(self, facts: ApiSource, status: StatusReader) -> None:
        self._facts = facts
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
            ApiRoute(
                "GET", "/api/explain", self._explain, "Which feeds list a name or an address, and what a client gets",
                Explanation, "read", tenant="tenant", commands=("explain",), statuses=(503,),
                query=(
                    ApiQuery("name", "a name, an address or a URL", required=True),
                    ApiQuery("tenant", "answers for a client of this tenant"),
                    ApiQuery("client", "answers for a client with this address"),
                ),
            ),
        ]  # fmt: skip

    @property
    def _state_dir(self) -> Path:
        return Path(self._facts.config.state.dir)

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
        request = self._state_dir / commands.DIRECTORY / _UPDATE
        make_directory(request.parent, 0o750)
        write_whole(request, b"", synced=False)

    async def _command_feed(self, call: ApiCall) -> web.Response:
        if call.at["command"] not in _FEED_COMMANDS:
            raise Problem(404, f"known: {', '.join(_FEED_COMMANDS)}")
        return await self._execute(call, call.at["command"], await _wanted(call), call.at["feed"])

    async def _release_all(self, call: ApiCall) -> web.Response:
        return await self._execute(call, "release", await _wanted(call))

    async def _list_indicators(self, call: ApiCall) -> web.Response:
        entries = overrides.read(self._state_dir).at(time.time()).indicators
        if call.request.query.get("format") == "csv":
            return web.Response(text=as_csv(entries), content_type="text/csv")
        return as_json(entries)

    async def _indicate(self, call: ApiCall) -> web.Response:
        wanted = await _wanted(call)
        if not wanted.action:
            raise Problem(400, 'action: expected "block" or "allow"')
        return await self._execute(call, wanted.action, wanted)

    async def _remove(self, call: ApiCall) -> web.Response:
        wanted = await _wanted(call)
        return await self._execute(call, "remove", msgspec.structs.replace(wanted, name=call.at["name"]))

    async def _list_of_tenant(self, call: ApiCall) -> web.Response:
        tenant = self._tenant(call)
        entries = overrides.read(self._state_dir).at(time.time()).indicators
        return as_json([entry for entry in entries if entry.tenant == tenant])

    async def _indicate_for(self, call: ApiCall) -> web.Response:
        wanted = await _wanted(call, TenantsCommand)
        if not wanted.action:
            raise Problem(400, 'action: expected "block" or "allow"')
        return await self._execute(call, wanted.action, _for_tenant(wanted, self._tenant(call)))

    async def _remove_for(self, call: ApiCall) -> web.Response:
        wanted = _for_tenant(await _wanted(call, TenantsCommand), self._tenant(call))
        return await self._execute(call, "remove", msgspec.structs.replace(wanted, name=call.at["name"]))

    async def _paused(self, call: ApiCall) -> web.Response:
        entry = overrides.read(self._state_dir).at(time.time()).paused.get(self._tenant(call))
        if entry is None:
            return as_json(PausedTenant(paused=False))
        return as_json(PausedTenant(True, entry.reason, entry.author, entry.since_s, entry.until_s))

    async def _pause(self, call: ApiCall) -> web.Response:
        return await self._execute(call, "pause", _for_tenant(await _wanted(call, TenantsCommand), self._tenant(call)))

    async def _resume(self, call: ApiCall) -> web.Response:
        return await self._execute(call, "resume", _for_tenant(await _wanted(call, TenantsCommand), self._tenant(call)))

    def _tenant(self, call: ApiCall, name: str = "") -> str:
        """The tenant that the path or `name` names. Raises `Problem` when it is not configured."""
        wanted = name or call.at["tenant"]
        if wanted not in [tenant.name for tenant in self._facts.config.tenant]:
            raise Problem(404, "there is no tenant of this name")
        return wanted

    async def _explain(self, call: ApiCall) -> web.Response:
        asked = call.request.query
        who = {"tenant": asked.get("tenant", ""), "client": asked.get("client", "")}
        states = upstream_states(self._facts.counters)
        name = asked.get("name", "")
        found = await asyncio.to_thread(explain, self._facts.config, name, time.time(), **who, states=states)
        if call.caller.role == "tenant":  # what other tenants allow is not for it
            ours = {"block.allow", *(f"tenant {tenant}" for tenant in call.caller.tenants)}
            found = msgspec.structs.replace(found, allowed=[entry for entry in found.allowed if entry.by in ours])
        return as_json(found)

    async def _execute(self, call: ApiCall, command: str, wanted: Wanted, feed: str = "") -> web.Response:
        if wanted.tenant:
            self._tenant(call, wanted.tenant)
        full = Command(
            command=msgspec.convert(command, CommandName),
            user=f"{call.caller.name}: {wanted.user}" if wanted.user else call.caller.name,
            feed=feed,
            name=wanted.name,
            reason=wanted.reason,
            all=wanted.all,
            category=wanted.category,
            kind=wanted.kind,
            force=wanted.force,
            tenant=wanted.tenant,
            for_s=commands.parse_duration(wanted.for_) if wanted.for_ else 0.0,
        )
        outcome = await self._carried_out(full)
        how = '; use "force": true to do it anyway' if outcome.needs_force else ""
        return as_json(DoneOrNot(outcome.done, f"{outcome.text}{how}"), status=200 if outcome.done else 409)

    async def _carried_out(self, wanted: Command) -> commands.Outcome:
        """As `commands.execute`, but no thread waits, so a slow command delays no other one."""
        pending = await asyncio.to_thread(commands.PendingCommand, self._state_dir, wanted)
        while (outcome := await asyncio.to_thread(pending.outcome)) is None:  # noqa: ASYNC110 (files send no event)
            await asyncio.sleep(commands.POLL_S)
        return outcome


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


async def _wanted(call: ApiCall, kind: type[_B] = Wanted) -> _B:  # type: ignore[assignment]  # of the default
    body = await call.request.read()
    return msgspec.json.decode(body, type=kind) if body else kind()


def _for_tenant(wanted: TenantsCommand, tenant: str) -> Wanted:
    return Wanted(
        action=wanted.action, name=wanted.name, reason=wanted.reason, for_=wanted.for_, user=wanted.user, force=wanted.force,
        tenant=tenant,
    )  # fmt: skip
