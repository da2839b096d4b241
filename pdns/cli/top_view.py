"""What `pdns top` draws: from a status and the state of the view to lines that fit the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from pdns.cli.top_panes import BAD, GOOD, PANES, STRONG, WARN, PaneRow, TopPane, state_of
from pdns.free_text import visible
from pdns.telemetry.live_status import LiveStatus
from pdns.telemetry.live_text import NOTHING, clock, lasting, latency, percent, rate

BARS: Final = "▁▂▃▄▅▆▇█"
ASCII_BARS: Final = "._-=+*%#"
_LABEL: Final = 10
_MOST_LABEL: Final = 12
_SOFT: Final = "dim"


class TopState(NamedTuple):
    """What the keys have chosen. `sort`: column and direction for each pane, once chosen."""

    pane: int = 0
    sort: tuple[tuple[int, bool] | None, ...] = (None,) * 6
    filter: str = ""
    typing: bool = False  # the filter is being typed
    paused: bool = False
    help: bool = False
    top: int = 0  # the first row that is shown
    lost_s: float = 0.0
    problem: str = ""


class TopLook(NamedTuple):
    """The terminal."""

    width: int
    height: int
    unicode: bool = True
    plain: bool = False  # lines for a pipe

    @property
    def marks(self) -> tuple[str, str]:
        """What stands behind the title of the column that rows are sorted by: ascending, descending."""
        return ("", "") if self.plain else ("▲", "▼") if self.unicode else ("^", "v")


_KEYS: Final = (
    ("1 to 6, tab", "choose a table"),
    ("s, S", "sort by the next column; turn the order round"),
    ("/", "show only rows with a text; Esc shows all again"),
    ("arrows, PgUp, PgDn, Home, End", "move through the rows"),
    ("p, space", "pause, continue"),
    ("?, h", "this help"),
    ("q", "quit"),
)


def chosen_sort(state: TopState) -> tuple[int, bool]:
    """The column that the present table is sorted by, and whether the largest come first."""
    return state.sort[state.pane] or (PANES[state.pane].sort, _descends(state.pane, PANES[state.pane].sort))


def _descends(pane: int, column: int) -> bool:
    return PANES[pane].columns[column].number or PANES[pane].columns[column].title == "time"


def next_sort(state: TopState) -> TopState:
    """Sorted by the next column."""
    column = (chosen_sort(state)[0] + 1) % len(PANES[state.pane].columns)
    return _with_sort(state, (column, _descends(state.pane, column)))


def turned_sort(state: TopState) -> TopState:
    """The other way round."""
    column, descends = chosen_sort(state)
    return _with_sort(state, (column, not descends))


def _with_sort(state: TopState, chosen: tuple[int, bool]) -> TopState:
    return state._replace(top=0, sort=(*state.sort[: state.pane], chosen, *state.sort[state.pane + 1 :]))


def shown_rows(status: LiveStatus, state: TopState) -> list[PaneRow]:
    """The rows of the chosen table: those with the text of the filter, sorted."""
    pane = PANES[state.pane]
    column, descends = chosen_sort(state)
    wanted = state.filter.casefold()
    rows = [row for row in pane.rows(status) if any(wanted in cell.casefold() for cell in row.cells)]
    return sorted(rows, key=lambda row: _sortable(row.values[column]), reverse=descends)


def _sortable(value: float | str) -> tuple[float, str]:
    return (0.0, value.casefold()) if isinstance(value, str) else (value, "")


def screen(status: LiveStatus, state: TopState, look: TopLook) -> list[Text]:
    """Exactly `look.height` lines, none wider than the terminal."""
    if state.help:
        lines = [Text.assemble((f"  {keys:<31}", STRONG), meaning) for keys, meaning in _KEYS][: max(0, look.height - 1)]
    else:
        head = [*header(status, state, look), _tabs(status, state)]
        room = max(0, look.height - len(head) - 1)
        body = table(PANES[state.pane], shown_rows(status, state), state, look, room, names_shown=status.names_shown)
        lines = [*head, *body[:room]]
    lines += [Text()] * (look.height - 1 - len(lines))
    return [fitted(line, look.width) for line in [*lines[: max(0, look.height - 1)], _footer(state)][: look.height]]


def header(status: LiveStatus, state: TopState, look: TopLook) -> list[Text]:
    """Rates, latency and totals; up to two lines on what is wrong."""
    second, minute, totals = status.second, status.minute, status.totals
    up_s = status.time_s - totals.since_s
    said = "NOT READY" if status.not_ready else "ready"
    first = Text.assemble(
        ("pdns ", STRONG), visible(status.node), "  ", (said, BAD if status.not_ready else GOOD), f"  up {lasting(up_s)}  ",
        f"blockset {status.generation}: {status.entries:,} names" if status.generation else ("no blockset", WARN),
        f"  {clock(status.time_s)}",
    )  # fmt: skip
    if state.paused:
        first.append("  PAUSED", WARN)
    share = percent(totals.blocked / totals.queries if totals.queries else None)
    lines = [
        first,
        _line("queries", f"{rate(second.queries):>9}/s ", [point.queries for point in status.history], "cyan", look),
        _line("blocked", f"{rate(second.blocked):>9}/s ", [point.blocked for point in status.history], "red", look),
        _labelled(
            "answers",
            f"p50 {latency(status.p50_s)}  p99 {latency(status.p99_s)}  cache {percent(status.cache.hit_share)}"
            f"  SERVFAIL {rate(minute.servfail)}/s  dropped {rate(minute.dropped)}/s",
        ),
        _labelled(
            "total",
            f"{totals.queries:,} queries  {totals.blocked:,} blocked ({share})  {totals.domains_24h:,} listed names in 24 h"
            f", {totals.domains_7d:,} in 7 d",
        ),
    ]
    problems = [(line, BAD) for line in status.not_ready] + [(line, WARN) for line in (*status.remarks, *_alarms(status))]
    if state.lost_s:
        problems.insert(0, (f"connection lost since {clock(state.lost_s)}: {state.problem}", BAD))
    lines += [Text(visible(line), style) for line, style in problems[:2]]
    if len(problems) > 2:
        lines[-1].append(f" (and {len(problems) - 2} more)")
    return lines


def _alarms(status: LiveStatus) -> Iterable[str]:
    for upstream in status.upstreams:
        if upstream.state != "up":
            yield f"upstream {upstream.name}: {state_of(upstream)}"
    for sink in status.sinks:
        if not sink.up or sink.lost:
            yield f"sink {sink.name}: {'up' if sink.up else 'down'}, {lasting(sink.lag_s)} behind, {sink.lost:,} records lost"


def table(
    pane: TopPane, rows: Sequence[PaneRow], state: TopState, look: TopLook, room: int, *, names_shown: bool = True
) -> list[Text]:
    """Titles and as many rows as fit."""
    shown = rows[state.top : state.top + max(0, room - 1)]
    kept, widths = _widths(pane, shown, look.width)
    column, descends = chosen_sort(state)
    mark = look.marks[descends]
    titles = [f"{one.title}{mark}" if at == column else one.title for at, one in enumerate(pane.columns)]
    lines = [_row(pane, titles, ["bold"] * len(titles), kept, widths)]
    lines += [_row(pane, row.cells, row.styles, kept, widths) for row in shown]
    if not rows:
        private = not names_shown and pane.title in ("Blocked", "Tenants")
        why = "the server does not show names here: see metrics.status_page" if private else pane.empty
        lines.append(Text(f"  {'no row has this text' if state.filter else why}", _SOFT))
    return lines


def plain(status: LiveStatus, unicode: bool = True) -> list[Text]:
    """Everything, one table below the other, for a pipe: no line is shortened."""
    look = TopLook(100, 10_000, unicode, plain=True)
    lines = header(status, TopState(), look)
    for at, pane in enumerate(PANES):
        state = TopState(pane=at)
        rows = shown_rows(status, state)
        wide = look._replace(width=10_000)
        lines += [Text(), Text(pane.title), *table(pane, rows, state, wide, len(rows) + 1, names_shown=status.names_shown)]
    for line in lines:
        line.rstrip()
    return lines


def fitted(line: Text, width: int) -> Text:
    """The line in at most `width` cells."""
    if cell_len(line.plain) > width:
        line = line.copy()
        line.truncate(width, overflow="ellipsis" if width > 1 else "crop")
    return line


def shortened(text: str, width: int, *, keep_end: bool = False) -> str:
    """The text in `width` cells, with `~` where it was longer."""
    if not keep_end:
        return set_cell_size(text, max(0, width - 1)) + "~"
    while text and cell_len(text) > width - 1:
        text = text[1:]
    return "~" + text


def bars(values: Sequence[float], width: int, *, unicode: bool = True) -> str:
    """A bar for each of the last `width` values; the highest is the tallest."""
    kept = values[-width:] if width > 0 else []
    signs = BARS if unicode else ASCII_BARS
    most = max(kept, default=0.0)
    if most <= 0:
        return signs[0] * len(kept)
    return "".join(signs[min(len(signs) - 1, int(max(0.0, value) / most * len(signs)))] for value in kept)


def _line(label: str, number: str, values: Sequence[float], style: str, look: TopLook) -> Text:
    text = _labelled(label, number)
    room = max(0, look.width - cell_len(text.plain) - _MOST_LABEL)
    shown = values[-room:] if room else []
    text.append(bars(shown, room, unicode=look.unicode).rjust(room), style)
    return text.append(f" max {rate(max(shown, default=0.0))}", _SOFT)


def _labelled(label: str, text: str) -> Text:
    return Text.assemble((f"{label:<{_LABEL}}", _SOFT), text)


def _tabs(status: LiveStatus, state: TopState) -> Text:
    line = Text()
    for at, pane in enumerate(PANES):
        line.append(f" {at + 1} {pane.title} ", "reverse bold" if at == state.pane else "")
    rows = len(shown_rows(status, state))
    line.append(f"  {state.top + 1 if rows else 0} of {rows}", _SOFT)
    return line


def _footer(state: TopState) -> Text:
    if state.typing:
        return Text.assemble(("/", STRONG), visible(state.filter), ("_", "blink"))
    line = Text.assemble((f"with {visible(state.filter)} (Esc: all)  ", WARN)) if state.filter else Text()
    return line.append("q quit  ? help  1-6 table  s sort  / filter  p pause", _SOFT)


def _widths(pane: TopPane, rows: Sequence[PaneRow], width: int) -> tuple[list[int], list[int]]:
    """The columns that have room, and how wide each is."""
    wanted = [
        max([cell_len(column.title) + 1, *(cell_len(row.cells[at]) for row in rows)]) for at, column in enumerate(pane.columns)
    ]
    kept = list(range(len(pane.columns)))
    if rows:
        kept = [at for at in kept if at not in pane.optional or any(row.cells[at] not in ("", NOTHING) for row in rows)]
    for at in (*(at for at in pane.optional if at in kept), None):
        least = sum(min(pane.columns[one].least or wanted[one], wanted[one]) for one in kept) + 2 * (len(kept) - 1)
        if least <= width or at is None:
            break
        kept.remove(at)
    spare = width - sum(wanted[one] for one in kept) - 2 * (len(kept) - 1)
    widths = list(wanted)
    for at in kept:
        if pane.columns[at].least and spare < 0:
            widths[at] = max(min(pane.columns[at].least, wanted[at]), wanted[at] + spare)
    return kept, widths


def _row(pane: TopPane, cells: Sequence[str], styles: Sequence[str], kept: Sequence[int], widths: Sequence[int]) -> Text:
    line = Text()
    for at in kept:
        text = visible(cells[at])
        style = styles[at] if at < len(styles) else ""
        if cell_len(text) > widths[at]:
            text = shortened(text, widths[at], keep_end=pane.columns[at].is_name)
        gap = " " * max(0, widths[at] - cell_len(text))
        line.append(gap + text if pane.columns[at].number else text + gap, style)
        if at != kept[-1]:
            line.append("  ")
    return line
