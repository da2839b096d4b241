"""`pdns block`, `pdns allow`, `pdns indicators`: names that administrators block or allow, whatever feeds list."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich.text import Text

from pdns.case_lookup import reason_of_case
from pdns.cli.cases import name_to_allow
from pdns.cli.commands import (
    EXIT_INVALID,
    ConfigOption,
    ForceOption,
    ForOption,
    ReasonOption,
    TenantOption,
    consoles,
    load_config,
    run_command,
)
from pdns.cli.feed_table import LATEST_S, aligned
from pdns.files.records import LockedError
from pdns.state import in_force as inforce
from pdns.state import overrides
from pdns.state.commands import Command
from pdns.state.in_force import InForce
from pdns.state.lock import is_served
from pdns.state.overrides import Indicator, as_csv

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name and everything below it; *.NAME: only what is below")]
_TAKEN_UP_S = 2.0
_POLL_S = 0.05
_TITLES = ("action", "name", "for", "until", "by", "reason")

app = typer.Typer(help="Names blocked or allowed here.", invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def indicators(context: typer.Context, config: ConfigOption = None) -> None:
    """Names blocked or allowed here. Without a command: show the entries in force."""
    if context.invoked_subcommand is None:
        raise typer.Exit(show(config))
    if config is not None:
        context.default_map = {context.invoked_subcommand: {"config": str(config)}}


def block_command(
    name: NameArgument,
    reason: Annotated[str, typer.Option("--reason", "-r", metavar="TEXT", help="Why; shown to clients")],
    lasting: ForOption = "",
    config: ConfigOption = None,
    force: ForceOption = False,
    tenant: TenantOption = "",
) -> None:
    """Block a name, in every worker within a second."""
    raise typer.Exit(
        run_command(config, Command(command="block", user="", name=name, reason=reason, force=force, tenant=tenant), lasting)
    )


def allow_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name and everything below it; *.NAME: only what is below")] = "",
    reason: Annotated[str, typer.Option("--reason", "-r", metavar="TEXT", help="Why; kept in the audit log")] = "",
    case: Annotated[str, typer.Option("--case", metavar="CASE", help="The case reference of a block, instead of a name")] = "",
    lasting: ForOption = "",
    config: ConfigOption = None,
    force: ForceOption = False,
    tenant: TenantOption = "",
) -> None:
    """Allow a name, or the listed name behind a case reference, whatever feeds list, in every worker within a second."""
    if bool(name) == bool(case):
        raise typer.BadParameter("expected a name or --case")
    if name and not reason:
        raise typer.BadParameter("missing option --reason")
    if case:
        _, errors = consoles()
        name, reference = name_to_allow(case, tenant, config, errors)
        if not name:
            raise typer.Exit(EXIT_INVALID)
        reason = reason_of_case(reference, reason)
    raise typer.Exit(
        run_command(config, Command(command="allow", user="", name=name, reason=reason, force=force, tenant=tenant), lasting)
    )


@app.command("list")
def list_command(config: ConfigOption = None) -> None:
    """Show the entries in force."""
    raise typer.Exit(show(config))


@app.command("remove")
def remove_command(name: NameArgument, config: ConfigOption = None, reason: ReasonOption = "", tenant: TenantOption = "") -> None:
    """Remove the entry for a name."""
    raise typer.Exit(run_command(config, Command(command="remove", user="", name=name, reason=reason, tenant=tenant)))


@app.command("export")
def export_command(
    config: ConfigOption = None,
    form: Annotated[str, typer.Option("--format", "-f", metavar="json|csv", help="Format")] = "json",
) -> None:
    """Print the entries in force, for other programs."""
    raise typer.Exit(export(config, "csv" if form == "csv" else "json"))


def show(path: Path | None) -> int:
    """Prints a row for each entry. Returns 0, or 2 when the configuration is invalid."""
    console, _ = consoles()
    entries = _read(path)
    if entries is None:
        return EXIT_INVALID
    rows = [
        (entry.action, entry.name, entry.tenant or "everyone", _clock(entry.expires_s), entry.author, entry.reason)
        for entry in entries
    ]
    if rows:
        aligned(console, [_TITLES, *rows])
    else:
        console.print(Text("no local entries; add one with `pdns block NAME --reason TEXT`"))
    return 0


def export(path: Path | None, form: Literal["json", "csv"]) -> int:
    """Prints every entry. Returns 0, or 2 when the configuration is invalid."""
    entries = _read(path)
    if entries is None:
        return EXIT_INVALID
    if form == "csv":
        print(as_csv(entries), end="")
    else:
        print(msgspec.json.format(msgspec.json.encode(entries)).decode())
    return 0


def _read(path: Path | None) -> list[Indicator] | None:
    _, errors = consoles()
    config = load_config(path, errors)
    if config is None:
        return None
    state_dir = Path(config.state.dir)
    try:
        current = overrides.read(state_dir)
        if is_served(state_dir, unknown=False) and not in_force(state_dir, current.revision):
            errors.print(Text(f"not every worker has taken up {state_dir / overrides.FILE_NAME}: see the log", "red"))
            return None
    except LockedError as exc:
        errors.print(Text(str(exc), "red"))
        return None
    except (OSError, msgspec.DecodeError) as exc:
        errors.print(Text(f"{overrides.FILE_NAME} cannot be read: {exc}", "red"))
        return None
    return list(current.at(time.time()).indicators)


def in_force(state_dir: Path, revision: int) -> bool:
    """Whether every worker has taken up that revision of the local entries, now or within a moment."""
    until_s = time.monotonic() + _TAKEN_UP_S
    while not inforce.read(state_dir).covers(InForce(overrides=revision)):
        if time.monotonic() > until_s:
            return False
        time.sleep(_POLL_S)
    return True


def _clock(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(min(at_s, LATEST_S))) if at_s else "for good"
