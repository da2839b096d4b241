"""`pdns feeds held|hold|release|drop|disable|enable`: what waits for somebody's decision, and the decisions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pdns import feedstatus
from pdns.cli.feedtable import held
from pdns.cli.ordering import EXIT_INVALID, ConfigOption, ReasonOption, consoles, load_config, order
from pdns.orders import Order

FeedArgument = Annotated[str, typer.Argument(metavar="FEED", help="The feed, as the configuration names it")]
NameOption = Annotated[str, typer.Option("--name", "-n", metavar="NAME", help="This name only [default: the whole update]")]


def held_command(config: ConfigOption = None) -> None:
    """Show what was held, with examples and reasons. Exits 1 when anything waits for a decision."""
    raise typer.Exit(show_held(config))


def hold_command(feed: FeedArgument, config: ConfigOption = None, name: NameOption = "", reason: ReasonOption = "") -> None:
    """Hold every update of a feed from now on, or take one name out of it."""
    raise typer.Exit(order(config, Order(command="hold", user="", feed=feed, name=name, reason=reason)))


def release_command(feed: FeedArgument, config: ConfigOption = None, name: NameOption = "", reason: ReasonOption = "") -> None:
    """Let what was held go live, at once."""
    raise typer.Exit(order(config, Order(command="release", user="", feed=feed, name=name, reason=reason)))


def drop_command(feed: FeedArgument, config: ConfigOption = None, name: NameOption = "", reason: ReasonOption = "") -> None:
    """Let what was held stay out, and speak no more of it."""
    raise typer.Exit(order(config, Order(command="drop", user="", feed=feed, name=name, reason=reason)))


def disable_command(
    feed: FeedArgument,
    lasting: Annotated[str, typer.Option("--for", metavar="TIME", help="For how long: 30m, 2h, 7d")],
    reason: Annotated[str, typer.Option("--reason", "-r", metavar="TEXT", help="Why; it is kept on record")],
    config: ConfigOption = None,
) -> None:
    """Switch a feed off for a while, in every worker within a second."""
    raise typer.Exit(order(config, Order(command="disable", user="", feed=feed, reason=reason), lasting))


def enable_command(feed: FeedArgument, config: ConfigOption = None, reason: ReasonOption = "") -> None:
    """Switch a feed on again."""
    raise typer.Exit(order(config, Order(command="enable", user="", feed=feed, reason=reason)))


def show_held(path: Path | None) -> int:
    """Prints all that was held; 0 when nothing waits, 1 when something does, 2 when the configuration is no good."""
    console, errors = consoles()
    config = load_config(path, errors)
    if config is None:
        return EXIT_INVALID
    current = feedstatus.read(Path(config.state.dir)) or feedstatus.FeedsStatus()
    if not held(console, current, every_name=True):
        console.print(Text("nothing is held"))
    return 1 if any(feed.held for feed in current.feeds.values()) else 0


def add_to(app: typer.Typer) -> None:
    """Make these commands of `app`."""
    app.command("held")(held_command)
    app.command("hold")(hold_command)
    app.command("release")(release_command)
    app.command("drop")(drop_command)
    app.command("disable")(disable_command)
    app.command("enable")(enable_command)
