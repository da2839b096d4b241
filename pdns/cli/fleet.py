"""`pdns fleet`: what this server takes from its fleet or gives to it, and the commands about releases."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.text import Text

from pdns.cli import fleet_keys
from pdns.cli.commands import EXIT_INVALID, ConfigOption, ReasonOption, consoles, load_config, next_step, run_command
from pdns.cli.fleet_table import is_well, show_node, show_publisher
from pdns.config.schema import Config
from pdns.state import fleet_status
from pdns.state.commands import Command

app = typer.Typer(no_args_is_help=True, help="One publisher, many nodes: releases, rings, keys.", rich_markup_mode=None)
app.add_typer(fleet_keys.app, name="keys")

NO_FLEET: Final = (
    'this server is in no fleet: fleet.role is "standalone". Set it to "publisher" or "node" in the configuration (docs/fleet.md)'
)
ReleaseArgument = Annotated[int, typer.Argument(metavar="RELEASE", min=1, help="Its number; `pdns fleet status` shows it")]
JsonOption = Annotated[bool, typer.Option("--json", help="As JSON")]


@app.command("status")
def status_command(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show releases, rings and nodes (publisher), or release, pointer and store (node). Exits with 1 while something is wrong."""
    raise typer.Exit(show_status(config, as_json=as_json))


@app.command("promote")
def promote_command(
    release: ReleaseArgument,
    ring: Annotated[str, typer.Argument(metavar="RING", help="first, early or all")],
    config: ConfigOption = None,
    reason: ReasonOption = "",
) -> None:
    """Give a release to a ring at once, without waiting for the soak time. On the publisher."""
    if ring not in fleet_status.RINGS:
        consoles()[1].print(Text(f"no ring {ring}; rings: {', '.join(fleet_status.RINGS)}", "red"))
        raise typer.Exit(EXIT_INVALID)
    _run(config, Command(command="fleet-promote", user="", fleet_release=release, ring=ring, reason=reason))


@app.command("rollback")
def rollback_command(release: ReleaseArgument, config: ConfigOption = None, reason: ReasonOption = "") -> None:
    """Publish the content of an earlier release again, with a new number, for all rings. On the publisher."""
    _run(config, Command(command="fleet-rollback", user="", fleet_release=release, reason=reason))


@app.command("pin")
def pin_command(
    reason: Annotated[str, typer.Option("--reason", "-r", metavar="TEXT", help="Why; kept in the audit log")],
    config: ConfigOption = None,
) -> None:
    """Keep this node at its release; on the publisher: promote nothing. Kill switches and local entries still arrive."""
    _run(config, Command(command="fleet-pin", user="", reason=reason))


@app.command("unpin")
def unpin_command(config: ConfigOption = None, reason: ReasonOption = "") -> None:
    """Follow the releases again."""
    _run(config, Command(command="fleet-unpin", user="", reason=reason))


@app.command("take-over")
def take_over_command(config: ConfigOption = None, reason: ReasonOption = "") -> None:
    """Publish again after another publisher wrote to the store, from what the store has. Stop the other one first."""
    _run(config, Command(command="fleet-take-over", user="", reason=reason))


@app.command("check")
def check_command(config: ConfigOption = None) -> None:
    """Fetch and verify the pointer now, without using it: store, signatures, expiry, clock. Exits with 1 if a node could not."""
    from pdns.cli.fleet_check import check  # noqa: PLC0415 (it needs the libraries of the fleet)

    loaded = _fleet_config(config)
    raise typer.Exit(EXIT_INVALID if loaded is None else check(loaded, *consoles()))


def show_status(path: Path | None, *, as_json: bool) -> int:
    """Prints the status. Returns 0, 1 while something is wrong, or 2 when nothing is known."""
    console, errors = consoles()
    config = _fleet_config(path)
    if config is None:
        return EXIT_INVALID
    state_dir = Path(config.state.dir)
    status = fleet_status.read(state_dir)
    if status is None:
        file = fleet_status.path(state_dir)
        errors.print(Text(f"no fleet status in {file}: {_missing(state_dir)}", "red"))
        return EXIT_INVALID
    if as_json:
        print(msgspec.json.encode(status).decode())
        return 0 if is_well(status, time.time()) else 1
    if config.fleet.role == "publisher":
        well = show_publisher(console, status, time.time(), config.fleet.soak_nodes)
    else:
        well = show_node(console, status, time.time())
    return 0 if well else 1


def _missing(state_dir: Path) -> str:
    if not state_dir.exists():
        return "start `pdns serve`"
    return next_step(state_dir).replace(
        ", or fetch the feeds now with `pdns feeds update`", "; it writes the file after its first poll"
    )


def _fleet_config(path: Path | None) -> Config | None:
    """The configuration of a server in a fleet; None after printing what is wrong."""
    _, errors = consoles()
    config = load_config(path, errors, reads_only=True)
    if config is not None and config.fleet.role == "standalone":
        errors.print(Text(NO_FLEET, "red"))
        return None
    return config


def _run(path: Path | None, wanted: Command) -> None:
    if _fleet_config(path) is None:
        raise typer.Exit(EXIT_INVALID)
    raise typer.Exit(run_command(path, wanted))
