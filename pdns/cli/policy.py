"""`pdns policy`: what a policy comes to, and what another configuration would change."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from pdns.cli.commands import EXIT_INVALID, ConfigOption, consoles, load_config
from pdns.cli.feed_table import aligned
from pdns.config.load import load
from pdns.config.policies import DEFAULT_POLICY, PolicySettings, policies_at
from pdns.config.schema import Config
from pdns.errors import ConfigErrors
from pdns.explain import UnknownError, live_blockset
from pdns.policy_diff import DAYS, PolicyDiff, diff, unloaded
from pdns.state import feed_hits, overrides

app = typer.Typer(help="Policies of tenants.", no_args_is_help=True)

MOST_TENANTS_SHOWN = 5


@app.command("show")
def show_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The policy")] = DEFAULT_POLICY,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
) -> None:
    """Show what a policy comes to now, with all that it inherits."""
    raise typer.Exit(show(name, config, as_json=as_json))


@app.command("diff")
def diff_command(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A configuration")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The configuration that would replace it")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; days are since the epoch")] = False,
) -> None:
    """Show which of the names blocked in the last 7 days would be treated differently, and for whom."""
    console, errors = consoles()
    try:
        configs = load(old), load(new)
    except ConfigErrors as failure:
        for error in failure.errors:
            errors.print(Text(str(error), "red"))
        raise typer.Exit(EXIT_INVALID) from None
    raise typer.Exit(show_diff(*configs, console, errors, as_json=as_json))


def show(name: str, path: Path | None, *, as_json: bool) -> int:
    """Prints the settings of a policy. Returns 2 when the configuration is invalid or has no such policy."""
    console, errors = consoles()
    config = load_config(path, errors, reads_only=True)
    if config is None:
        return EXIT_INVALID
    settings = policies_at(config, time.time()).settings
    if name not in settings:
        errors.print(Text(f"no policy {name}; policies: {', '.join(settings)}", "red"))
        return EXIT_INVALID
    if as_json:
        print(msgspec.json.encode(_as_table(settings[name])).decode())
    else:
        _print_settings(console, settings[name], config)
    return 0


def _as_table(settings: PolicySettings) -> dict[str, object]:
    table = msgspec.structs.asdict(settings)
    del table["layers"]
    return {**table, "entries": settings.entries}


def _print_settings(console: Console, settings: PolicySettings, config: Config) -> None:
    tenants = [tenant.name for tenant in config.tenant if tenant.policy == settings.name]
    console.print(Text(settings.name, "bold"))
    aligned(console, [("tenants", _shortened(tenants) or "none"), ("not ready", _unready(settings))], indent="  ")
    rows = [("feed", "category", "mode", "action")]
    for feed in config.feed:
        action = settings.action_of(feed.category) if feed.rpz_action == "policy" else feed.rpz_action
        where = f" to {', '.join(settings.sinkhole_of(feed.category))}" if action == "sinkhole" else ""
        mode = settings.modes[feed.name]
        done = "as the feed says" if action == "given" else f"{action}{where}"
        rows.append((feed.name, feed.category, mode, done if mode == "block" else ""))
    aligned(console, rows, indent="  ")
    if entries := [*settings.entries, *policies_at(config, time.time()).everyones]:
        said = [(one.name, "allow" if one.allow else "block", one.source, one.reason) for one in entries]
        aligned(console, [("entry", "", "of", "reason"), *said], indent="  ")


def _unready(settings: PolicySettings) -> str:
    return "answers without protection" if settings.forwards_unready else "SERVFAIL"


def show_diff(old: Config, new: Config, console: Console, errors: Console, *, as_json: bool) -> int:
    """Prints what `new` would change. Returns 0, or 2 when it cannot be known."""
    state_dir, now_s = Path(old.state.dir), time.time()
    hits = feed_hits.read(state_dir)
    if hits is None:
        reason = f"{state_dir} has no {feed_hits.FILE_NAME}; `pdns serve` saves it every minute"
        errors.print(Text(f"which names were blocked is not known: {reason}", "red"))
        return EXIT_INVALID
    try:
        blockset = live_blockset(old)
        local = overrides.read(state_dir).rules(now_s)
    except UnknownError as failure:
        errors.print(Text(str(failure), "red"))
        return EXIT_INVALID
    except (OSError, msgspec.DecodeError) as failure:
        errors.print(Text(f"local entries are unknown: {overrides.FILE_NAME} cannot be read: {failure}", "red"))
        return EXIT_INVALID
    columns = (TextColumn("comparing"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as progress:
        task = progress.add_task("", total=None)

        def advanced(done: int, of: int) -> None:
            progress.update(task, completed=done, total=of)

        found = diff(old, new, blockset, local, hits, now_s, advanced)
    for feed in unloaded(new, blockset):
        errors.print(Text(f"note: the feed {feed} was not loaded yet: what it lists is not known", "yellow"))
    if as_json:
        print(msgspec.json.encode(found).decode())
    else:
        _print_diff(console, found)
    return 0


def _print_diff(console: Console, found: PolicyDiff) -> None:
    if found.changes:
        rows = [("name", "now", "would be", "for", "last met")]
        for one in found.changes:
            day = datetime.fromtimestamp(one.last_day * 86400, UTC).date().isoformat()
            rows.append((one.name, one.before, one.after, _shortened(one.tenants), day))
        aligned(console, rows)
    names = len({one.name for one in found.changes})
    verb = "would change" if names else "nothing would change"
    count = f"{names:,} of " if names else ""
    console.print(Text(f"{count}{found.compared:,} names that were met in the last {DAYS} days: {verb}", "bold"))
    if found.unlisted:
        console.print(Text(f"{found.unlisted:,} more were met, and are listed no longer: their names are not kept"))


def _shortened(tenants: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(tenants) - MOST_TENANTS_SHOWN:,} more" if len(tenants) > MOST_TENANTS_SHOWN else ""
    return ", ".join(tenants[:MOST_TENANTS_SHOWN]) + more
