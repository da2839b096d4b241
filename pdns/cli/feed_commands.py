"""`pdns feeds held|hold|release|drop|disable|enable`: held updates and names, and the commands about them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pdns.cli.commands import EXIT_INVALID, ConfigOption, ReasonOption, consoles, load_config, next_step, run_command
from pdns.cli.feed_table import held
from pdns.state import feed_status
from pdns.state.commands import Command

FeedArgument = Annotated[str, typer.Argument(metavar="FEED", help="The feed, as the configuration names it")]
NameOption = Annotated[str, typer.Option("--name", "-n", metavar="NAME", help="This name only [default: the whole update]")]


def held_command(config: ConfigOption = None) -> None:
    """Show what was held, with examples and reasons. Exits 1 while an update as a whole is held."""
    raise typer.Exit(show_held(config))


def hold_command(feed: FeedArgument, config: ConfigOption = None, name: NameOption = "", reason: ReasonOption = "") -> None:
    """Hold every update of a feed from now on, or take one name out of it."""
    raise typer.Exit(run_command(config, Command(command="hold", user="", feed=feed, name=name, reason=reason)))


def release_command(
    feed: Annotated[str, typer.Argument(metavar="[FEED]", help="The feed; of all feeds, with --all, --category or --kind")] = "",
    config: ConfigOption = None,
    name: NameOption = "",
    everything: Annotated[bool, typer.Option("--all", help="Everything that is held: updates, names and addresses")] = False,
    category: Annotated[str, typer.Option("--category", metavar="CATEGORY", help="Everything in feeds of it")] = "",
    kind: Annotated[
        str,
        typer.Option("--kind", metavar="KIND", help="Everything of a kind that `pdns feeds held` shows: provider, giant"),
    ] = "",
    reason: ReasonOption = "",
) -> None:
    """Put held updates or names in force at once: of one feed, or all of a category or kind."""
    wanted = Command(
        command="release", user="", feed=feed, name=name, reason=reason, all=everything, category=category, kind=kind
    )
    if not feed and not wanted.is_bulk:
        consoles()[1].print(Text("name a FEED, or use --all, --category or --kind (--reason is only for the audit log)", "red"))
        raise typer.Exit(EXIT_INVALID)
    raise typer.Exit(run_command(config, wanted))


def drop_command(feed: FeedArgument, config: ConfigOption = None, name: NameOption = "", reason: ReasonOption = "") -> None:
    """Discard the held update or name."""
    raise typer.Exit(run_command(config, Command(command="drop", user="", feed=feed, name=name, reason=reason)))


def disable_command(
    feed: FeedArgument,
    lasting: Annotated[str, typer.Option("--for", metavar="TIME", help="For how long: 30m, 2h, 7d")],
    reason: Annotated[str, typer.Option("--reason", "-r", metavar="TEXT", help="Why; kept in the audit log")],
    config: ConfigOption = None,
) -> None:
    """Switch a feed off for a while, in every worker within a second."""
    raise typer.Exit(run_command(config, Command(command="disable", user="", feed=feed, reason=reason), lasting))


def enable_command(feed: FeedArgument, config: ConfigOption = None, reason: ReasonOption = "") -> None:
    """Switch a feed on again."""
    raise typer.Exit(run_command(config, Command(command="enable", user="", feed=feed, reason=reason)))


def show_held(path: Path | None) -> int:
    """Prints everything that is held. Returns 1 while an update is held as a whole, 2 when that is unknown, else 0."""
    console, errors = consoles()
    config = load_config(path, errors)
    if config is None:
        return EXIT_INVALID
    state_dir = Path(config.state.dir)
    current = feed_status.read(state_dir)
    if current is None:
        if config.feed:
            errors.print(Text(f"held updates are not known: no feed status in {state_dir}: {next_step(state_dir)}", "red"))
            return EXIT_INVALID
        current = feed_status.FeedsStatus()
    if not held(console, current, every_name=True):
        console.print(Text("nothing is held"))
    return 1 if any(feed.held_update is not None for feed in current.feeds.values()) else 0


def add_to(app: typer.Typer) -> None:
    """Add these commands to `app`."""
    app.command("held")(held_command)
    app.command("hold")(hold_command)
    app.command("release")(release_command)
    app.command("drop")(drop_command)
    app.command("disable")(disable_command)
    app.command("enable")(enable_command)
