"""`pdns feeds trial`: what a list would have blocked in the last days, before it is switched on."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from pdns.blockset.generations import current_directory
from pdns.blockset.reader import Blockset
from pdns.cli.commands import EXIT_INVALID, ConfigOption, consoles, load_config
from pdns.cli.feed_table import aligned
from pdns.cli.hunt import DaysOption, caveats, open_history, progress_bar
from pdns.config.load import from_tables
from pdns.config.schema import Config, Guard, State
from pdns.core.listing import BLOCK_BELOW, BLOCK_NAME, Rule, bits_of
from pdns.errors import ConfigErrors, PdnsError
from pdns.history.hunt import WantedName
from pdns.history.trial import TrialReport, trial
from pdns.wire.names import from_reversed_key

_NAME: Final = "trial"
_SHOWN: Final = 20
_RULES: Final = {BLOCK_NAME: Rule.EXACT, BLOCK_BELOW: Rule.BELOW, BLOCK_NAME | BLOCK_BELOW: Rule.SUBTREE}


class _ListError(PdnsError):
    """The list cannot be had or read."""


def trial_command(
    source: Annotated[str, typer.Argument(metavar="LIST", help="A URL, or a file")],
    config: ConfigOption = None,
    days: DaysOption = 30,
    list_format: Annotated[str, typer.Option("--format", metavar="FORMAT", help="As for a feed [default: detected]")] = "auto",
    column: Annotated[str, typer.Option("--column", metavar="COLUMN", help="Of a CSV list: where the names are")] = "",
    json_path: Annotated[str, typer.Option("--json-path", metavar="PATH", help="Of a JSON list: where the names are")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON")] = False,
) -> None:
    """Show what a list would have blocked in the last days, by tenant and day. Changes nothing. Needs history.days."""
    feed = {"name": _NAME, "url": source, "format": list_format, "guard": "off", "column": column, "json_path": json_path}
    raise typer.Exit(run_trial(config, {key: value for key, value in feed.items() if value}, days, as_json=as_json))


def run_trial(path: Path | None, feed: dict[str, str], days: int, *, as_json: bool) -> int:
    """Prints what came of it. Returns 0, 1 without a history or a list, 2 for an invalid configuration or feed."""
    console, errors = consoles()
    config = load_config(path, errors)
    if config is None:
        return EXIT_INVALID
    try:
        tables = {"upstream": {"servers": ["192.0.2.1"]}, "feed": [feed]}  # of these, only the feed is used
        made = from_tables(tables, "", Path.cwd())
    except ConfigErrors as exc:
        errors.print(Text("; ".join(f"{one.key.removeprefix('feed[1].')}: {one.reason}" for one in exc.errors), "red"))
        return EXIT_INVALID
    if (history := open_history(config, days, errors)) is None:
        return 1
    with tempfile.TemporaryDirectory(prefix="pdns-trial-") as directory:
        alone = msgspec.structs.replace(config, state=State(dir=directory), feed=made.feed, guard=Guard(), publish=())
        try:
            with errors.status("fetching and reading the list"):
                blockset = _read(alone, Path(directory))
        except PdnsError as exc:
            errors.print(Text(str(exc), "red"))
            return 1
        with progress_bar(errors, "searching") as bar:
            task = bar.add_task("", total=1.0)
            popular = _popular(blockset)
            report = trial(
                history, _wanted(blockset), lambda share: bar.update(task, completed=share),
                count=blockset.entries, popular=popular,
            )  # fmt: skip
    if as_json:
        print(msgspec.json.encode(report).decode())
    else:
        _show(console, report)
        caveats(errors, report.damaged, report.lost)
    return 0


def _read(config: Config, state_dir: Path) -> Blockset:
    from feeds.refresh import build_once  # noqa: PLC0415 (only this command needs all that)

    logging.getLogger("feeds").setLevel(logging.CRITICAL)  # all of it is in what is printed
    status = build_once(config).feeds[_NAME]
    if status.last_error or not status.loaded:
        raise _ListError(status.last_error or "the list is empty, or cannot be read as a list")
    return Blockset.open(current_directory(state_dir))


def _wanted(blockset: Blockset) -> Iterator[WantedName]:
    rules = [
        _RULES.get(bits_of(said[0][1]) & (BLOCK_NAME | BLOCK_BELOW)) if (said := blockset.combination(number)) else None
        for number in range(len(blockset.counts))
    ]
    for key, number in blockset.combinations():
        if (rule := rules[number]) is not None:
            yield WantedName(from_reversed_key(key), rule)


def _popular(blockset: Blockset) -> set[bytes]:
    """The names by which the list blocks popular ones, and how many of those: each listed name counts once."""
    from feeds.popular import COMPARED, POPULAR, ranked  # noqa: PLC0415 (as above)

    names = (from_reversed_key(key) for _, key in ranked(POPULAR, COMPARED))
    return {listing.name for name in names for listing in blockset.lookup(name) if not listing.allow}


def _show(console: Console, report: TrialReport) -> None:
    span = f"{report.days[0]} to {report.days[-1]}" if len(report.days) > 1 else report.days[0]
    asked = f"{report.asked:,} of {report.names:,} names were asked for"
    console.print(Text(f"{asked}, by {len(report.tenants)} tenants, {span} ({len(report.days)} days)"), soft_wrap=True)
    if report.tenants:
        rows = [
            (one.tenant, f"{one.names:,}", f"{len(one.days)}", f"{max(one.days.values()):,}") for one in report.tenants[:_SHOWN]
        ]
        aligned(console, [("tenant", "names", "days", "most a day"), *rows])
        _more(console, len(report.tenants))
        console.print()
        examples = [
            (one.name, f"{len(one.tenants)}", f"{sum(len(asked.days) for asked in one.tenants)}") for one in report.examples
        ]
        aligned(console, [("name", "tenants", "days of tenants"), *examples[:_SHOWN]])
        _more(console, report.asked)
    if report.popular_count:
        text = f"{report.popular_count:,} of its entries block popular names; {len(report.popular):,} of them were asked for here"
        named = f": {', '.join(report.popular[:_SHOWN])}" if report.popular else ""
        console.print(Text(f"\n{text}{named}", "yellow"), soft_wrap=True)
    expected = f"{report.expected_false:,.0f}" if report.expected_false >= 1 else "none"
    said = f"Of all days of all tenants and names, {expected} are expected to be here by chance."
    console.print(Text(f"{said} What is blocked already is not counted.", "dim"), soft_wrap=True)


def _more(console: Console, count: int) -> None:
    if count > _SHOWN:
        console.print(Text(f"... and {count - _SHOWN:,} more: --json", "dim"))
