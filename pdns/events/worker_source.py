"""The memories of one worker, read by the events process: its events, and what its counters have come to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec

from pdns.telemetry.block_labels import BlockLabels, labels_of
from pdns.telemetry.counters import Counters
from pdns.telemetry.event_ring import EventRing, RawEvent, event_of
from pdns.telemetry.ring import RingReader, weight_of

MOST_AT_ONCE: Final = 1000
_TRIES: Final = 20
_MOST_LABELS: Final = 20_000
_ALL: Final = ""  # of all tenants together


class TenantCounts(msgspec.Struct):
    """What the counters of a worker, or of several, come to for one tenant."""

    queries: int = 0
    answered: int = 0
    servfail: int = 0
    dropped: int = 0
    blocked: int = 0

    def add(self, other: TenantCounts, sign: int = 1) -> None:
        """Add `other`, or take it away."""
        self.queries += sign * other.queries
        self.answered += sign * other.answered
        self.servfail += sign * other.servfail
        self.dropped += sign * other.dropped
        self.blocked += sign * other.blocked


class Snapshot(msgspec.Struct):
    """Counters and noted events at one time."""

    counts: dict[str, TenantCounts] = {}  # by tenant
    dropped: int = 0
    monitored: int = 0
    waiting: int = 0  # queries that are repeats without a record yet


class ReadEvent(NamedTuple):
    """One record. Without labels it cannot be described."""

    number: int
    raw: RawEvent | None
    labels: BlockLabels | None
    n: int


class WorkerSource:
    """One worker. Everything here is read-only."""

    def __init__(self, counters: Counters, ring: EventRing, number: int = 0, weight: int = 0) -> None:
        """Reads from record `number` on, before which all records weigh `weight`."""
        self.ring = ring
        self._counters = counters
        self.reader = RingReader(ring, number, weight)
        self._labels: dict[tuple[int, ...], BlockLabels | None] = {}

    def read(self) -> Iterator[ReadEvent]:
        """New records, oldest first; at most `MOST_AT_ONCE`."""
        for number, record in self.reader.take(MOST_AT_ONCE):
            raw = labels = None
            with suppress(ValueError):
                raw = event_of(record)
                labels = self._labels_of(raw)
            yield ReadEvent(number, raw, labels, weight_of(record))

    def _labels_of(self, raw: RawEvent) -> BlockLabels | None:
        """Series never change their slots, so the labels of slots stay the same."""
        labels = self._labels.get(raw.slots)
        if labels is None:
            if len(self._labels) >= _MOST_LABELS:
                self._labels.clear()
            labels = self._labels[raw.slots] = labels_of(raw, self._counters)
        return labels

    @property
    def is_behind(self) -> bool:
        """Whether there are records that were not read."""
        return self.reader.next < self.ring.head

    def snapshot(self) -> Snapshot:
        """Counters and noted events that belong together, unless queries are blocked all the time."""
        for _ in range(_TRIES):
            noted, blocked = self.ring.noted, self._blocked()
            taken = self._take()
            if (noted, blocked) == (self.ring.noted, self._blocked()):
                break
        return taken

    def close(self) -> None:
        self._counters.close()
        self.ring.close()

    def _blocked(self) -> int:
        return sum(value for family, _, value in self._counters.items() if family == "blocked_total")

    def _take(self) -> Snapshot:
        counts: dict[str, TenantCounts] = {}
        dropped: Counter[str] = Counter()
        monitored, waiting = self.ring.monitored, self.ring.noted - self.reader.weight
        for family, labels, value in self._counters.items():
            match family:
                case "queries_total":
                    _of(counts, labels[0]).queries += value
                case "responses_total":
                    one = _of(counts, labels[0])
                    one.answered += value
                    one.servfail += value if labels[2] == "SERVFAIL" else 0
                case "blocked_total":
                    _of(counts, labels[0]).blocked += value
                case "dropped_total":
                    dropped[_ALL] += value
        return Snapshot(counts, dropped[_ALL], monitored, waiting)


def _of(counts: dict[str, TenantCounts], tenant: str) -> TenantCounts:
    if tenant not in counts:
        counts[tenant] = TenantCounts()
    return counts[tenant]
