"""`pdns events sinks`: where events are sent, how far each sink is, and what went wrong."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import typer
from rich.text import Text

from pdns.cli.commands import EXIT_INVALID, ConfigOption, consoles, load_config
from pdns.cli.feed_table import age, aligned
from pdns.files.records import DamagedError
from pdns.free_text import visible
from pdns.state.sink_states import SinkState, read_states, states_path

EVENTS: Final = "events"  # the directory of the events process, below the state directory
_TITLES: Final = ("sink", "state", "behind", "written", "lost", "last written", "last error")


def add_sinks(app: typer.Typer) -> None:
    """Make `sinks` a command of `app`."""
    app.command("sinks")(sinks_command)


def sinks_command(config: ConfigOption = None) -> None:
    """Show where events are sent, how far each sink is, and its last error. Exits with 1 while a sink fails."""
    raise typer.Exit(show_sinks(config))


def show_sinks(path: Path | None) -> int:
    """Prints a row for each sink. Returns 0, 1 while a sink fails, or 2 when nothing is known."""
    console, errors = consoles()
    config = load_config(path, errors, reads_only=True)
    if config is None:
        return EXIT_INVALID
    if not config.events.enabled:
        errors.print(Text("events.enabled = false: no events are recorded", "red"))
        return EXIT_INVALID
    directory = Path(config.state.dir) / EVENTS
    try:
        states = read_states(directory).sinks
    except FileNotFoundError:
        errors.print(Text(f"no such file: {states_path(directory)}; the server writes it a few seconds after its start", "red"))
        return EXIT_INVALID
    except (OSError, DamagedError) as exc:
        errors.print(Text(visible(f"cannot be read: {states_path(directory)}: {exc}"), "red"))
        return EXIT_INVALID
    if not states:
        console.print(Text("no sinks"))
        return 0
    now_s = time.time()
    aligned(console, [_TITLES, *(_row(state, now_s) for state in states)])
    return 0 if all(state.up for state in states) else 1


def _row(state: SinkState, now_s: float) -> tuple[str, ...]:
    return (
        state.name,
        "up" if state.up else "FAILING",
        f"{state.lag_s:,.0f} s" if state.lag_s else "-",
        f"{state.written:,}",
        f"{state.lost:,}" + (f" ({state.lost_queries:,} queries)" if state.lost_queries else ""),
        _ago(state.last_written_s, now_s),
        f"{_ago(state.last_error_s, now_s)}: {state.last_error}" if state.last_error else "-",
    )


def _ago(moment_s: float, now_s: float) -> str:
    """How long ago, for people; `-`: not since the server was started."""
    return age(now_s - moment_s) if moment_s else "-"
