"""The routes about cached answers."""

from __future__ import annotations

import msgspec
from aiohttp import web

from pdns.free_text import accepted
from pdns.http.server import Problem
from pdns.state.commands import MAX_REASON_CHARACTERS
from pdns.supervisor.cache_commands import WorkerAway
from pdns.supervisor.http.api_config import ConfigRoutes
from pdns.supervisor.http.api_parts import ApiSource, DoneOrNot, as_json, json_body
from pdns.supervisor.http.api_routes import ApiCall, ApiQuery, ApiRoute
from pdns.wire import names


class Flush(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which answers are dropped: those for `name`, and with `below` also those for every name below it."""

    name: str
    below: bool = False
    reason: str = ""


class ShownAnswer(msgspec.Struct, frozen=True):
    """One cached answer. Times are in seconds from now; `expires_in_s` is negative for a stale one."""

    worker: str
    name: str
    qtype: str
    rcode: str
    source: str
    policy: int
    dnssec: bool
    unchecked: bool
    expires_in_s: float
    age_s: float
    hits: int
    recheck: bool
    answer: list[str]


class ShownCache(msgspec.Struct, frozen=True):
    """What is cached for a name. `count` may be more than are shown."""

    name: str
    count: int
    answers: list[ShownAnswer]


class CacheRoutes:
    """Looking into the cache, and dropping answers from it."""

    def __init__(self, facts: ApiSource, config: ConfigRoutes) -> None:
        """`config` writes the audit log."""
        self._facts = facts
        self._config = config

    def routes(self) -> list[ApiRoute]:
        """The table of these routes."""
        return [
            ApiRoute(
                "GET", "/api/cache", self._show, "Cached answers for a name, of every type and policy", ShownCache, "read",
                query=(ApiQuery("name", "the name", required=True),), commands=("cache show",), statuses=(504,),
            ),
            ApiRoute(
                "POST", "/api/cache/flush", self._flush, "Drop cached answers from every worker", DoneOrNot, body=Flush,
                body_required=True, commands=("cache flush",), statuses=(504,),
            ),
        ]  # fmt: skip

    async def _show(self, call: ApiCall) -> web.Response:
        name = names.from_text(call.request.query.get("name", ""))
        try:
            found = await self._facts.cached.find(name, below=False, remove=False)
        except WorkerAway as error:
            raise Problem(504, str(error)) from None
        from pdns.supervisor.http.cached_records import fields_of  # noqa: PLC0415 (a large library, for those who look)

        shown = [ShownAnswer(f"worker{index}", **fields_of(one)) for index, part in enumerate(found) for one in part.answers]
        return as_json(ShownCache(names.to_text(name), sum(part.count for part in found), shown))

    async def _flush(self, call: ApiCall) -> web.Response:
        wanted = await json_body(call.request, Flush)
        name, reason = names.from_text(wanted.name), accepted("reason", wanted.reason, MAX_REASON_CHARACTERS)
        try:
            found = await self._facts.cached.find(name, below=wanted.below, remove=True)
        except WorkerAway as error:
            await self._config.audit(
                call, "flush", names.to_text(name), reason, done=False, outcome=str(error), below=wanted.below
            )
            raise Problem(504, f"{error}; the other workers have dropped theirs") from None
        count = sum(part.count for part in found)
        text = (
            f"{count:,} cached answers for {names.to_text(name)}{' and below' if wanted.below else ''} are gone from every worker"
        )
        await self._config.audit(call, "flush", names.to_text(name), reason, done=True, outcome=text, below=wanted.below)
        return as_json(DoneOrNot(done=True, text=text))
