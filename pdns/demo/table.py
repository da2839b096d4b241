"""The demo's live table, and the one line that stands for it where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from pdns.demo.scrape import Scrape, of_buckets
from pdns.telemetry.stats import BUCKETS_S

_WIDE_COLUMNS = 80
_FROM_CACHE = ("cache", "stale")


class Clients(NamedTuple):
    """What only the clients know. Times in seconds."""

    sent: int
    answered: int
    p50_s: float
    p99_s: float


def quantile(waits_s: list[float], q: float) -> float:
    """The `q`-quantile of `waits_s`, read off the buckets of the resolver's histogram, so that the two can be compared.

    0.0 when there is none.
    """
    at_most = ((bound, float(sum(wait_s <= bound for wait_s in waits_s))) for bound in (*BUCKETS_S, float("inf")))
    return of_buckets(list(at_most), q)


def cache_hit_rate(reading: Scrape) -> float:
    """The share of forwardable answers that needed no upstream: 0 to 1."""
    sources = reading.by("responses_total", "source")
    cached = sum(sources.get(source, 0) for source in _FROM_CACHE)
    asked = cached + sources.get("upstream", 0)
    return cached / asked if asked else 0.0


def duration(seconds: float) -> str:
    """`seconds` with three figures and a fitting unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return "-" if seconds == 0 else f"{seconds * 1e6:.2g} µs"


def line(elapsed_s: float, reading: Scrape, clients: Clients, now: str) -> str:
    """The state of things in one line."""
    return (
        f"{elapsed_s:5.1f} s  queries {reading.total('queries_total'):,.0f}  blocked {reading.total('blocked_total'):,.0f}"
        f"  names {reading.total('blocked_domains_overall', window='1h'):,.0f}  cache {cache_hit_rate(reading):.0%}"
        f"  p50 {duration(clients.p50_s)}  p99 {duration(clients.p99_s)}  upstream {_upstream(reading)}  | {now}"
    )


class Frame:
    """The whole table: side by side where the terminal has 80 columns and the lines for it, else one below the other."""

    def __init__(self, elapsed_s: float, seconds: float, reading: Scrape, clients: Clients, now: str) -> None:
        self._elapsed_s = min(elapsed_s, seconds)
        self._seconds = seconds
        self._reading = reading
        self._clients = clients
        self._now = now

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = self._wide()
        fits = len(console.render_lines(wide, options.update(height=None), pad=False)) < console.height
        yield wide if fits and options.max_width >= _WIDE_COLUMNS else self._narrow()

    def _wide(self) -> RenderableType:
        reading = self._reading
        side_by_side = Table.grid(padding=(0, 2))
        side_by_side.add_row(_feeds(reading), _sources(reading))
        side_by_side.add_row(_tenants(reading), _latency(reading, self._clients))
        return Group(self._head(), "", side_by_side, "", Text(self._now, style="italic"))

    def _narrow(self) -> RenderableType:
        reading = self._reading
        tables = (_feeds(reading), _sources(reading), _tenants(reading), _latency(reading, self._clients))
        for table in tables:
            table.title, table.box, table.header_style = None, None, "bold"
        return Group(self._head(), *tables, Text(self._now, style="italic"))

    def _head(self) -> Text:
        reading = self._reading
        return Text.assemble(
            ("pdns demo", "bold"),
            f"  {self._elapsed_s:.0f} of {self._seconds:.0f} s  ",
            (f"{reading.total('queries_total'):,.0f}", "bold cyan"),
            " queries  ",
            (f"{reading.total('blocked_total'):,.0f}", "bold red"),
            " blocked  ",
            (f"{reading.total('blocked_domains_overall', window='1h'):,.0f}", "bold red"),
            " names",
        )


def _table(title: str, columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _feeds(reading: Scrape) -> Table:
    blocked = reading.by("blocked_total", "feed")
    only_here = reading.by("feed_unique_entries", "feed")
    errors = reading.by("feed_refresh_total", "feed", result="error")
    rows = [
        (feed, f"{entries:,.0f}", f"{only_here.get(feed, 0):,.0f}", f"{blocked.get(feed, 0):,.0f}", f"{errors.get(feed, 0):,.0f}")
        for feed, entries in sorted(reading.by("feed_entries", "feed").items())
    ]
    return _table("Feeds", ("feed", "names", "only here", "blocked", "errors"), rows)


def _tenants(reading: Scrape) -> Table:
    blocked = reading.by("blocked_total", "tenant")
    names = reading.by("blocked_domains", "tenant", window="1h")
    rows = [
        (tenant, f"{queries:,.0f}", f"{blocked.get(tenant, 0):,.0f}", f"{names.get(tenant, 0):,.0f}")
        for tenant, queries in sorted(reading.by("queries_total", "tenant").items())
        if queries
    ]
    return _table("Tenants", ("tenant", "queries", "blocked", "names"), rows)


def _sources(reading: Scrape) -> Table:
    sources = reading.by("responses_total", "source")
    total = sum(sources.values()) or 1.0
    rows = [
        (source, f"{count:,.0f}", f"{count / total:.1%}")
        for source, count in sorted(sources.items(), key=lambda item: -item[1])
        if count
    ]
    return _table(f"Answers (cache hits {cache_hit_rate(reading):.0%})", ("from", "answers", "share"), rows)


def _latency(reading: Scrape, clients: Clients) -> Table:
    inside = [duration(reading.quantile("query_duration_seconds", q)) for q in (0.5, 0.99)]
    rows = [("resolver", *inside), ("client", duration(clients.p50_s), duration(clients.p99_s))]
    return _table(f"Latency (upstream {_upstream(reading)})", ("seen by", "p50", "p99"), rows)


def _upstream(reading: Scrape) -> str:
    states = reading.by("upstream_up", "upstream").values()
    return "up" if all(states) else "DOWN"
