"""The routes about names that were asked: what `pdns hunt` and `pdns feeds trial` do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

from aiohttp import web

from pdns.history.hunt import HuntReport, NameHunt, NoHistoryError, WantedName, wanted_name
from pdns.history.trial import TrialReport, trial
from pdns.http.server import Problem
from pdns.supervisor.http.api_commands import CommandRoutes
from pdns.supervisor.http.api_parts import as_json
from pdns.supervisor.http.api_routes import ApiCall, ApiQuery, ApiRoute
from pdns.telemetry.asked_names import DAY_S

MOST_NAMES: Final = 1000  # of one hunt
MOST_OF_A_TRIAL: Final = 20_000
_DAYS: Final = 30
_MOST_DAYS: Final = 366

T = TypeVar("T")


class HistoryRoutes(CommandRoutes):
    """Hunts and trials. One at a time: they need a core and read many files."""

    _busy: asyncio.Lock | None = None

    def routes(self) -> list[ApiRoute]:
        """The table of these routes."""
        days = ApiQuery("days", f"how many days back, today among them; {_DAYS} by default")
        return [
            ApiRoute(
                "GET", "/api/hunt", self._hunt, "Which tenants probably asked for names, and on which days", HuntReport, "read",
                tenant="tenant", commands=("hunt",), statuses=(404,),
                query=(
                    ApiQuery("name", f"a name, or *.NAME for what is below; may be repeated {MOST_NAMES:,} times", required=True),
                    days,
                    ApiQuery("tenant", "this tenant only"),
                ),
            ),
            ApiRoute(
                "POST", "/api/hunt/trial", self._trial,
                f"What a list of names, one on a line and at most {MOST_OF_A_TRIAL:,}, would have blocked",
                TrialReport, commands=("feeds trial",), statuses=(404,), body=str, body_type="text/plain", body_required=True,
                query=(days,),
            ),
        ]  # fmt: skip

    async def _hunt(self, call: ApiCall) -> web.Response:
        texts = call.request.query.getall("name", [])
        if not 0 < len(texts) <= MOST_NAMES:
            raise Problem(400, f"name: expected 1 to {MOST_NAMES:,}")
        tenant = call.request.query.get("tenant", "")
        tenants = [self.tenant_of(call, tenant)] if tenant else None
        wanted = [wanted_name(text) for text in texts]
        days = _days_of(call)
        return as_json(await self._alone(lambda: self._history(days).find(wanted, tenants)))

    async def _trial(self, call: ApiCall) -> web.Response:
        lines = [line for line in (await call.request.text()).splitlines() if line.strip()]
        if not 0 < len(lines) <= MOST_OF_A_TRIAL:
            raise Problem(400, f"expected 1 to {MOST_OF_A_TRIAL:,} names, one on a line; longer lists: `pdns feeds trial`")
        days = _days_of(call)

        def tried() -> TrialReport:
            wanted: Sequence[WantedName] = [wanted_name(line) for line in lines]
            return trial(self._history(days), wanted, count=len(wanted))

        return as_json(await self._alone(tried))

    def _history(self, days: int) -> NameHunt:
        return NameHunt.of(Path(self.facts.config.state.dir), days, int(time.time() // DAY_S))

    async def _alone(self, work: Callable[[], T]) -> T:
        """Do it in a thread. Raises `Problem` without a history."""
        if self._busy is None:
            self._busy = asyncio.Lock()
        async with self._busy:
            try:
                return await asyncio.to_thread(work)
            except NoHistoryError as error:
                raise Problem(404, str(error)) from None


def _days_of(call: ApiCall) -> int:
    text = call.request.query.get("days", str(_DAYS))
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_DAYS:
        raise Problem(400, f"days: expected 1 to {_MOST_DAYS}")
    return int(text)
