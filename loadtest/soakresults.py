"""What one soak found, as it is written to `results/`, and how it is printed. Times in the units of their names."""

from __future__ import annotations

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadtest import week
from loadtest.accounting import Account, Death, Window
from loadtest.footprint import Verdict

WIDTH = 124  # of the tables; a narrower window wraps lines, which loses nothing
_WORST_HOURS = 8


class Hour(msgspec.Struct, frozen=True, kw_only=True):
    """One hour of the week, as the generator saw it."""

    hour: int
    start_s: float
    length_s: float
    rate: float
    sent: int
    received: int
    over_1s: int  # of `received`
    over_5s: int
    p99_ms: float
    worst_ms: float
    servfail: int
    faults: list[str]
    to_blame: list[str]  # the faults that a query of this hour may have been lost to


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """One soak."""

    when: str  # UTC, ISO 8601
    run_s: float
    rate_scale: float
    seed: int
    version: str
    machine: str
    hours: list[Hour]
    account: Account
    within_1s: float  # share of all queries, those of the witness included
    within_5s: float
    servfail: int
    blocked_seen: int  # blocked answers to the witness
    witness_sent: int
    tcp_sent: int
    tcp_unanswered: int
    wrong: list[str]
    windows: list[Window]
    deaths: list[Death]
    effects_s: list[float]
    failures: list[str]
    footprint: dict[str, list[tuple[float, int, int, int, int]]]  # `Footprint.series`
    verdicts: list[Verdict]
    notes: list[str]

    @property
    def failed(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if verdict.ok is False]


def show(results: Results, console: Console) -> None:
    """Prints everything."""
    sent = sum(hour.sent for hour in results.hours)
    console.print(
        f"\na week in {results.run_s / 60:.1f} min: pdns {results.version}, {results.machine};"
        f" {results.rate_scale:g} of the service's rates, seed {results.seed}\n"
        f"{sent:,} queries of the week and {results.witness_sent:,} of the witness, {results.tcp_sent:,} of them over TCP;"
        f" {len(results.windows)} faults, {len(results.deaths)} workers killed\n",
        highlight=False,
    )
    console.print(_account_table(results))
    console.print("worst latency of each hour of the week, in ms (s: in seconds; a star: not all were answered)", style="dim")
    for line in _grid(results.hours):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(_hours_table(results.hours))
    console.print(_verdict_table(results.verdicts))
    for finding in [*results.failures, *results.wrong]:
        console.print(f"finding: {finding}", style="red", highlight=False, markup=False)
    for note in results.notes:
        console.print(f"note: {note}", style="yellow", highlight=False, markup=False)
    failed = results.failed
    summary = f"{len(failed)} of {len(results.verdicts)} checks failed" if failed else f"all {len(results.verdicts)} checks hold"
    console.print(f"\n{summary}", style="bold red" if failed else "bold green", highlight=False)


def _account_table(results: Results) -> Table:
    account = results.account
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("queries", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_row("sent", f"{account.sent:,}")
    table.add_row("answered", f"{account.received:,}")
    table.add_row("  within 1 s", f"{results.within_1s:.4%}")
    table.add_row("  within 5 s", f"{results.within_5s:.4%}")
    table.add_row("  with SERVFAIL", f"{results.servfail:,}")
    for name, count in account.lost.items():
        table.add_row(f"lost: {name}", f"{count:,}")
    for name, count in account.unaccounted.items():
        table.add_row(Text(f"unaccounted: {name}", style="bold red"), f"{count:,}")
    return table


def _grid(hours: list[Hour]) -> list[str]:
    """A line for each day, a column for each hour."""
    cells = {hour.hour: _short(hour.worst_ms, lost=hour.received < hour.sent) for hour in hours}
    head = "   " + "".join(f"{hour:>5}" for hour in range(24))
    days = range(0, week.HOURS, 24)
    return [head, *(week.hour_name(day)[:3] + "".join(f"{cells.get(day + hour, '-'):>5}" for hour in range(24)) for day in days)]


def _short(ms: float, *, lost: bool) -> str:
    """At most four characters."""
    star = "*" if lost else ""
    if ms >= 1000:
        return f"{ms / 1000:.1f}s" if ms < 9_950 and not lost else f"{ms / 1000:.0f}s{star}"
    return f"{ms:.1f}{star}" if ms < 9.95 else f"{ms:.0f}{star}"


def _hours_table(hours: list[Hour]) -> Table:
    """The hours that lost most, then those with the worst latency."""
    table = Table(box=box.SIMPLE_HEAD, title="the worst hours of the week", title_justify="left")
    for head in ("hour", "at s", "queries/s", "lost", "p99 ms", "worst ms", "SERVFAIL"):
        table.add_column(head, justify="left" if head == "hour" else "right", no_wrap=True)
    table.add_column("faults", overflow="fold")
    for hour in sorted(hours, key=lambda each: (each.received - each.sent, -each.worst_ms))[:_WORST_HOURS]:
        table.add_row(
            week.hour_name(hour.hour),
            f"{hour.start_s:.0f}",
            f"{hour.rate:,.0f}",
            f"{hour.sent - hour.received:,}",
            f"{hour.p99_ms:,.1f}",
            f"{hour.worst_ms:,.1f}",
            f"{hour.servfail:,}",
            ", ".join(dict.fromkeys([*hour.faults, *hour.to_blame])),
        )
    return table


def _verdict_table(verdicts: list[Verdict]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for head in ("check", "limit", "", "measured"):
        table.add_column(head, overflow="fold")
    words = {
        True: Text("holds", style="green"),
        False: Text("failed", style="bold red"),
        None: Text("not measured", style="yellow"),
    }
    for verdict in verdicts:
        table.add_row(verdict.what, verdict.limit, words[verdict.ok], verdict.measured)
    return table
