"""The HTTP API for administrators: what `pdns feeds`, `pdns block` and `pdns allow` do. Every route needs the token.

A command takes the same path as one from the command line (`pdns.state.commands`); the API itself changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from aiohttp import web

from pdns.config.schema import Config
from pdns.errors import InvalidName, PdnsError
from pdns.explain import UnknownError, explain
from pdns.http.server import HttpRoute, HttpServer, Problem
from pdns.state import commands, overrides
from pdns.state.commands import Command, CommandName
from pdns.state.feed_status import FeedsStatus
from pdns.state.overrides import as_csv
from pdns.supervisor.http.status import StatusReader
from pdns.supervisor.http.token import TokenFile, TokenUnreadable
from pdns.telemetry.counters import Counters
from pdns.telemetry.upstream_states import upstream_states

_FEED_COMMANDS: Final = ("hold", "release", "drop", "disable", "enable")
_log = logging.getLogger(__name__)


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a command. `for` is written as on the command line; the audit log names `user` after the API."""

    action: str = ""
    name: str = ""
    reason: str = ""
    for_: str = msgspec.field(name="for", default="")
    user: str = ""
    all: bool = False
    category: str = ""
    kind: str = ""
    force: bool = False


class ApiSource(Protocol):
    """What the API needs from the supervisor."""

    @property
    def config(self) -> Config: ...
    @property
    def counters(self) -> Sequence[Counters]: ...


class AdminApi(HttpServer):
    """Commands and status for administrators' programs."""

    def __init__(self, facts: ApiSource, status: StatusReader) -> None:
        self._facts = facts
        self._status = status
        self._token = TokenFile(lambda: facts.config.admin.token_file)
        routes = (
            HttpRoute("GET", "/api/feeds", self._feeds),
            HttpRoute("GET", "/api/feeds/held", self._held),
            HttpRoute("POST", "/api/feeds/release", self._release_all),
            HttpRoute("POST", "/api/feeds/([^/]+)/([^/]+)", self._command_feed),
            HttpRoute("GET", "/api/indicators", self._list_indicators),
            HttpRoute("POST", "/api/indicators", self._indicate),
            HttpRoute("DELETE", "/api/indicators/([^/]+)", self._remove),
            HttpRoute("GET", "/api/explain", self._explain),
        )
        super().__init__("admin", routes, lambda: facts.config.admin.hosts)

    async def serve(self, sock: socket.socket | None) -> None:
        """As `HttpServer`, and logs the address."""
        await super().serve(sock)
        if sock is not None:
            _log.info("the admin API listens on %s port %d", *sock.getsockname()[:2])

    async def admit(self, request: web.BaseRequest) -> None:
        """Admit requests with the token."""
        given = [value for name, value in request.raw_headers if name.lower() == b"authorization"]
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        try:
            accepted = await self._token.accepts(token.strip())
        except TokenUnreadable:
            raise Problem(503, "admin.token_file cannot be read or holds no token") from None
        if scheme.lower() != b"bearer" or not accepted:
            raise Problem(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})

    def said(self, problem: Problem) -> web.Response:
        """The response to a problem, as JSON."""
        return _json({"error": problem.text}, problem.status, problem.headers)

    def problem_of(self, error: Exception) -> Problem | None:
        """The response to an invalid request or a failed command; None for an error of ours."""
        match error:
            case msgspec.DecodeError() | ValueError() | InvalidName():
                return Problem(400, str(error))
            case UnknownError():
                return Problem(503, str(error))
            case PdnsError():
                return Problem(504, str(error))
            case OSError():
                return Problem(500, f"{error.filename}: {error.strerror}")
        return None

    @property
    def _state_dir(self) -> Path:
        return Path(self._facts.config.state.dir)

    async def _feeds(self, _request: web.BaseRequest, _path: str) -> web.Response:
        return _json(self._status.read())

    async def _held(self, _request: web.BaseRequest, _path: str) -> web.Response:
        return _json(held(self._status.read()))

    async def _command_feed(self, request: web.BaseRequest, path: str) -> web.Response:
        feed, _, command = path.partition("/")
        if command not in _FEED_COMMANDS:
            raise Problem(404, f"known: {', '.join(_FEED_COMMANDS)}")
        return await self._execute(command, await _wanted(request), feed)

    async def _release_all(self, request: web.BaseRequest, _path: str) -> web.Response:
        return await self._execute("release", await _wanted(request))

    async def _list_indicators(self, request: web.BaseRequest, _path: str) -> web.Response:
        entries = overrides.read(self._state_dir).at(time.time()).indicators
        if request.query.get("format") == "csv":
            return web.Response(text=as_csv(entries), content_type="text/csv")
        return _json(entries)

    async def _indicate(self, request: web.BaseRequest, _path: str) -> web.Response:
        wanted = await _wanted(request)
        if wanted.action not in ("block", "allow"):
            raise Problem(400, 'action: expected "block" or "allow"')
        return await self._execute(wanted.action, wanted)

    async def _remove(self, request: web.BaseRequest, path: str) -> web.Response:
        wanted = await _wanted(request)
        return await self._execute("remove", msgspec.structs.replace(wanted, name=path))

    async def _explain(self, request: web.BaseRequest, _path: str) -> web.Response:
        asked = request.query
        who = {"tenant": asked.get("tenant", ""), "client": asked.get("client", "")}
        states = upstream_states(self._facts.counters)
        name = asked.get("name", "")
        return _json(await asyncio.to_thread(explain, self._facts.config, name, time.time(), **who, states=states))

    async def _execute(self, command: str, wanted: Wanted, feed: str = "") -> web.Response:
        full = Command(
            command=msgspec.convert(command, CommandName),
            user=f"api: {wanted.user}" if wanted.user else "api",
            feed=feed,
            name=wanted.name,
            reason=wanted.reason,
            all=wanted.all,
            category=wanted.category,
            kind=wanted.kind,
            force=wanted.force,
            for_s=commands.parse_duration(wanted.for_) if wanted.for_ else 0.0,
        )
        outcome = await self._carried_out(full)
        how = '; use "force": true to do it anyway' if outcome.needs_force else ""
        return _json({"done": outcome.done, "text": f"{outcome.text}{how}"}, status=200 if outcome.done else 409)

    async def _carried_out(self, wanted: Command) -> commands.Outcome:
        """As `commands.execute`, but no thread waits, so a slow command delays no other one."""
        pending = await asyncio.to_thread(commands.PendingCommand, self._state_dir, wanted)
        while (outcome := await asyncio.to_thread(pending.outcome)) is None:  # noqa: ASYNC110 (files send no event)
            await asyncio.sleep(commands.POLL_S)
        return outcome


def held(status: FeedsStatus) -> dict[str, Any]:
    """Held and refused items of each feed, and whether it is switched off or expired; other feeds are left out."""
    return {
        name: {
            "update": feed.held_update,
            "names": feed.held_names.names,
            "kinds": feed.held_names.kinds,
            "names_count": feed.held_names.held,
            "refused_names": feed.held_names.refused_names,
            "refused_names_count": feed.held_names.refused,
            "every_update_is_held": feed.frozen,
            "disabled_until_s": feed.disabled_until_s,
            "expired": feed.expired,
        }
        for name, feed in status.feeds.items()
        if feed.held or feed.held_names.refused or feed.frozen or feed.disabled_until_s > time.time() or feed.expired
    }


async def _wanted(request: web.BaseRequest) -> Wanted:
    body = await request.read()
    return msgspec.json.decode(body, type=Wanted) if body else Wanted()


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", status=status, headers=headers)
