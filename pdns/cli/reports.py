"""`pdns reports`: names that people reported on the block page as blocked by mistake."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from pdns import report_commands
from pdns.case_lookup import policy_that_blocks
from pdns.cli.commands import EXIT_INVALID, ConfigOption, ForceOption, consoles, load_config, run_command
from pdns.cli.feed_table import LATEST_S, aligned
from pdns.config.policies import NO_TENANT
from pdns.files.records import DamagedError
from pdns.free_text import visible
from pdns.state import reports
from pdns.state.commands import Command
from pdns.state.reports import MistakeReport
from pdns.wire import names

NumberArgument = Annotated[int, typer.Argument(metavar="N", min=1, help="The number of the report")]
_TITLES = ("report", "name", "tenant", "blocked by", "times", "last", "why it is needed")
_SHOWN = 60

app = typer.Typer(help="Names reported as blocked by mistake.", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def reported(context: typer.Context, config: ConfigOption = None) -> None:
    """Names reported as blocked by mistake. Without a command: show the open reports."""
    if context.invoked_subcommand is None:
        raise typer.Exit(show_all(config))
    if config is not None:
        context.default_map = {context.invoked_subcommand: {"config": str(config)}}


@app.command("list")
def list_command(config: ConfigOption = None) -> None:
    """Show the open reports."""
    raise typer.Exit(show_all(config))


@app.command("show")
def show_command(number: NumberArgument, config: ConfigOption = None) -> None:
    """Show one report, with what people wrote."""
    raise typer.Exit(show_one(config, number))


@app.command("close")
def close_command(
    number: NumberArgument,
    reason: Annotated[str, typer.Option("--reason", "-r", metavar="TEXT", help="Why; kept in the audit log")],
    config: ConfigOption = None,
) -> None:
    """Close a report without a change; the name stays blocked."""
    raise typer.Exit(run_command(config, Command(command="close", user="", report=number, reason=reason)))


@app.command("allow")
def allow_command(
    number: NumberArgument,
    lasting: Annotated[str, typer.Option("--for", metavar="TIME", help="For how long: 30m, 24h, 7d")],
    reason: Annotated[str, typer.Option("--reason", "-r", metavar="TEXT", help="Why; kept in the audit log")] = "",
    everyone: Annotated[bool, typer.Option("--everyone", help="For all clients, not only those of the report's tenant")] = False,
    config: ConfigOption = None,
    force: ForceOption = False,
) -> None:
    """Allow the name for some time for the tenant's clients, in every worker within a second, and close the report."""
    raise typer.Exit(allow(config, number, lasting, reason, everyone=everyone, force=force))


def show_all(path: Path | None) -> int:
    """Prints a row for each open report. Returns 0, or 2 when they cannot be read."""
    console, _ = consoles()
    found = _read(path)
    if found is None:
        return EXIT_INVALID
    if not found:
        console.print(Text("no open reports"))
        return 0
    rows = [
        (
            str(report.number),
            report.name,
            report.tenant,
            _blocked_by(report),
            str(report.count),
            _clock(report.last_s),
            _why(report),
        )
        for report in found
    ]
    aligned(console, [_TITLES, *rows])
    return 0


def show_one(path: Path | None, number: int) -> int:
    """Prints everything about a report. Returns 0, or 2 when it cannot be read or is not open."""
    console, errors = consoles()
    report = _find(path, number, errors)
    if report is None:
        return EXIT_INVALID
    case = [("case", report.case)] if report.case else []
    rows = [
        ("name", report.name),
        ("tenant", report.tenant),
        ("blocked by", _blocked_by(report)),
        *case,
        (
            "reported",
            f"{report.count} {'time' if report.count == 1 else 'times'}, {_clock(report.first_s)} to {_clock(report.last_s)}",
        ),
    ]
    for comment in report.comments:
        author = " ".join(part for part in (comment.contact, f"({comment.client})" if comment.client else "") if part)
        rows += [("", ""), (_clock(comment.at_s), author or "without a name"), ("", comment.text)]
    width = max(len(title) for title, _ in rows)
    for title, text in rows:
        console.print(Text(f"{title:<{width}}  {visible(text)}".rstrip()), soft_wrap=True)
    console.print()
    explain = f"explain {report.name}" + ("" if report.tenant == NO_TENANT else f" --tenant {report.tenant}")
    for command in (explain, f"reports allow {number} --for 24h", f"reports close {number} --reason TEXT"):
        console.print(Text(f"pdns {command}"), soft_wrap=True)
    return 0


def allow(path: Path | None, number: int, lasting: str, reason: str, *, everyone: bool = False, force: bool = False) -> int:
    """Allow the name of a report for its tenant, then close the report. Returns 0 when both were done."""
    _, errors = consoles()
    report = _find(path, number, errors)
    config = load_config(path, errors)
    if report is None or config is None:
        return EXIT_INVALID
    tenant = "" if report.tenant == NO_TENANT else report.tenant
    if (everyone or not tenant) and (policy := policy_that_blocks(names.from_text(report.name), tenant, config)):
        reason = f"{report.name} is blocked by policy {policy} in the configuration, whose entries count before those of everyone"
        errors.print(Text(f"report {number}: {reason}. Change the policy, or allow it for the tenant only.", "red"))
        return EXIT_INVALID
    wanted = report_commands.to_allow(report, reason, everyone=everyone, force=force)
    return run_command(path, wanted, lasting) or run_command(path, report_commands.to_close(report, lasting, wanted))


def _find(path: Path | None, number: int, errors: Console) -> MistakeReport | None:
    found = _read(path)
    if found is None:
        return None
    report = next((report for report in found if report.number == number), None)
    if report is None:
        errors.print(Text(f"there is no open report {number}; `pdns reports` shows all", "red"))
    return report


def _read(path: Path | None) -> list[MistakeReport] | None:
    _, errors = consoles()
    config = load_config(path, errors)
    if config is None:
        return None
    try:
        return reports.open_reports(Path(config.state.dir))
    except (OSError, DamagedError) as exc:
        errors.print(Text(f"the reports cannot be read: {exc}", "red"))
        return None


def _blocked_by(report: MistakeReport) -> str:
    return f"{report.feed} ({report.category})" if report.feed else "no list"


def _why(report: MistakeReport) -> str:
    text = report.comments[0].text if report.comments else ""
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _clock(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(min(at_s, LATEST_S)))
