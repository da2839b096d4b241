"""Sums over the counter memories of all workers, cheap enough to be made every second."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from pdns.telemetry.counters import ABSENT, Counters
from pdns.telemetry.stats import BOUNDS, BUCKET_SUFFIX, BUCKETS_S

Column = tuple[str, ...]
GAUGES: Final = frozenset(("upstream_up", "upstream_useful"))
_TENANT: Final = {"queries_total": "queries", "blocked_total": "blocked"}
_WHOLE: Final = {"would_block_total": "monitored", "dropped_total": "dropped", "cache_evictions_total": "evictions"}
_LABELLED: Final = {
    "feed_hits_total": "hits",
    "upstream_requests_total": "upstream",
    "query_duration_seconds" + BUCKET_SUFFIX: "duration",
    "upstream_duration_seconds" + BUCKET_SUFFIX: "upstream duration",
}


def columns_of(name: tuple[str, ...]) -> tuple[Column, ...]:
    """The sums that a series is part of; `name` is its family and its labels.

    ("queries", tenant), ("blocked", tenant), ("monitored",), ("dropped",), ("evictions",), ("answers", source), ("rcode", rcode),
    ("duration", source, bound), ("hits", feed), ("upstream", upstream, result), ("upstream duration", upstream, bound).
    """
    family, labels = name[0], name[1:]
    if family in _TENANT and labels:
        return ((_TENANT[family], labels[0]),)
    if family in _WHOLE:
        return ((_WHOLE[family],),)
    if family in _LABELLED:
        return ((_LABELLED[family], *labels),)
    if family == "responses_total" and len(labels) == 3:
        return ("answers", labels[1]), ("rcode", labels[2])
    return ()


class _Plan:
    """Which slots of one memory belong to which column."""

    def __init__(self, memory: Counters) -> None:
        self.memory = memory
        self.named = 0
        self.pairs: list[tuple[int, int]] = []
        self.gauges: list[tuple[int, str, str]] = []  # slot, family, label


class LiveSums:
    """A table with a row for each sample. Columns are only ever added, so rows can be subtracted from each other."""

    def __init__(self) -> None:
        self.columns: dict[Column, int] = {}
        self._plans: dict[int, _Plan] = {}

    def row(self, memories: Iterable[Counters]) -> array[int]:
        """The sums at the moment."""
        plans = [self._plan(memory) for memory in memories]
        self._plans = {id(plan.memory): plan for plan in plans}
        sums = [0] * len(self.columns)
        for plan in plans:
            values = plan.memory.values[: plan.named].tolist()
            for slot, column in plan.pairs:
                sums[column] += values[slot]
        return array("Q", sums)

    def least(self, memories: Iterable[Counters], family: str) -> dict[str, int]:
        """The values of one of `GAUGES` by label, the least of all memories; without those that have no value."""
        found: dict[str, int] = {}
        for plan in map(self._plan, memories):
            for slot, name, label in plan.gauges:
                value = plan.memory.values[slot]
                if name == family and value != ABSENT:
                    found[label] = min(value, found.get(label, value))
        return found

    def table(self, row: Sequence[int]) -> dict[Column, int]:
        """A row, or a difference of two, by column."""
        return dict(zip(self.columns, row, strict=False))

    def _plan(self, memory: Counters) -> _Plan:
        """Extended by the series that the memory has since the last call."""
        plan = self._plans.get(id(memory))
        if plan is None or plan.memory is not memory:
            plan = _Plan(memory)
        while name := memory.name(plan.named):
            for column in columns_of(name):
                plan.pairs.append((plan.named, self.columns.setdefault(column, len(self.columns))))
            if name[0] in GAUGES and len(name) > 1:
                plan.gauges.append((plan.named, name[0], name[1]))
            plan.named += 1
        return plan


def difference(after: Sequence[int], before: Sequence[int]) -> list[int]:
    """What was counted between two rows; never below 0."""
    grown = [max(0, late - early) for late, early in zip(after, before, strict=False)]
    return [*grown, *after[len(before) :]]


def by_label(table: Mapping[Column, int], kind: str) -> dict[str, int]:
    """The columns of one kind by their first label, summed over the others."""
    found: dict[str, int] = {}
    for column, value in table.items():
        if column[0] == kind:
            found[column[1]] = found.get(column[1], 0) + value
    return found


def by_two_labels(table: Mapping[Column, int], kind: str) -> dict[str, dict[str, int]]:
    """The columns of one kind by their first and second label."""
    found: dict[str, dict[str, int]] = {}
    for column, value in table.items():
        if column[0] == kind:
            found.setdefault(column[1], {})[column[2]] = value
    return found


def quantile(buckets: Mapping[str, int], share: float) -> float | None:
    """The length of time that `share` of all stayed within, in seconds; None when there was nothing.

    Within a bucket it is interpolated, as Prometheus does. Above the last bound it is that bound.
    """
    wanted = share * sum(buckets.values())
    if not wanted:
        return None
    below = 0
    for (low, high), count in zip(_edges(), (buckets.get(bound, 0) for bound in BOUNDS), strict=True):
        if count and below + count >= wanted:
            return low + (high - low) * (wanted - below) / count
        below += count
    return BUCKETS_S[-1]


def _edges() -> Iterator[tuple[float, float]]:
    yield from zip((0.0, *BUCKETS_S), (*BUCKETS_S, BUCKETS_S[-1]), strict=True)
