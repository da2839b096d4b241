"""The HTTP API of administrators: what `pdns feeds`, `pdns block` and `pdns allow` do, for programs. Every route wants the token.

An order goes the same way as one from the command line (`pdns.orders`); nothing is changed here.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from aiohttp import web

from pdns import orders, overrides
from pdns.admin.server import HttpServer
from pdns.admin.status import StatusFile
from pdns.config import Config
from pdns.errors import InvalidName, PdnsError
from pdns.explanation import explain
from pdns.feedstatus import FeedsStatus
from pdns.orders import Command, Order
from pdns.overrides import as_csv

MAX_BODY_BYTES: Final = 65536
_FEED_ORDERS: Final = ("hold", "release", "drop", "disable", "enable")
_log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an order. `for` is spelt as on the command line; `user` goes on record beside the API's own name."""

    action: str = ""
    name: str = ""
    reason: str = ""
    for_: str = msgspec.field(name="for", default="")
    user: str = ""
    all: bool = False
    category: str = ""
    kind: str = ""


class Facts(Protocol):
    """What the API asks the supervisor."""

    @property
    def config(self) -> Config: ...


class AdminApi(HttpServer):
    """What administrators' programs order."""

    def __init__(self, facts: Facts, status: StatusFile) -> None:
        self._facts = facts
        self._status = status
        app = web.Application(middlewares=[self._guard], client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/api/feeds", self._feeds)
        app.router.add_get("/api/feeds/held", self._held)
        app.router.add_post("/api/feeds/release", self._release_all)
        app.router.add_post("/api/feeds/{feed}/{command}", self._order_feed)
        app.router.add_get("/api/indicators", self._indicators)
        app.router.add_post("/api/indicators", self._indicate)
        app.router.add_delete("/api/indicators/{name}", self._remove)
        app.router.add_get("/api/explain", self._explain)
        super().__init__(app)

    async def serve(self, sock: socket.socket | None) -> None:
        """As `HttpServer`, and says where."""
        await super().serve(sock)
        if sock is not None:
            _log.info("the admin API listens on %s port %d", *sock.getsockname()[:2])

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        expected = self._token()
        if expected is None:
            return _say(503, "admin.token_file cannot be read")
        same = secrets.compare_digest(hashlib.sha256(given.strip().encode()).digest(), hashlib.sha256(expected).digest())
        if scheme.lower() != "bearer" or not same:
            return web.json_response({"error": "a bearer token is needed"}, status=401, headers={"WWW-Authenticate": "Bearer"})
        try:
            return await handler(request)
        except (msgspec.DecodeError, ValueError, InvalidName) as error:
            return _say(400, str(error))
        except PdnsError as error:
            return _say(504, str(error))
        except OSError as error:
            return _say(500, f"{error.filename}: {error.strerror}")

    def _token(self) -> bytes | None:
        """As it stands in the file now, so that it can be changed at any time; None when there is none."""
        try:
            return Path(self._facts.config.admin.token_file).read_bytes().strip() or None
        except OSError:
            return None

    @property
    def _state_dir(self) -> Path:
        return Path(self._facts.config.state.dir)

    async def _feeds(self, _request: web.Request) -> web.Response:
        return _json(self._status.read())

    async def _held(self, _request: web.Request) -> web.Response:
        return _json(held(self._status.read()))

    async def _order_feed(self, request: web.Request) -> web.Response:
        command = request.match_info["command"]
        if command not in _FEED_ORDERS:
            return _say(404, f"known: {', '.join(_FEED_ORDERS)}")
        return await self._order(command, await _wanted(request), request.match_info["feed"])

    async def _release_all(self, request: web.Request) -> web.Response:
        return await self._order("release", await _wanted(request))

    async def _indicators(self, request: web.Request) -> web.Response:
        entries = overrides.read(self._state_dir).at(time.time()).indicators
        if request.query.get("format") == "csv":
            return web.Response(text=as_csv(entries), content_type="text/csv")
        return _json(entries)

    async def _indicate(self, request: web.Request) -> web.Response:
        wanted = await _wanted(request)
        if wanted.action not in ("block", "allow"):
            return _say(400, 'action: expected "block" or "allow"')
        return await self._order(wanted.action, wanted)

    async def _remove(self, request: web.Request) -> web.Response:
        wanted = await _wanted(request)
        return await self._order("remove", msgspec.structs.replace(wanted, name=request.match_info["name"]))

    async def _explain(self, request: web.Request) -> web.Response:
        asked = request.query
        who = {"tenant": asked.get("tenant", ""), "client": asked.get("client", "")}
        return _json(await asyncio.to_thread(explain, self._facts.config, asked.get("name", ""), time.time(), **who))

    async def _order(self, command: str, wanted: Wanted, feed: str = "") -> web.Response:
        order = Order(
            command=msgspec.convert(command, Command),
            user=f"api: {_printable(wanted.user)}" if wanted.user else "api",
            feed=feed,
            name=wanted.name,
            reason=wanted.reason,
            all=wanted.all,
            category=wanted.category,
            kind=wanted.kind,
            for_s=orders.parse_duration(wanted.for_) if wanted.for_ else 0.0,
        )
        outcome = await self._carried_out(order)
        return _json({"done": outcome.done, "text": outcome.text}, status=200 if outcome.done else 409)

    async def _carried_out(self, order: Order) -> orders.Outcome:
        """As `orders.give`, but no thread waits: whoever gives a slow order keeps none from the next."""
        command = await asyncio.to_thread(orders.PendingCommand, self._state_dir, order)
        while (outcome := await asyncio.to_thread(command.outcome)) is None:  # noqa: ASYNC110 (files tell of no event)
            await asyncio.sleep(orders.POLL_S)
        return outcome


def held(status: FeedsStatus) -> dict[str, Any]:
    """What of each feed was held, refused, switched off or has expired; feeds without any of that are left out."""
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


async def _wanted(request: web.Request) -> Wanted:
    body = await request.read()
    return msgspec.json.decode(body, type=Wanted) if body else Wanted()


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text[:64])


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", status=status)


def _say(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)
