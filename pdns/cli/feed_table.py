"""Feed status for people: a table on a terminal, aligned text everywhere else."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pdns.free_text import visible
from pdns.state.feed_status import FeedsStatus, FeedStatus, HeldUpdate

SHOWN_NAMES = 5
LONG_HELD_DAYS = 3
LATEST_S = 253_402_214_400.0  # the last day that calendars here have: of 9999
_TITLES = ("feed", "category", "mode", "entries", "unique", "loaded", "last success", "result", "error")
_NUMBERS = frozenset({"entries", "unique", "addresses"})
_STEPS = ((60, "s"), (60, "min"), (24, "h"), (10**9, "days"))


def age(seconds: float) -> str:
    """`seconds` for people: "12 s ago"."""
    left = max(0.0, seconds)
    for size, unit in _STEPS:
        if left < size:
            return f"{left:.0f} {unit} ago" if unit != "days" or left >= 1.5 else "1 day ago"
        left /= size
    return "never"


def show(console: Console, status: FeedsStatus, now_s: float) -> None:
    """One row for each feed, and the live blockset below."""
    rows = [_row(name, feed, now_s) for name, feed in status.feeds.items()]
    if console.is_terminal:
        console.print(_table(_TITLES, rows))
    else:
        aligned(console, [_TITLES, *rows])
    live = f"blockset {status.generation}: {_names(status.entries)}, built in {status.build_s:.1f} s"
    console.print(Text(live if status.generation else "no blockset is live yet"), soft_wrap=True)
    for name in (name for name, feed in status.feeds.items() if feed.lost):
        lost = f"{name}: its files are lost: its names stay blocked from the blockset until the source answers again"
        console.print(Text(lost, "red"), soft_wrap=True)


def odd_lines(console: Console, status: FeedsStatus, *, examples: bool) -> None:
    """Notes on how lists were read as a whole, then the skipped lines by feed and reason."""
    for name, feed in status.feeds.items():
        for note in feed.notes:
            console.print(Text(f"{name}: {note}"), soft_wrap=True)
        if not feed.odd:
            continue
        reasons = ", ".join(f"{lines.count:,} {reason}" for reason, lines in feed.odd.items())
        console.print(Text(f"{name}: skipped lines: {reasons}"), soft_wrap=True)
        if examples:
            for reason, lines in feed.odd.items():
                for example in lines.examples:
                    console.print(Text(f"  {reason}  {example}", "dim"), soft_wrap=True)


def held(console: Console, status: FeedsStatus, *, every_name: bool) -> bool:
    """Held updates and names by feed, and switched-off feeds; False when there are none. A few names of each, or `every_name`."""
    lines: list[tuple[str, str]] = []
    for name, feed in status.feeds.items():
        if feed.expired:
            lines.append(
                (f"{name}: EXPIRED: no successful refresh within expire_after_s; its names are no longer blocked", "red")
            )
        if feed.disabled_until_s > time.time():
            lines.append((f"{name}: switched off until {_clock(feed.disabled_until_s)}: {feed.disabled_reason}", "red"))
        if feed.frozen:
            lines.append((f"{name}: every update is held: {feed.frozen}", ""))
        if (update := feed.held_update) is not None:
            days = int((time.time() - update.since_s) // 86400)
            old = f", FOR {days} DAYS" if days >= LONG_HELD_DAYS else ""
            lines.append((f"{name}: update held since {_clock(update.since_s)}{old}: {update.finding.reason}", "red"))
            if update.finding.examples:
                lines.append((f"  such as {', '.join(update.finding.examples)}", "dim"))
            lines.append((f"  {_end(update)}", "dim"))
            lines.append((f"  `pdns feeds release {name}` lets it go live, `pdns feeds drop {name}` discards it", "dim"))
        for what, count, names in (
            ("held", feed.held_names.held, feed.held_names.names),
            ("refused", feed.held_names.refused, feed.held_names.refused_names),
        ):
            if not count:
                continue
            lines.append((f"{name}: {_names(count)} {what}, the rest is in force", "red" if what == "held" else ""))
            shown = list(names.items())[: None if every_name else SHOWN_NAMES]
            kinds = feed.held_names.kinds
            lines += [(f"  {listed}  ({kinds.get(listed, what)}: {why})", "dim") for listed, why in shown]
            if what == "held":
                lines.append((f"  `pdns feeds release {name} --name NAME` or `--kind KIND`, or drop", "dim"))
    for line, style in lines:
        console.print(Text(line, style), soft_wrap=True)
    return bool(lines)


def _end(update: HeldUpdate) -> str:
    """When the hold ends, in words."""
    if not update.persist_s:
        return f"it does not go live by itself ({update.finding.kind})"
    return (
        f"it goes live by itself if the source still serves it after {update.persist_s / 3600:.0f} h and"
        f" {update.refreshes_wanted} refreshes; so far {update.persisted_s / 3600:.1f} h and {update.refreshes}"
    )


def changes(console: Console, before: FeedsStatus, after: FeedsStatus) -> None:
    """The change of each feed since `before`."""
    rows = []
    for name, feed in after.feeds.items():
        old = before.feeds.get(name)
        difference = feed.entries - (old.entries if old is not None else 0)
        names = _names(feed.entries) + (f" ({difference:+,})" if difference else "")
        rows.append((name, feed.last_result or "not tried", names, feed.last_error))
    aligned(console, rows)
    if after.generation != before.generation:
        console.print(Text(f"blockset {after.generation} is live: {_names(after.entries)}"), soft_wrap=True)
    else:
        console.print(Text(f"blockset {after.generation} stays live: nothing changed"), soft_wrap=True)


def _clock(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(min(at_s, LATEST_S)))


def _names(count: int) -> str:
    return f"{count:,} name{'' if count == 1 else 's'}"


def _row(name: str, feed: FeedStatus, now_s: float) -> tuple[str, ...]:
    entries = f"{feed.entries:,}" + (f" + {feed.addresses:,} addresses" if feed.addresses else "")
    loaded = "yes" if feed.loaded else "NO, required" if feed.required else "no"
    success = age(now_s - feed.last_success_s) if feed.last_success_s else "never"
    unique = f"{feed.unique_entries:,}"
    mode = "OFF" if feed.disabled_until_s > now_s else feed.mode
    return name, feed.category, mode, entries, unique, loaded, success, feed.last_result or "-", feed.last_error


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in titles:
        if title == "error":
            table.add_column(title, style="red", overflow="fold", ratio=1)
        else:
            table.add_column(title, justify="right" if title in _NUMBERS else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell, "red" if cell in ("error", "NO, required") else "") for cell in row))
    return table


def aligned(console: Console, rows: Sequence[Sequence[str]], *, indent: str = "") -> None:
    """Each row on a line of its own, however long, its cells under those of the rows above."""
    rows = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        console.print(Text(indent + line.rstrip()), soft_wrap=True)
