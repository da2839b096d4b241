"""The queries on events once more, over a list of records: slow and obvious. What the stores say must be equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from pdns.event_store.beacon import Beat, beacon
from pdns.event_store.event import Event, Finding, Hour, Record
from pdns.event_store.queries import (
    Availability,
    FeedWorth,
    FirstSeen,
    Headline,
    MachineRow,
    Point,
    SharedName,
    TopRow,
    Window,
)

Key = tuple[str, ...]


class NaiveQueries:
    """`EventQueries` over records, each of which counts once."""

    def __init__(self, records: Iterable[Record]) -> None:
        unique = list({record.id: record for record in records}.values())
        self._events = [record for record in unique if isinstance(record, Event)]
        self._findings = [record for record in unique if isinstance(record, Finding)]
        self._hours = [record for record in unique if isinstance(record, Hour)]

    def headline(self, window: Window, tenant: str | None = None) -> Headline:
        blocked = self._blocked(window, tenant)
        return Headline(
            queries=sum(hour.queries for hour in self.hours(window, tenant)),
            blocked=sum(event.n for event in blocked),
            domains=len({event.listed for event in blocked}),
            tenants=len({event.tenant for event in blocked}),
            clients=clients(blocked),
        )

    def top(self, window: Window, tenant: str | None, by: str, limit: int) -> list[TopRow]:
        def key(event: Event) -> Key:
            return str(getattr(event, by)), event.tenant if by == "client" else ""

        groups = {group: events for group, events in grouped(self._blocked(window, tenant), key).items() if group[0]}
        rows = [
            TopRow(
                key=group[0],
                tenant=group[1],
                n=queries(events),
                domains=len({event.listed for event in events}),
                clients=clients(events),
                tenants=len({event.tenant for event in events}),
                first_s=min(event.time_s for event in events),
                last_s=max(event.last_s for event in events),
            )
            for group, events in groups.items()
        ]
        return sorted(rows, key=lambda row: (-row.n, row.key.encode(), row.tenant.encode()))[:limit]

    def series(self, window: Window, tenant: str | None, step_s: float) -> list[Point]:
        found = []
        at = window.start_s
        while at < window.end_s:
            part = Window(at, min(round(at + step_s, 6), window.end_s))
            n = {
                kind: queries(event for event in self._events_in(part, tenant) if event.kind == kind)
                for kind in ("blocked", "monitored")
            }
            found.append(Point(start_s=at, queries=sum(hour.queries for hour in self.hours(part, tenant)), **n))
            at = round(at + step_s, 6)
        return found

    def first_seen(self, window: Window, tenant: str | None, limit: int) -> list[FirstSeen]:
        known = {event.listed for event in self._blocked(Window(0.0, window.start_s), tenant)}
        new = grouped(
            (event for event in self._blocked(window, tenant) if event.listed not in known), lambda event: (event.listed,)
        )
        rows = [
            FirstSeen(
                listed=listed,
                feed=first(events).feed,
                category=first(events).category,
                tenant_count=len({event.tenant for event in events}),
                first_s=first(events).time_s,
                n=queries(events),
            )
            for (listed,), events in new.items()
        ]
        return sorted(rows, key=lambda row: (-row.n, row.listed.encode()))[:limit]

    def shared_new(self, window: Window, least_tenants: int = 3) -> list[SharedName]:
        known = {(event.listed, event.tenant) for event in self._blocked(Window(0.0, window.start_s), None)}
        new = (event for event in self._blocked(window, None) if (event.listed, event.tenant) not in known)
        rows = [
            SharedName(
                listed=listed,
                feed=first(events).feed,
                category=first(events).category,
                tenants=tuple(sorted({event.tenant for event in events})),
                first_s=first(events).time_s,
                n=queries(events),
            )
            for (listed,), events in grouped(new, lambda event: (event.listed,)).items()
        ]
        rows = [row for row in rows if len(row.tenants) >= least_tenants]
        return sorted(rows, key=lambda row: (-len(row.tenants), -row.n, row.listed.encode()))

    def machines(self, window: Window, tenant: str | None, limit: int) -> list[MachineRow]:
        blocked = (event for event in self._blocked(window, tenant) if event.client)
        rows = []
        for key, events in grouped(blocked, lambda event: (event.tenant, event.client, event.threat, event.category)).items():
            names = Counter({name: queries(group) for (name,), group in grouped(events, lambda event: (event.listed,)).items()})
            timing = beacon([Beat(event.time_s, event.last_s, event.n) for event in events], window.end_s)
            row = MachineRow(
                tenant=key[0],
                client=key[1],
                threat=key[2],
                category=key[3],
                names=tuple(sorted(names, key=lambda name: (-names[name], name.encode()))[:5]),
                domains=len(names),
                n=queries(events),
                first_s=min(event.time_s for event in events),
                last_s=max(event.last_s for event in events),
                period_s=timing.period_s,
                jitter=timing.jitter,
                stopped_since_s=timing.stopped_since_s,
            )
            rows.append(row)
        return sorted(rows, key=lambda row: (not row.threat, -row.n, row.tenant, row.client, row.threat, row.category))[:limit]

    def feeds_worth(self, window: Window, tenant: str | None = None) -> list[FeedWorth]:
        events = self._events_in(window, tenant)
        blocked = self._blocked(window, tenant)
        rows = []
        for feed in {name for event in events for name in (event.feed, *event.others, *event.monitored)}:
            listed = [event for event in blocked if feed in {event.feed, *event.others}]
            monitored = [
                event for event in events if feed in event.monitored or (event.kind == "monitored" and event.feed == feed)
            ]
            row = FeedWorth(
                feed=feed,
                n=queries(listed),
                only=queries(event for event in listed if {event.feed, *event.others} == {feed}),
                domains=len({event.listed for event in listed}),
                clients=clients(listed),
                monitored=queries(monitored),
            )
            if listed or monitored:
                rows.append(row)
        return sorted(rows, key=lambda row: (-row.n, row.feed))

    def availability(self, window: Window, tenant: str | None = None) -> Availability:
        hours = self.hours(window, tenant)
        asked, answered, servfail, dropped = (
            sum(getattr(hour, count) for hour in hours) for count in ("queries", "answered", "servfail", "dropped")
        )
        share = (answered - servfail) / asked if asked else None
        return Availability(queries=asked, answered=answered, servfail=servfail, dropped=dropped, share=share)

    def events(
        self,
        window: Window,
        tenant: str | None = None,
        *,
        name: str = "",
        clients: Sequence[str] = (),
        feed: str = "",
        kind: str | None = None,
        limit: int = 100,
    ) -> list[Event]:
        found = [
            event
            for event in self._events_in(window, tenant)
            if not name or any(below(text, name) for text in (event.qname, event.listed))
            if not clients or event.client in clients
            if not feed or feed in {event.feed, *event.others, *event.monitored}
            if kind is None or event.kind == kind
        ]
        return sorted(found, key=lambda event: (-event.time_s, -event.id))[:limit]

    def findings(self, window: Window, tenant: str | None = None, kind: str | None = None, limit: int = 100) -> list[Finding]:
        found = [
            finding
            for finding in self._findings
            if window.start_s <= finding.time_s < window.end_s
            if tenant is None or finding.tenant == tenant
            if kind is None or finding.kind == kind
        ]
        return sorted(found, key=lambda finding: (-finding.time_s, -finding.id))[:limit]

    def hours(self, window: Window, tenant: str | None = None) -> list[Hour]:
        wanted = "*" if tenant is None else tenant
        found = [hour for hour in self._hours if window.start_s <= hour.start_s < window.end_s and hour.tenant == wanted]
        return sorted(found, key=lambda hour: (hour.start_s, hour.node.encode(), hour.id))

    def close(self) -> None:
        pass

    def _events_in(self, window: Window, tenant: str | None) -> list[Event]:
        return [
            event
            for event in self._events
            if window.start_s <= event.time_s < window.end_s and (tenant is None or event.tenant == tenant)
        ]

    def _blocked(self, window: Window, tenant: str | None) -> list[Event]:
        return [event for event in self._events_in(window, tenant) if event.kind == "blocked"]


def queries(events: Iterable[Event]) -> int:
    return sum(event.n for event in events)


def clients(events: Iterable[Event]) -> int:
    return len({(event.tenant, event.client) for event in events if event.client})


def grouped(events: Iterable[Event], key: Callable[[Event], Key]) -> dict[Key, list[Event]]:
    groups: dict[Key, list[Event]] = {}
    for event in events:
        groups.setdefault(key(event), []).append(event)
    return groups


def first(events: Iterable[Event]) -> Event:
    return min(events, key=lambda event: (event.time_s, event.feed.encode(), event.category.encode()))


def below(text: str, name: str) -> bool:
    """By labels, read from the left: a backslash takes the next character with it."""
    starts = [0]
    at = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == ".":
            starts.append(at + 1)
        at += 1
    return name == "." or any(text[start:] == name for start in starts)
