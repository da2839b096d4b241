"""The tables of the status page. Every text goes through `escape`; there is no other way to put one into a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape as _escape
from typing import Final, NamedTuple

from pdns.free_text import visible
from pdns.telemetry.live_status import LiveFeed, LiveStatus, LiveUpstream
from pdns.telemetry.live_text import NOTHING, ago, clock, cores, lasting, latency, percent, rate, size

MOST_ROWS: Final = 20
_NEW_S: Final = 2.5
_MAX_SHOWN: Final = 300
_LEAST_COLUMNS: Final = 3  # that every screen shows of a table; a wider cell would widen it
_MOST_OF_NAME: Final = 40


class _Column(NamedTuple):
    title: str
    kind: str = ""  # CSS classes: "n": a number; "w": left out on a phone; "x": left out on a wall screen


class PageTable(NamedTuple):
    """A table; `part` is the id of its body."""

    part: str
    title: str
    columns: tuple[_Column, ...]


_N, _W, _NW = "n", "w", "n w"
TABLES: Final = (
    PageTable("recent", "Blocked queries as they happen", (
        _Column("Time"), _Column("Name", "long"), _Column("Listed", "w x"), _Column("Tenant"), _Column("Client", _W),
        _Column("Feed", _W), _Column("Category", "w x"), _Column("Action", _W), _Column("Queries", _NW),
    )),
    PageTable("answers", "Answers, last minute", (
        _Column("Source"), _Column("Per second", _N), _Column("Share", _NW), _Column("p50", _N), _Column("p99", _N),
    )),
    PageTable("upstreams", "Upstreams, last minute", (
        _Column("Upstream"), _Column("State"), _Column("Asked/s", _N), _Column("Errors/s", _N), _Column("p50", "n w x"),
        _Column("p99", _NW),
    )),
    PageTable("feeds", "Feeds", (
        _Column("Feed"), _Column("State"), _Column("Entries", _N), _Column("Updated", _N), _Column("Hits/s", "n w x"),
        _Column("Hits", _NW),
    )),
    PageTable("tenants", "Tenants", (
        _Column("Tenant"), _Column("Queries/s", _N), _Column("Blocked/s", _N), _Column("Blocked", _NW),
        _Column("Names, 24 h", "n w x"),
    )),
    PageTable("sinks", "Sinks of events", (
        _Column("Sink"), _Column("State"), _Column("Behind", _N), _Column("Written", _NW), _Column("Lost", _N),
        _Column("Errors", "n w x"),
    )),
    PageTable("processes", "Processes", (
        _Column("Process"), _Column("State"), _Column("In flight", "n w x"), _Column("CPU", _N), _Column("Memory", _N),
        _Column("Up for", _N),
    )),
)  # fmt: skip


class _Cell(NamedTuple):
    text: str
    kind: str = ""
    title: str = ""


_Row = Sequence[_Cell | str]  # its first cell is its heading


def escape(text: str) -> str:
    """`text` for HTML, in elements and in quoted attributes, without characters that hide or turn others."""
    return _escape(visible(text, _MAX_SHOWN), quote=True)


def table_of(table: PageTable, rows: str) -> str:
    """A card with the table around its rows."""
    head = "".join(f'<th scope="col"{_class(column.kind)}>{column.title}</th>' for column in table.columns)
    title = f"{table.part}-title"
    return (
        f'<section class="card" aria-labelledby="{title}"><h2 id="{title}">{table.title}</h2>'
        f'<div class="scroll" role="group" tabindex="0" aria-labelledby="{title}"><table class="{table.part}">'
        f'<thead><tr>{head}</tr></thead><tbody id="{table.part}">{rows}</tbody></table></div></section>'
    )


def all_rows(status: LiveStatus) -> dict[str, str]:
    """The rows of each table that the viewer may see."""
    found = {
        "answers": _rows("answers", _answers(status), "no answers yet"),
        "upstreams": _rows("upstreams", map(_upstream, status.upstreams), "no upstreams"),
        "feeds": _rows("feeds", _feeds(status), "no feeds: nothing is blocked"),
        "sinks": _rows("sinks", _sinks(status), ""),
        "processes": _rows("processes", _processes(status), "no processes", most=2 * MOST_ROWS),
    }
    if status.names_shown:
        found["recent"] = _rows("recent", _recent(status), "nothing was blocked since the start of the server")
        found["tenants"] = _rows("tenants", _tenants(status), "no tenants")
    return found


def _rows(part: str, rows: Iterable[_Row], empty: str, most: int = MOST_ROWS) -> str:
    columns = next(table.columns for table in TABLES if table.part == part)
    found = list(rows)
    if not found:
        return f'<tr><td colspan="{_LEAST_COLUMNS}" class="{"empty" if empty else "none"}">{empty}</td></tr>'
    shown = "".join(f"<tr>{''.join(map(_cell, row, columns, range(len(row))))}</tr>" for row in found[:most])
    if len(found) > most:
        shown += f'<tr><td colspan="{_LEAST_COLUMNS}" class="empty">and {len(found) - most:,} more</td></tr>'
    return shown


def _cell(cell: _Cell | str, column: _Column, at: int) -> str:
    one = cell if isinstance(cell, _Cell) else _Cell(cell)
    title = f' title="{escape(one.title)}"' if one.title else ""
    tag, scope = ("td", "") if at else ("th", ' scope="row"')
    return f"<{tag}{scope}{_class(f'{column.kind} {one.kind}'.strip())}{title}>{escape(one.text)}</{tag}>"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _up(up: bool) -> _Cell:
    return _Cell("up", "good") if up else _Cell("down", "bad")


def _recent(status: LiveStatus) -> Iterator[_Row]:
    for block in status.recent:
        yield (
            _Cell(clock(block.time_s), "new" if status.time_s - block.time_s < _NEW_S else ""),
            _Cell(_shortened(block.qname), "name", f"{block.qname}, listed as {block.listed}, category {block.category}"),
            _Cell(_shortened(block.listed), "name"),
            block.tenant,
            block.client or NOTHING,
            block.feed,
            block.category,
            block.action,
            f"{block.n:,}",
        )


def _shortened(name: str) -> str:
    """Of a domain name, the end says most."""
    return name if len(name) <= _MOST_OF_NAME else f"…{name[-_MOST_OF_NAME:]}"


def _answers(status: LiveStatus) -> Iterator[_Row]:
    for one in status.answers:
        bad = one.source == "error" and one.per_s
        shown = rate(one.per_s), percent(one.share), latency(one.p50_s), latency(one.p99_s)
        yield one.source, _Cell(shown[0], "bad" if bad else ""), *shown[1:]


def _upstream(one: LiveUpstream) -> _Row:
    state = _up(one.state == "up") if one.state != "useless" else _Cell("bad answers", "warn")
    why = ", ".join(f"{result} {rate(per_s)}/s" for result, per_s in one.errors.items())
    errors = _Cell(rate(one.errors_per_s), "warn" if one.errors_per_s >= 0.1 else "", why)
    return _Cell(one.name, "name", one.name), state, rate(one.per_s), errors, latency(one.p50_s), latency(one.p99_s)


def _feeds(status: LiveStatus) -> Iterator[_Row]:
    """Those with a problem first, then those with the most hits."""
    for feed in sorted(status.feeds, key=lambda feed: (not feed.problem, -feed.hits)):
        age = ago(feed.last_success_s, status.time_s)
        yield feed.name, _feed_state(feed), f"{feed.entries:,}", age, rate(feed.hits_per_s), f"{feed.hits:,}"


def _feed_state(feed: LiveFeed) -> _Cell:
    if feed.problem:
        return _Cell(feed.problem, "bad" if feed.required and not feed.loaded else "warn", feed.last_error)
    return _Cell(feed.mode, "good")


def _tenants(status: LiveStatus) -> Iterator[_Row]:
    for one in sorted(status.tenants, key=lambda tenant: (-tenant.queries_per_s, -tenant.queries, tenant.name)):
        yield one.name, rate(one.queries_per_s), rate(one.blocked_per_s), f"{one.blocked:,}", f"{one.domains_24h:,}"


def _sinks(status: LiveStatus) -> Iterator[_Row]:
    for one in status.sinks:
        lost = _Cell(f"{one.lost:,}", "bad" if one.lost else "")
        yield one.name, _up(one.up), lasting(one.lag_s), f"{one.written:,}", lost, f"{one.errors:,}"


def _processes(status: LiveStatus) -> Iterator[_Row]:
    workers = {worker.name: worker for worker in status.workers}
    running = {process.name: process for process in status.processes}
    newest = max((worker.generation for worker in status.workers), default=0)
    for name in dict.fromkeys([*workers, *running]):
        worker, process = workers.get(name), running.get(name)
        state = _up(process is not None if worker is None else worker.up)
        if worker is not None and worker.up and worker.generation != newest:
            state = _Cell(f"up, blockset {worker.generation}", "warn")
        used = (NOTHING, NOTHING, NOTHING)
        if process is not None:
            used = cores(process.cpu), size(process.resident_bytes), lasting(status.time_s - process.started_s)
        yield name, state, f"{worker.in_flight:,}" if worker is not None else NOTHING, *used
