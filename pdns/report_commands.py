"""The commands that end a report of a mistake with the name allowed, for the command line and the API."""

from __future__ import annotations

from pdns.config.policies import NO_TENANT
from pdns.state.commands import MAX_REASON_CHARACTERS, Command
from pdns.state.reports import MistakeReport


def to_allow(report: MistakeReport, reason: str, *, everyone: bool = False, force: bool = False) -> Command:
    """The command that allows the name of a report for the clients of its tenant. A report by a client of no tenant is about
    everyone.
    """
    tenant = "" if everyone or report.tenant == NO_TENANT else report.tenant
    why = reason or f"report {report.number} of a mistake"
    return Command(command="allow", user="", name=report.name, reason=why, force=force, tenant=tenant)


def to_close(report: MistakeReport, lasting: str, allowed: Command) -> Command:
    """The command that closes a report after the name was allowed for as long as `lasting` says."""
    closing = f"allowed for {lasting}: {allowed.reason}"[:MAX_REASON_CHARACTERS]
    return Command(command="close", user=allowed.user, report=report.number, reason=closing)
