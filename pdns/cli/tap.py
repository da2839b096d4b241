"""`pdns tap`: all queries of a tenant, to a collector of dnstap, for a limited time."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pdns.cli.commands import EXIT_INVALID, ConfigOption, ReasonOption, consoles, load_config, refused, run_command
from pdns.cli.feed_table import aligned
from pdns.cli.pause import TenantArgument
from pdns.config.tap_sinks import refusal_of_tap
from pdns.files.records import DamagedError
from pdns.free_text import visible
from pdns.state import overrides
from pdns.state.commands import Command

_TITLES = ("tenant", "sink", "since", "until", "by", "reason")

app = typer.Typer(
    help="All queries of a tenant, to a collector of dnstap, for a while.", rich_markup_mode=None, no_args_is_help=True
)


@app.command("start")
def start_command(
    tenant: TenantArgument,
    lasting: Annotated[str, typer.Option("--for", metavar="TIME", help="For how long: 30m, 2h, at most 24h")],
    sink: Annotated[str, typer.Option("--sink", metavar="NAME", help="The dnstap sink that gets them")],
    config: ConfigOption = None,
    reason: ReasonOption = "",
) -> None:
    """Send all queries of a tenant to a sink for a while. Events say how much of a client: so do these."""
    _, errors = consoles()
    loaded = load_config(config, errors)
    if loaded is None:
        raise typer.Exit(EXIT_INVALID)
    if why := refusal_of_tap(loaded, sink):
        errors.print(Text(visible(why), "red"))
        raise typer.Exit(EXIT_INVALID)
    raise typer.Exit(run_command(config, Command(command="tap", user="", tenant=tenant, sink=sink, reason=reason), lasting))


@app.command("stop")
def stop_command(tenant: TenantArgument, config: ConfigOption = None, reason: ReasonOption = "") -> None:
    """End the tap of a tenant."""
    raise typer.Exit(run_command(config, Command(command="untap", user="", tenant=tenant, reason=reason)))


@app.command("status")
def status_command(config: ConfigOption = None) -> None:
    """Show the taps of tenants that are in force, and the shares that are sampled."""
    raise typer.Exit(show_taps(config))


def show_taps(path: Path | None) -> int:
    """Prints a row for each tap. Returns 0, or 2 when nothing is known."""
    console, errors = consoles()
    config = load_config(path, errors, reads_only=True)
    if config is None:
        return EXIT_INVALID
    state_dir = Path(config.state.dir)
    try:
        tapped = overrides.read(state_dir).at(time.time()).tapped
    except OSError as exc:
        errors.print(Text(refused(exc, state_dir), "red"))
        return EXIT_INVALID
    except DamagedError as exc:
        errors.print(Text(visible(f"{overrides.FILE_NAME} cannot be read: {exc}"), "red"))
        return EXIT_INVALID
    rows = [
        (tenant, one.sink, _clock(one.since_s), _clock(one.until_s), one.author, one.reason or "-")
        for tenant, one in sorted(tapped.items())
    ]
    if rows:
        aligned(console, [_TITLES, *rows])
    else:
        console.print(Text("no tenant is tapped"))
    for sink in config.sink:
        if sink.sample:
            console.print(Text(f"sink {sink.name} gets {sink.sample:.4%} of all queries"))
    return 0


def _clock(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_s))
