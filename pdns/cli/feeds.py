"""`pdns feeds`: status and quality of the feeds, a refresh of all of them, and commands about them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from pdns.cli import feed_commands
from pdns.cli.catalogue import catalogue_command
from pdns.cli.commands import EXIT_INVALID, ConfigOption, consoles, load_config, next_step, refused, working_here
from pdns.cli.feed_check import check
from pdns.cli.feed_table import age, changes, held, odd_lines, show
from pdns.cli.feed_trial import trial_command
from pdns.cli.popular import popular_command
from pdns.cli.quality import quality
from pdns.config.schema import Config
from pdns.errors import ConfigError
from pdns.files.safe_files import make_directory, read_state, write_whole
from pdns.state import feed_status
from pdns.state.feed_status import FeedsStatus
from pdns.state.lock import is_served

UPDATE_TIMEOUT_S = 120.0
_POLL_S = 0.1

app = typer.Typer(help="Status of the feeds; refresh, hold, release, switch off.", no_args_is_help=True, rich_markup_mode=None)
feed_commands.add_to(app)
app.command("catalogue")(catalogue_command)
app.command("popular")(popular_command)
app.command("trial")(trial_command)


@app.command("status")
def status_command(
    config: ConfigOption = None,
    odd: Annotated[bool, typer.Option("--odd", help="Show examples of skipped lines")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the status file (JSON)")] = False,
) -> None:
    """Show what each feed lists and how its last refresh went. Exits 1 unless every required feed is loaded."""
    raise typer.Exit(status(config, odd=odd, as_json=as_json))


@app.command("update")
def update_command(
    config: ConfigOption = None,
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, metavar="SECONDS", help="How long to wait")] = UPDATE_TIMEOUT_S,
) -> None:
    """Refresh every feed now and wait for the outcome. Exits 1 unless every source gave a usable answer."""
    raise typer.Exit(update(config, timeout_s))


@app.command("check")
def check_command(
    feed: Annotated[str, typer.Argument(metavar="[NAME]", help="This feed only [default: all]")] = "",
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Fetch each source once and suggest a fix for each failure. Changes nothing. Exits 1 unless all are fine."""
    raise typer.Exit(check(config, feed, as_json=as_json))


@app.command("quality")
def quality_command(
    feed: Annotated[str, typer.Argument(metavar="[FEED]", help="Details of this feed [default: a table of all]")] = "",
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON")] = False,
) -> None:
    """Show what each feed is worth: what it adds, what it catches, what it gets wrong."""
    raise typer.Exit(quality(config, feed, as_json=as_json))


def status(path: Path | None, *, odd: bool = False, as_json: bool = False) -> int:
    """Prints the status of the feeds. Returns 0 if every required one is loaded, else 1; 2 for an invalid configuration."""
    console, errors = consoles()
    config = load_config(path, errors)
    if config is None:
        return EXIT_INVALID
    state_dir = Path(config.state.dir)
    current = feed_status.read(state_dir)
    if current is None:
        errors.print(Text(f"no feed status in {state_dir}: {next_step(state_dir)}"))
        return 1
    if as_json:
        print(read_state(state_dir / feed_status.FILE_NAME, feed_status.MAX_BYTES).decode())
    else:
        now_s = time.time()
        if not is_served(state_dir, unknown=True):
            errors.print(Text(f"no resolver is running on {state_dir}; this was the status {age(now_s - current.written_s)}"))
        show(console, current, now_s)
        odd_lines(console, current, examples=odd)
        held(console, current, every_name=False)
    missing = missing_feeds(config, current)
    for name in missing:
        errors.print(Text(f"feed {name}: required, not loaded: queries get SERVFAIL until it is", "red"))
    return 1 if missing else 0


def missing_feeds(config: Config, current: FeedsStatus) -> list[str]:
    """The required feeds that the live blockset does not hold."""
    loaded = {name for name, feed in current.feeds.items() if feed.loaded}
    return [feed.name for feed in config.feed if feed.required and feed.name not in loaded]


def update(path: Path | None, timeout_s: float = UPDATE_TIMEOUT_S) -> int:
    """Refreshes every feed, by the running resolver or here, and prints what changed. Returns 0 if all gave a usable answer."""
    console, errors = consoles()
    config = load_config(path, errors)
    if config is None:
        return EXIT_INVALID
    state_dir = Path(config.state.dir)
    before = feed_status.read(state_dir) or FeedsStatus()
    asked_s = time.time()
    try:
        if is_served(state_dir):
            after = _ask_and_follow(config, asked_s, timeout_s, errors)
        else:
            errors.print(Text(f"no resolver is running on {state_dir}: this command refreshes its feeds"))
            after = _refresh_here(config, path, asked_s, errors)
    except OSError as exc:
        errors.print(Text(refused(exc, state_dir), "red"))
        return 1
    except ConfigError as exc:
        errors.print(Text(str(exc), "red"))
        return 1
    changes(console, before, after)
    if late := _waiting(after, asked_s):
        errors.print(Text(f"not done after {timeout_s:g} s: {', '.join(late)}; see `pdns feeds status`", "red"))
    unknown = [feed.name for feed in config.feed if feed.name not in after.feeds]
    if unknown:
        errors.print(Text(f"unknown to the running resolver: {', '.join(unknown)}; does it use this configuration?", "red"))
    failed = any(feed.last_error or feed.held_update for feed in after.feeds.values())
    return 1 if late or unknown or failed else 0


def _ask_and_follow(config: Config, asked_s: float, timeout_s: float, errors: Console) -> FeedsStatus:
    state_dir = Path(config.state.dir)
    request = state_dir / "requests" / "update"
    make_directory(request.parent, 0o750)
    write_whole(request, b"", synced=False)  # another file: the one before may belong to another user
    with _Bar(errors, asked_s) as bar:
        while True:
            current = feed_status.read(state_dir)
            if current is not None and bar.show(current):
                return current
            if time.time() > asked_s + timeout_s:
                return current or FeedsStatus()
            time.sleep(_POLL_S)


def _refresh_here(config: Config, path: Path | None, asked_s: float, errors: Console) -> FeedsStatus:
    from feeds.refresh import build_once  # noqa: PLC0415 (only this command needs all that)

    with working_here(config, path), _Bar(errors, asked_s) as bar:

        def on_status(current: FeedsStatus) -> None:
            bar.show(current)

        return build_once(config, on_status)


class _Bar(Progress):
    """Shows how many feeds have been tried; shows nothing when standard error is not a terminal."""

    def __init__(self, console: Console, asked_s: float) -> None:
        columns = (TextColumn("refreshing"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[waiting]}"))
        super().__init__(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._asked_s = asked_s
        self._shown = self.add_task("", total=None, waiting="")

    def show(self, current: FeedsStatus) -> bool:
        """Update it. True when there is nothing left to wait for."""
        waiting = _waiting(current, self._asked_s)
        total = len(current.feeds)
        said = current.doing or ", ".join(waiting)
        self.update(self._shown, total=total, completed=total - len(waiting), waiting=said[:60])
        return not waiting


def _waiting(current: FeedsStatus, asked_s: float) -> list[str]:
    """The feeds that have not been tried since."""
    return [name for name, feed in current.feeds.items() if feed.last_attempt_s < asked_s]
