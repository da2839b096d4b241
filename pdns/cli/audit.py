"""`pdns audit`: who changed what, when and why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.text import Text

from pdns.cli.commands import EXIT_INVALID, ConfigOption, consoles, load_config, refused
from pdns.cli.feed_table import aligned
from pdns.state import audit_log

_TITLES = ("time", "user", "command", "of", "done", "reason", "outcome")


def command(
    config: ConfigOption = None,
    last: Annotated[int, typer.Option("--last", min=1, max=audit_log.MOST_LINES, metavar="N", help="How many")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; times are seconds since the epoch")] = False,
) -> None:
    """Show the last changes by administrators, the newest first."""
    console, errors = consoles()
    loaded = load_config(config, errors)
    if loaded is None:
        raise typer.Exit(EXIT_INVALID)
    state_dir = Path(loaded.state.dir)
    try:
        lines = audit_log.read(state_dir, last)
    except OSError as error:
        errors.print(Text(refused(error, state_dir), "red"))
        raise typer.Exit(1) from None
    if as_json:
        print(msgspec.json.encode(lines).decode())
    elif lines:
        aligned(console, [_TITLES, *map(_row, lines)])
    else:
        console.print(Text("nothing has been changed"))


def _row(line: dict[str, Any]) -> tuple[str, ...]:
    keys = ("feed", "name", "category", "kind", "tenant", "sink", "fleet_release", "ring")
    what = " ".join(str(line[key]) for key in keys if line.get(key))
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line["time_s"]))
    done = "yes" if line.get("done") else "no"
    return (
        moment, str(line.get("user", "")), str(line.get("command", "")), what, done, str(line.get("reason", "")),
        str(line.get("outcome", "")),
    )  # fmt: skip
