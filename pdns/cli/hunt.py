"""`pdns hunt`: which tenants asked for a name, and on which days."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from pdns.cli.commands import EXIT_INVALID, ConfigOption, consoles, load_config
from pdns.cli.feed_table import aligned
from pdns.config.schema import Config
from pdns.errors import InvalidName, PdnsError
from pdns.history.hunt import HuntReport, NameHunt, wanted_name
from pdns.telemetry.asked_names import DAY_S

STANDARD_INPUT = "-"
DaysOption = Annotated[int, typer.Option("--days", min=1, max=366, metavar="COUNT", help="How many days back, today among them")]
_SHOWN_DAYS = 3
_SHOWN_TENANTS = 20


def command(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names; *.NAME for what is below; - for standard input")],
    config: ConfigOption = None,
    days: DaysOption = 30,
    tenant: Annotated[str, typer.Option("--tenant", "-t", metavar="TENANT", help="This tenant only")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Show which tenants probably asked for these names, or for names below them, and got an answer. Needs history.days."""
    raise typer.Exit(hunt(config, names, days, tenant, as_json=as_json))


def hunt(path: Path | None, texts: Sequence[str], days: int, tenant: str, *, as_json: bool) -> int:
    """Prints what was found. Returns 0, 1 without a history, 2 for an invalid configuration, tenant or name."""
    console, errors = consoles()
    config = load_config(path, errors)
    if config is None:
        return EXIT_INVALID
    if tenant and tenant not in [one.name for one in config.tenant]:
        errors.print(Text(f"no tenant {tenant}; tenants: {', '.join(one.name for one in config.tenant) or 'none'}", "red"))
        return EXIT_INVALID
    try:
        wanted = [wanted_name(text) for text in (sys.stdin if list(texts) == [STANDARD_INPUT] else texts) if text.strip()]
    except InvalidName as exc:
        errors.print(Text(str(exc), "red"))
        return EXIT_INVALID
    if (history := open_history(config, days, errors)) is None:
        return 1
    with progress_bar(errors, "searching") as bar:
        task = bar.add_task("", total=1.0)
        report = history.find(
            wanted, [tenant] if tenant else None, lambda share: bar.update(task, completed=share), count=len(wanted)
        )
    if as_json:
        print(msgspec.json.encode(report).decode())
    else:
        _show(console, report)
        caveats(errors, report.damaged, report.lost)
    return 0


def open_history(config: Config, days: int, errors: Console) -> NameHunt | None:
    """The history of the last days; None after printing why there is none."""
    try:
        history = NameHunt.of(Path(config.state.dir), days, int(time.time() // DAY_S))
        if history.days:
            return history
        why = "; new ones are written every 5 minutes" if config.history.days else ": set history.days"
        errors.print(Text(f"no names were noted in the last {days} days{why}", "red"))
    except PdnsError as exc:
        errors.print(Text(str(exc), "red"))
    except OSError as exc:
        errors.print(Text(f"{exc.filename}: {exc.strerror}", "red"))
    return None


def progress_bar(errors: Console, what: str) -> Progress:
    """A bar for work that may take long."""
    columns = (TextColumn(what), BarColumn(), TextColumn("{task.percentage:.0f} %"), TimeElapsedColumn())
    return Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)


def caveats(errors: Console, damaged: Sequence[str], lost: int) -> None:
    """Print what is missing from the answer."""
    if damaged:
        errors.print(Text(f"not read, damaged or written with another key: {', '.join(damaged)}", "yellow"))
    if lost:
        errors.print(Text(f"{lost:,} names of these days were not noted: there was no room", "yellow"))


def _show(console: Console, report: HuntReport) -> None:
    span = f"{report.days[0]} to {report.days[-1]}" if len(report.days) > 1 else report.days[0]
    if report.found:
        aligned(console, [("name", "tenant", "days", "on", "by chance"), *_rows(report)])
    elif report.names == 1:
        console.print(Text("the name was not asked for"))
    else:
        console.print(Text(f"none of {report.names:,} names was asked for"))
    count = f"{len(report.days)} day{'s' * (len(report.days) > 1)}"
    console.print(Text(f"names were noted on {count}: {span}; the last 5 minutes may be missing", "dim"), soft_wrap=True)


def _rows(report: HuntReport) -> Iterator[tuple[str, ...]]:
    for hunted in report.found:
        most_first = sorted(hunted.tenants, key=lambda asked: -len(asked.days))
        for asked in most_first[:_SHOWN_TENANTS]:
            days = asked.days if len(asked.days) <= _SHOWN_DAYS else [asked.days[0], "...", asked.days[-1]]
            yield hunted.name, asked.tenant, str(len(asked.days)), " ".join(days), _chance(asked.chance)
        if (more := len(hunted.tenants) - _SHOWN_TENANTS) > 0:
            yield hunted.name, f"and {more} more: --json", "", "", ""


def _chance(chance: float) -> str:
    return "< 1 in 10^9" if chance < 1e-9 else f"1 in {round(1 / chance):,}"
