"""The routes about reports of mistakes: what `pdns reports` does. A tenant sees and handles those of its own clients."""

from __future__ import annotations

import asyncio

import msgspec
from aiohttp import web

from pdns import report_commands
from pdns.files.records import DamagedError
from pdns.http.server import Problem
from pdns.state import reports
from pdns.state.reports import MistakeReport
from pdns.supervisor.http.api_commands import CommandRoutes, Wanted, answer_of, wanted_of
from pdns.supervisor.http.api_parts import DoneOrNot, as_json
from pdns.supervisor.http.api_routes import ApiCall, ApiRoute


class TenantsReportCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a command about a report, for the tenant that the path names."""

    reason: str = ""
    for_: str = msgspec.field(name="for", default="")
    user: str = ""
    force: bool = False


class ReportCommand(TenantsReportCommand, frozen=True, forbid_unknown_fields=True):
    """The body of a command about a report. `everyone`: allow the name for all clients, not only those of its tenant."""

    everyone: bool = False


class ReportRoutes(CommandRoutes):
    """Reports of names that are blocked by mistake."""

    def routes(self) -> list[ApiRoute]:
        """The table of these routes."""
        return [
            ApiRoute(
                "GET", "/api/reports", self._list, "Open reports of mistakes, the oldest first", list[MistakeReport], "read",
                commands=("reports list",),
            ),
            ApiRoute(
                "GET", "/api/reports/{report}", self._show, "One report of a mistake", MistakeReport, "read",
                commands=("reports show",), statuses=(404,),
            ),
            ApiRoute(
                "POST", "/api/reports/{report}/close", self._close, "Close a report without a change", DoneOrNot,
                body=ReportCommand, commands=("reports close",), statuses=(404, 409, 504),
            ),
            ApiRoute(
                "POST", "/api/reports/{report}/allow", self._allow, "Allow the name for its tenant, and close the report",
                DoneOrNot, body=ReportCommand, commands=("reports allow",), statuses=(404, 409, 504),
            ),
            ApiRoute(
                "GET", "/api/tenants/{tenant}/reports", self._list, "Open reports of a tenant's clients", list[MistakeReport],
                "read", tenant="tenant", statuses=(404,),
            ),
            ApiRoute(
                "GET", "/api/tenants/{tenant}/reports/{report}", self._show, "One report of a tenant's clients", MistakeReport,
                "read", tenant="tenant", statuses=(404,),
            ),
            ApiRoute(
                "POST", "/api/tenants/{tenant}/reports/{report}/close", self._close, "Close a report of a tenant's clients",
                DoneOrNot, tenant="tenant", body=TenantsReportCommand, statuses=(404, 409, 504),
            ),
            ApiRoute(
                "POST", "/api/tenants/{tenant}/reports/{report}/allow", self._allow,
                "Allow the name for the tenant, and close the report", DoneOrNot, tenant="tenant", body=TenantsReportCommand,
                statuses=(404, 409, 504),
            ),
        ]  # fmt: skip

    async def _list(self, call: ApiCall) -> web.Response:
        return as_json(await self._open(call))

    async def _show(self, call: ApiCall) -> web.Response:
        return as_json(await self._report(call))

    async def _close(self, call: ApiCall) -> web.Response:
        wanted, report = await self._body(call), await self._report(call)
        command = self.command_of(call, "close", Wanted(reason=wanted.reason, user=wanted.user))
        return answer_of(await self.carried_out(msgspec.structs.replace(command, report=report.number)))

    async def _allow(self, call: ApiCall) -> web.Response:
        wanted = await self._body(call)
        if not wanted.for_:
            raise Problem(400, 'for: say for how long, as in "24h"')
        report = await self._report(call)
        order = report_commands.to_allow(report, wanted.reason, everyone=wanted.everyone, force=wanted.force)
        command = self.command_of(
            call,
            "allow",
            Wanted(
                name=order.name, reason=order.reason, for_=wanted.for_, user=wanted.user, force=order.force, tenant=order.tenant
            ),
        )
        outcome = await self.carried_out(command)
        if not outcome.done:
            return answer_of(outcome)
        closed = await self.carried_out(report_commands.to_close(report, wanted.for_, command))
        return answer_of(msgspec.structs.replace(closed, text=f"{outcome.text}; {closed.text}"))

    async def _open(self, call: ApiCall) -> list[MistakeReport]:
        """The open reports that the path is about."""
        tenant = self.tenant_of(call) if "tenant" in call.at else ""
        try:
            found = await asyncio.to_thread(reports.open_reports, self.state_dir)
        except DamagedError as error:
            raise Problem(500, f"the reports cannot be read: {error}") from None
        return [report for report in found if not tenant or report.tenant == tenant]

    async def _report(self, call: ApiCall) -> MistakeReport:
        """The open report that the path names. Raises `Problem`, in the same way where it is another tenant's."""
        number = call.at["report"]
        found = [report for report in await self._open(call) if str(report.number) == number]
        if not found:
            raise Problem(404, "there is no open report of this number")
        return found[0]

    async def _body(self, call: ApiCall) -> ReportCommand:
        if "tenant" not in call.at:
            return await wanted_of(call, ReportCommand)
        return ReportCommand(**msgspec.structs.asdict(await wanted_of(call, TenantsReportCommand)))
