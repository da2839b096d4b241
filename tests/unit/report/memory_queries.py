"""The queries on stored events, computed naively from a list of records: the reference for tests of reports."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from pdns.event_store.event import ALL_TENANTS, BLOCKED, Event, EventKind, Finding, FindingKind, Hour, Record
from pdns.event_store.queries import (
    Availability,
    FeedWorth,
    FirstSeen,
    Headline,
    Machine,
    Point,
    SharedName,
    TopBy,
    TopRow,
    Window,
)

K = TypeVar("K", bound=Hashable)
_STOPPED_S = 86400.0
_LEAST_CONTACTS = 6
_MOST_JITTER = 0.25


class MemoryQueries:
    """`EventQueries` over `records`."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = list(records)

    def _events(self, window: Window, tenant: str | None, kind: str = BLOCKED) -> list[Event]:
        return [
            one
            for one in self._records
            if isinstance(one, Event) and one.kind == kind and window.start_s <= one.time_s < window.end_s
            if tenant in (None, one.tenant)
        ]

    def headline(self, window: Window, tenant: str | None = None) -> Headline:
        events = self._events(window, tenant)
        return Headline(
            queries=sum(hour.queries for hour in self._hours(window, tenant)),
            blocked=sum(one.n for one in events),
            domains=len({one.listed for one in events}),
            tenants=len({one.tenant for one in events}),
            clients=len({(one.tenant, one.client) for one in events if one.client}),
        )

    def top(self, window: Window, tenant: str | None, by: TopBy, limit: int) -> list[TopRow]:
        key: Callable[[Event], str] = lambda one: getattr(one, by)  # noqa: E731
        rows = [
            TopRow(
                key=value, tenant=events[0].tenant if by == "client" else "", n=sum(one.n for one in events),
                domains=len({one.listed for one in events}),
                clients=len({(one.tenant, one.client) for one in events if one.client}),
                tenants=len({one.tenant for one in events}), first_s=min(one.time_s for one in events),
                last_s=max(one.last_s for one in events),
            )
            for value, events in _by(self._events(window, tenant), key).items()
            if value
        ]  # fmt: skip
        return sorted(rows, key=lambda row: (-row.n, row.key))[:limit]

    def series(self, window: Window, tenant: str | None, step_s: float) -> list[Point]:
        sums: dict[float, list[int]] = defaultdict(lambda: [0, 0, 0])
        for hour in self._hours(window, tenant):
            sums[_start(hour.start_s, window, step_s)][0] += hour.queries
        for at, kind in ((1, BLOCKED), (2, "monitored")):
            for one in self._events(window, tenant, kind):
                sums[_start(one.time_s, window, step_s)][at] += one.n
        return [Point(start_s=start, queries=q, blocked=b, monitored=m) for start, (q, b, m) in sorted(sums.items())]

    def first_seen(self, window: Window, tenant: str | None, limit: int) -> list[FirstSeen]:
        before = {one.listed for one in self._events(Window(0.0, window.start_s), tenant)}
        return self._first(self._events(window, tenant), before)[:limit]

    def shared_new(self, window: Window, least_tenants: int = 3) -> list[SharedName]:
        before = {(one.tenant, one.listed) for one in self._events(Window(0.0, window.start_s), None)}
        found = []
        for listed, those in _by(self._events(window, None), lambda one: one.listed).items():
            events = [one for one in those if (one.tenant, listed) not in before]
            tenants = tuple(sorted({one.tenant for one in events}))
            if len(tenants) >= least_tenants:
                found.append(
                    SharedName(
                        listed=listed, feed=events[0].feed, category=events[0].category, tenants=tenants,
                        first_s=min(one.time_s for one in events), n=sum(one.n for one in events),
                    )
                )  # fmt: skip
        return sorted(found, key=lambda one: (-len(one.tenants), -one.n, one.listed))

    def _first(self, events: Iterable[Event], before: set[str]) -> list[FirstSeen]:
        found = [
            FirstSeen(
                listed=listed, feed=those[0].feed, category=those[0].category, tenant_count=len({one.tenant for one in those}),
                first_s=min(one.time_s for one in those), n=sum(one.n for one in those),
            )
            for listed, those in _by(events, lambda one: one.listed).items()
            if listed not in before
        ]  # fmt: skip
        return sorted(found, key=lambda one: (-one.n, one.listed))

    def machines(self, window: Window, tenant: str | None, limit: int) -> list[Machine]:
        found = []
        for (whose, client, threat), events in _by(
            self._events(window, tenant), lambda one: (one.tenant, one.client, one.threat)
        ).items():
            if not client:
                continue
            period_s, jitter = _beacon(sorted(one.time_s for one in events))
            last_s = max(one.last_s for one in events)
            found.append(
                Machine(
                    tenant=whose, client=client, threat=threat, category=events[0].category,
                    names=tuple(sorted({one.listed for one in events}))[:5],
                    domains=len({one.listed for one in events}), n=sum(one.n for one in events),
                    first_s=min(one.time_s for one in events), last_s=last_s, period_s=period_s, jitter=jitter,
                    stopped_since_s=last_s if period_s and window.end_s - last_s > max(_STOPPED_S, 3 * period_s) else None,
                )
            )  # fmt: skip
        return sorted(found, key=lambda one: -one.n)[:limit]

    def feeds_worth(self, window: Window, tenant: str | None = None) -> list[FeedWorth]:
        events = self._events(window, tenant)
        found = []
        for feed in sorted({feed for one in events for feed in (one.feed, *one.others)}):
            those = [one for one in events if feed in (one.feed, *one.others)]
            found.append(
                FeedWorth(
                    feed=feed, n=sum(one.n for one in those), only=sum(one.n for one in those if not one.others),
                    domains=len({one.listed for one in those}), clients=len({one.client for one in those if one.client}),
                    monitored=0,
                )
            )  # fmt: skip
        return found

    def availability(self, window: Window, tenant: str | None = None) -> Availability:
        hours = self._hours(window, tenant)
        queries, answered, servfail, dropped = (
            sum(getattr(hour, key) for hour in hours) for key in ("queries", "answered", "servfail", "dropped")
        )
        share = (answered - servfail) / queries if queries else None
        return Availability(queries=queries, answered=answered, servfail=servfail, dropped=dropped, share=share)

    def events(
        self,
        window: Window,
        tenant: str | None = None,
        *,
        name: str = "",
        clients: Sequence[str] = (),
        feed: str = "",
        kind: EventKind | None = None,
        limit: int = 100,
    ) -> list[Event]:
        found = [*self._events(window, tenant), *self._events(window, tenant, "monitored")]
        found = [
            one
            for one in found
            if kind in (None, one.kind) and (not clients or one.client in clients) and feed in ("", one.feed, *one.others)
            if not name or any(f".{text}".endswith(f".{name}") for text in (one.listed, one.qname))
        ]
        return sorted(found, key=lambda one: (-one.time_s, one.id))[:limit]

    def findings(
        self, window: Window, tenant: str | None = None, kind: FindingKind | None = None, limit: int = 100
    ) -> list[Finding]:
        return [
            one
            for one in self._records
            if isinstance(one, Finding) and window.start_s <= one.time_s < window.end_s
            if tenant in (None, one.tenant) and kind in (None, one.kind)
        ][:limit]

    def hours(self, window: Window, tenant: str | None = None) -> list[Hour]:
        return self._hours(window, tenant)

    def close(self) -> None:
        pass

    def _hours(self, window: Window, tenant: str | None) -> list[Hour]:
        return [
            one
            for one in self._records
            if isinstance(one, Hour) and window.start_s <= one.start_s < window.end_s
            if one.tenant == (tenant or ALL_TENANTS)
        ]


def _by(events: Iterable[Event], key: Callable[[Event], K]) -> dict[K, list[Event]]:
    groups: dict[K, list[Event]] = defaultdict(list)
    for one in events:
        groups[key(one)].append(one)
    return groups


def _start(time_s: float, window: Window, step_s: float) -> float:
    return window.start_s + (time_s - window.start_s) // step_s * step_s


def _beacon(times: Sequence[float]) -> tuple[float | None, float | None]:
    gaps = [after - before for before, after in itertools.pairwise(times)]
    if len(gaps) < _LEAST_CONTACTS:
        return None, None
    period_s = statistics.median(gaps)
    jitter = statistics.median(abs(gap - period_s) for gap in gaps) / period_s if period_s else 1.0
    return (period_s, jitter) if jitter <= _MOST_JITTER else (None, None)
