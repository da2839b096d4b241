"""The routes about taps: what `pdns tap` does."""

from __future__ import annotations

import asyncio
import time

import msgspec
from aiohttp import web

from pdns.config.tap_sinks import refusal_of_tap
from pdns.http.server import Problem
from pdns.state import commands, overrides
from pdns.state.commands import Command
from pdns.state.overrides import Tapped
from pdns.supervisor.http.api_commands import CommandRoutes, answer_of, user_of, wanted_of
from pdns.supervisor.http.api_parts import DoneOrNot, as_json
from pdns.supervisor.http.api_routes import ApiCall, ApiRoute


class TapWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a command about a tap. `for` is written as on the command line, at most `24h`; the audit log names `user` after
    the API.
    """

    sink: str = ""
    reason: str = ""
    for_: str = msgspec.field(name="for", default="")
    user: str = ""


class TapRoutes(CommandRoutes):
    """Taps of tenants. A token of a tenant may use none of these."""

    def routes(self) -> list[ApiRoute]:
        """The table of these routes."""
        return [
            ApiRoute(
                "GET", "/api/taps", self._list, "Taps in force, by tenant", dict[str, Tapped], "read", commands=("tap status",)
            ),
            ApiRoute(
                "POST", "/api/tenants/{tenant}/tap", self._start, "Send all queries of a tenant to a dnstap sink for a while",
                DoneOrNot, body=TapWanted, commands=("tap start",), statuses=(404, 409, 504),
            ),
            ApiRoute(
                "POST", "/api/tenants/{tenant}/untap", self._stop, "End the tap of a tenant", DoneOrNot, body=TapWanted,
                commands=("tap stop",), statuses=(404, 409, 504),
            ),
        ]  # fmt: skip

    async def _list(self, _call: ApiCall) -> web.Response:
        found = await asyncio.to_thread(overrides.read, self.state_dir)
        return as_json(found.at(time.time()).tapped)

    async def _start(self, call: ApiCall) -> web.Response:
        tenant, wanted = self.tenant_of(call), await wanted_of(call, TapWanted)
        if why := refusal_of_tap(self.facts.config, wanted.sink):
            raise Problem(409, why)
        for_s = commands.parse_duration(wanted.for_) if wanted.for_ else 0.0
        user = user_of(call, wanted.user)
        tap = Command(command="tap", user=user, tenant=tenant, sink=wanted.sink, reason=wanted.reason, for_s=for_s)
        return answer_of(await self.carried_out(tap))

    async def _stop(self, call: ApiCall) -> web.Response:
        tenant, wanted = self.tenant_of(call), await wanted_of(call, TapWanted)
        untap = Command(command="untap", user=user_of(call, wanted.user), tenant=tenant, reason=wanted.reason)
        return answer_of(await self.carried_out(untap))
