"""The routes that explain: what `pdns explain` does, of a name and of a case reference."""

from __future__ import annotations

import asyncio
import time

import msgspec
from aiohttp import web

from pdns.case_lookup import CaseStatement, listing_of, statement_of
from pdns.explain import Explanation, explain
from pdns.state.cases import Case
from pdns.supervisor.http.api_commands import CommandRoutes
from pdns.supervisor.http.api_parts import as_json
from pdns.supervisor.http.api_routes import ApiCall, ApiQuery, ApiRoute
from pdns.telemetry.upstream_states import upstream_states


class ExplainedCase(msgspec.Struct, frozen=True, kw_only=True):
    """One block, and what holds for the name now."""

    case: CaseStatement
    is_listed: bool  # by that feed, now
    explanation: Explanation


class ExplainRoutes(CommandRoutes):
    """Explanations."""

    def routes(self) -> list[ApiRoute]:
        """The table of these routes."""
        return [
            ApiRoute(
                "GET", "/api/explain", self._explain, "Which feeds list a name or an address, and what a client gets",
                Explanation, "read", tenant="tenant", commands=("explain",), statuses=(503,),
                query=(
                    ApiQuery("name", "a name, an address or a URL", required=True),
                    ApiQuery("tenant", "answers for a client of this tenant"),
                    ApiQuery("client", "answers for a client with this address"),
                ),
            ),
            ApiRoute(
                "GET", "/api/cases/{case}", self._case, "The blocks with a case reference, and what a client gets now",
                list[ExplainedCase], "read", tenant="tenant", commands=("explain",), statuses=(404, 503),
                query=(ApiQuery("tenant", "answers for a client of this tenant"),),
            ),
        ]  # fmt: skip

    async def _explain(self, call: ApiCall) -> web.Response:
        asked = call.request.query
        found = await self._explained(asked.get("name", ""), asked.get("tenant", ""), asked.get("client", ""))
        return as_json(self.shown(call, found))

    async def _case(self, call: ApiCall) -> web.Response:
        found = await self.cases_of(call, call.at["case"])
        tenant = call.request.query.get("tenant", "")
        return as_json([await self._explained_case(call, case, tenant) for case in found])

    async def _explained_case(self, call: ApiCall, case: Case, tenant: str) -> ExplainedCase:
        listed, is_listed = await asyncio.to_thread(listing_of, case, self.facts.config)
        explanation = self.shown(call, await self._explained(listed, tenant))
        return ExplainedCase(case=statement_of(case), is_listed=is_listed, explanation=explanation)

    async def _explained(self, name: str, tenant: str, client: str = "") -> Explanation:
        states = upstream_states(self.facts.counters)
        return await asyncio.to_thread(explain, self.facts.config, name, time.time(), tenant=tenant, client=client, states=states)
