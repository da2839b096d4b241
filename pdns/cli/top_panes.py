"""The tables of `pdns top`: their columns, and rows from a status."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from pdns.telemetry.live_status import LiveStatus, LiveUpstream
from pdns.telemetry.live_text import NOTHING, ago, clock, cores, lasting, latency, percent, rate, size

GOOD: Final = "green"
BAD: Final = "bold red"
WARN: Final = "yellow"
STRONG: Final = "bold"


class TopColumn(NamedTuple):
    """A column of a table. `least`: how narrow it may become; 0: it is as wide as its cells."""

    title: str
    number: bool = True
    least: int = 0
    is_name: bool = False  # of its domain name, the end says most


class PaneRow(NamedTuple):
    """One row: its cells, the style of each, and the values that it is sorted by, in the order of the columns."""

    cells: tuple[str, ...]
    values: tuple[float | str, ...]
    styles: tuple[str, ...] = ()


class TopPane(NamedTuple):
    """One table. `optional`: the columns that go first where there is little room, the first of them first."""

    title: str
    columns: tuple[TopColumn, ...]
    rows: Callable[[LiveStatus], Iterable[PaneRow]]
    sort: int = 0
    optional: tuple[int, ...] = ()
    empty: str = "nothing"


def _text(title: str, least: int = 0) -> TopColumn:
    return TopColumn(title, False, least)


def _recent(status: LiveStatus) -> Iterable[PaneRow]:
    for block in status.recent:
        yield PaneRow(
            (clock(block.time_s), block.qname, block.tenant, block.client or NOTHING, block.feed, block.category, f"{block.n:,}"),
            (block.time_s, block.qname, block.tenant, block.client, block.feed, block.category, block.n),
            ("", STRONG if status.time_s - block.time_s < 2.5 else ""),
        )


def _feeds(status: LiveStatus) -> Iterable[PaneRow]:
    for feed in status.feeds:
        bad = BAD if feed.required and not feed.loaded else WARN if feed.problem else GOOD
        text = f"{feed.problem}: {feed.last_error}" if feed.problem and feed.last_error else feed.problem or feed.mode
        age_s = status.time_s - feed.last_success_s if feed.last_success_s else float("inf")
        yield PaneRow(
            (
                feed.name, feed.category, text, f"{feed.entries:,}", ago(feed.last_success_s, status.time_s), f"{feed.held:,}",
                rate(feed.hits_per_s), f"{feed.hits:,}",
            ),
            (feed.name, feed.category, text, feed.entries, age_s, feed.held, feed.hits_per_s, feed.hits),
            ("", "", bad, "", "", WARN if feed.held else ""),
        )  # fmt: skip


def _upstreams(status: LiveStatus) -> Iterable[PaneRow]:
    for one in status.upstreams:
        yield PaneRow(
            (
                one.name, state_of(one), rate(one.per_s), rate(one.errors_per_s), latency(one.p50_s), latency(one.p99_s),
                ", ".join(one.errors),
            ),
            (
                one.name, one.state, one.per_s, one.errors_per_s, _number(one.p50_s), _number(one.p99_s), ", ".join(one.errors),
            ),
            ("", GOOD if one.state == "up" else BAD, "", WARN if one.errors_per_s >= 0.1 else ""),
        )  # fmt: skip


def state_of(one: LiveUpstream) -> str:
    """The state in words."""
    return "bad answers" if one.state == "useless" else one.state


def _processes(status: LiveStatus) -> Iterable[PaneRow]:
    workers = {worker.name: worker for worker in status.workers}
    running = {process.name: process for process in status.processes}
    for name in dict.fromkeys([*workers, *running]):
        worker, process = workers.get(name), running.get(name)
        up = process is not None if worker is None else worker.up
        cpu = process.cpu if process is not None else None
        resident = process.resident_bytes if process is not None else 0
        up_s = status.time_s - process.started_s if process is not None else 0.0
        yield PaneRow(
            (
                name, "up" if up else "down", cores(cpu), size(resident), f"{worker.in_flight:,}" if worker else NOTHING,
                str(worker.generation) if worker else NOTHING, str(process.pid) if process else NOTHING, lasting(up_s),
            ),
            (
                name, "up" if up else "down", _number(cpu), resident, worker.in_flight if worker else 0,
                worker.generation if worker else 0, process.pid if process else 0, up_s,
            ),
            ("", GOOD if up else BAD),
        )  # fmt: skip


def _tenants(status: LiveStatus) -> Iterable[PaneRow]:
    for one in status.tenants:
        yield PaneRow(
            (
                one.name, rate(one.queries_per_s), rate(one.blocked_per_s), f"{one.queries:,}", f"{one.blocked:,}",
                percent(one.blocked / one.queries if one.queries else None), f"{one.domains_24h:,}",
            ),
            (
                one.name, one.queries_per_s, one.blocked_per_s, one.queries, one.blocked,
                one.blocked / one.queries if one.queries else 0.0, one.domains_24h,
            ),
        )  # fmt: skip


def _sinks(status: LiveStatus) -> Iterable[PaneRow]:
    for one in status.sinks:
        yield PaneRow(
            (one.name, "up" if one.up else "down", lasting(one.lag_s), f"{one.written:,}", f"{one.lost:,}", f"{one.errors:,}"),
            (one.name, "up" if one.up else "down", one.lag_s, one.written, one.lost, one.errors),
            ("", GOOD if one.up else BAD, "", "", BAD if one.lost else ""),
        )


def _number(value: float | None) -> float:
    return -1.0 if value is None else value


PANES: Final = (
    TopPane(
        "Blocked",
        (
            _text("time"), TopColumn("name", False, 30, is_name=True), _text("tenant"),
            _text("client"), _text("feed"), _text("category"),
            TopColumn("queries"),
        ),
        _recent, 0, (5, 3, 6, 4, 2), "nothing was blocked since the start of the server",
    ),
    TopPane(
        "Feeds",
        (
            _text("feed"), _text("category"), _text("state", 24),
            TopColumn("entries"), TopColumn("updated"), TopColumn("held"), TopColumn("hits/s"), TopColumn("hits"),
        ),
        _feeds, 7, (1, 5, 6, 7, 3), "no feeds are configured: nothing is blocked",
    ),
    TopPane(
        "Upstreams",
        (
            _text("upstream", 16), _text("state"), TopColumn("asked/s"),
            TopColumn("errors/s"), TopColumn("p50"), TopColumn("p99"), _text("errors"),
        ),
        _upstreams, 2, (6, 4, 5, 3), "no upstreams",
    ),
    TopPane(
        "Workers",
        (
            _text("process", 8), _text("state"), TopColumn("CPU"),
            TopColumn("memory"), TopColumn("in flight"), TopColumn("blockset"), TopColumn("PID"), TopColumn("up for"),
        ),
        _processes, 0, (6, 7, 5, 3), "no processes",
    ),
    TopPane(
        "Tenants",
        (
            _text("tenant", 10), TopColumn("queries/s"), TopColumn("blocked/s"), TopColumn("queries"),
            TopColumn("blocked"), TopColumn("share"), TopColumn("names 24 h"),
        ),
        _tenants, 1, (6, 3, 5, 4), "no tenants",
    ),
    TopPane(
        "Sinks",
        (
            _text("sink", 8), _text("state"), TopColumn("behind"), TopColumn("written"), TopColumn("lost"), TopColumn("errors"),
        ),
        _sinks, 0, (5, 3), "events go to no sink",
    ),
)  # fmt: skip
