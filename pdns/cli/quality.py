"""`pdns feeds quality`: what each feed adds, catches and gets wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.text import Text

from pdns.blockset.annotations import DAY_S, Annotations
from pdns.blockset.generations import current_directory
from pdns.blockset.reader import Blockset
from pdns.cli.commands import EXIT_INVALID, load_config
from pdns.cli.feed_table import aligned
from pdns.config.policies import policies_at
from pdns.config.schema import Config
from pdns.errors import BlocksetError
from pdns.state import feed_hits
from pdns.telemetry.event_ring import name_hash

if TYPE_CHECKING:
    from feeds.quality import FeedQuality, QualityReport

_TITLES = ("feed", "entries", "unique", "hits", "only it", "never hit", "benign", "allowed", "new in 7 d", "older than 90 d")


def quality(path: Path | None, feed: str, *, as_json: bool) -> int:
    """Prints the numbers of all feeds, or details of one. Returns 2 when the configuration is invalid, 1 without a blockset."""
    console, errors = Console(highlight=False, soft_wrap=True), Console(stderr=True, soft_wrap=True, highlight=False)
    config = load_config(path, errors)
    if config is None:
        return EXIT_INVALID
    try:
        blockset = Blockset.open(current_directory(Path(config.state.dir)))
    except BlocksetError as error:
        errors.print(Text(f"no blockset to read ({error}); start `pdns serve` or run `pdns feeds update`", "red"))
        return 1
    if feed and feed not in blockset.feeds:
        errors.print(Text(f"the live blockset has no feed {feed}; it has {', '.join(blockset.feeds) or 'none'}", "red"))
        return EXIT_INVALID
    with errors.status(f"reading {blockset.names:,} names"):
        found = judge(config, blockset, time.time())
    if found.problem:
        errors.print(Text(found.problem, "yellow"))
    if as_json:
        print(msgspec.json.encode(found).decode())
    elif feed:
        _show_one(console, next(one for one in found.feeds if one.feed == feed), found)
    else:
        _show_all(console, found)
    return 0


def judge(config: Config, blockset: Blockset, now_s: float) -> QualityReport:
    """The numbers that are known at the moment."""
    from feeds import quality as measures  # noqa: PLC0415 (only this command needs it)

    qualities = measures.measure(blockset)
    problems = []
    try:
        measures.add_ages(qualities, Annotations(blockset), int(now_s // DAY_S))
    except BlocksetError as error:
        problems.append(f"ages are unknown: {error}")
    met = feed_hits.read(Path(config.state.dir))
    if met is None:
        problems.append("hits are not known yet: `pdns serve` saves them every minute")
    else:
        for name, one in qualities.items():
            counted = met.feeds.get(name, feed_hits.FeedHits())
            one.hits, one.only_hits = counted.hits, counted.only
        measures.add_never_hit(qualities, blockset, lambda name: name_hash(name) in met.names)
    policies = policies_at(config, now_s)
    entries = [*policies.everyones, *(entry for settings in policies.settings.values() for entry in settings.entries)]
    tenants = [name for tenant in config.tenant for name in tenant.allow]
    allowed = dict.fromkeys([*(entry.name for entry in entries if entry.allow), *tenants])
    measures.add_overridden(qualities, blockset, allowed)
    benign = 0
    if config.quality.benign:
        benign = measures.add_benign(qualities, blockset, _benign(config, problems))
    return measures.QualityReport(
        generation=blockset.generation,
        names=blockset.entries,
        feeds=list(qualities.values()),
        hits_since_s=met.since_s if met is not None else 0.0,
        benign_names=benign,
        problem="; ".join(problems),
    )


def _benign(config: Config, problems: list[str]) -> Iterator[bytes]:
    from feeds.quality import benign_names  # noqa: PLC0415

    for path in config.quality.benign:
        try:
            yield from benign_names(Path(path))
        except OSError as error:
            problems.append(f"quality.benign: {path}: {error.strerror}")


def _show_all(console: Console, found: QualityReport) -> None:
    _numbers(console, [_TITLES, *map(_row, found.feeds)])
    names = [one.feed for one in found.feeds]
    if len(names) > 1:
        console.print(Text("\nof the names of a row's feed, those that the column's lists too", "dim"))
        shares = [
            [_percentage(one.overlap.get(name), one.entries) if name != one.feed else "" for name in names] for one in found.feeds
        ]
        _numbers(console, [("", *names), *((name, *row) for name, row in zip(names, shares, strict=True))])
    if found.hits_since_s:
        console.print(Text(f"\nhits since {time.strftime('%Y-%m-%d %H:%M', time.localtime(found.hits_since_s))}", "dim"))


def _numbers(console: Console, rows: Sequence[tuple[str, ...]]) -> None:
    """A column of names, then columns of numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned(console, [(row[0], *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))) for row in rows])


def _row(one: FeedQuality) -> tuple[str, ...]:
    ages = one.ages or {}
    return (
        one.feed,
        f"{one.entries:,}",
        _percentage(one.unique, one.entries),
        _number(one.hits),
        _number(one.only_hits),
        _percentage(one.never_hit, one.entries),
        _number(one.benign),
        f"{one.overridden:,}",
        _percentage(ages["1d"] + ages["7d"], one.entries) if ages else "-",
        _percentage(ages["older"], one.entries) if ages else "-",
    )


def _show_one(console: Console, one: FeedQuality, found: QualityReport) -> None:
    rows = [
        ("names", f"{one.entries:,}"),
        ("of no other feed", f"{one.unique:,} ({_percentage(one.unique, one.entries)})"),
        ("addresses", f"{one.addresses:,}"),
        ("expired", f"{one.expired:,}"),
        ("hits", _number(one.hits)),
        ("hits that only it caught", _number(one.only_hits)),
        ("names never asked for", f"{_number(one.never_hit)} ({_percentage(one.never_hit, one.entries)})"),
        ("names that an allowlist lets through", f"{one.overridden:,}"),
        ("names by age", ", ".join(f"{label} {names:,}" for label, names in (one.ages or {}).items() if names) or "-"),
        (f"of {found.benign_names:,} benign names it blocks", _number(one.benign)),
    ]
    aligned(console, rows)
    for candidate in one.candidates:
        console.print(Text(f"  {candidate.benign}  for it lists {candidate.listed}"))
    for other, names in sorted(one.overlap.items(), key=lambda item: -item[1]):
        console.print(Text(f"{names:,} names ({_percentage(names, one.entries)}) are listed by {other} too"))


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _percentage(part: int | None, whole: int) -> str:
    """`part` of `whole` in per cent. Small shares are not rounded to 0 %, nor large ones to 100 %."""
    if part is None or not whole:
        return "-"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if 99.9 < share < 100 else f"{share:.1f} %"
