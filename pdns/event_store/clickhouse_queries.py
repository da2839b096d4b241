"""The queries on the tables in ClickHouse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from pdns.errors import PdnsError, StoreError
from pdns.event_store import queries
from pdns.event_store.beacon import Beat, beacon
from pdns.event_store.clickhouse_client import connect, failures, reason_of
from pdns.event_store.clickhouse_schema import ClickHouse
from pdns.event_store.event import ALL_TENANTS, BLOCKED, MONITORED, Event, EventKind, Finding, FindingKind, Hour
from pdns.event_store.queries import (
    NAMES_OF_A_MACHINE,
    Availability,
    FeedWorth,
    FirstSeen,
    Headline,
    MachineRow,
    Point,
    SharedName,
    TopBy,
    TopRow,
    Window,
    check_limit,
)
from pdns.event_store.times import to_s, to_us

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_SETTINGS: Final = {"do_not_merge_across_partitions_select_final": 1}  # a record is in one partition, by its time
_IN_WINDOW: Final = "time >= fromUnixTimestamp64Micro({start:Int64}) AND time < fromUnixTimestamp64Micro({end:Int64})"
_HOUR_IN_WINDOW: Final = _IN_WINDOW.replace("time ", "start_time ")
_BEFORE: Final = "time < fromUnixTimestamp64Micro({start:Int64})"
_IS_BLOCKED: Final = f"kind = '{BLOCKED}'"
_FIRST: Final = "argMin((toString(feed), toString(category)), (time, feed, category))"
_MACHINE: Final = "tenant, client, threat, category"
_NAMED: Final = " OR ".join(
    f"({column} = {{name:String}} OR endsWith({column}, {{suffix:String}}) AND "
    f"(length({column}) - length({{suffix:String}}) - length(trim(TRAILING '\\\\' FROM "
    f"substring({column}, 1, length({column}) - length({{suffix:String}}))))) % 2 = 0)"
    for column in ("qname", "listed")
)
_EVENT: Final = (
    "id, toUnixTimestamp64Micro(time), toUnixTimestamp64Micro(last_time), n, kind, node, tenant, policy, client, transport, "
    "qname, qtype, listed, rule, feed, category, action, others, monitored, threat, reason, case_reference, merged"
)
_FINDING: Final = (
    "id, toUnixTimestamp64Micro(time), node, tenant, kind, subject, client, score, n, text, "
    "toUnixTimestamp64Micro(first_time), toUnixTimestamp64Micro(last_time), details"
)
_COUNTS: Final = (
    "queries", "answered", "servfail", "dropped", "blocked", "monitored", "events", "merged", "lost", "unaccounted",
)  # fmt: skip
_HOUR: Final = f"id, toUnixTimestamp64Micro(start_time), toUnixTimestamp64Micro(end_time), node, tenant, {', '.join(_COUNTS)}"


class ClickHouseQueries:
    """`pdns.event_store.queries.EventQueries` on the tables of a ClickHouse sink."""

    def __init__(self, settings: ClickHouse, connect: Callable[[ClickHouse], Client] = connect) -> None:
        """Raises `StoreError`."""
        self._settings = settings
        self._events, self._findings, self._hours = (f"{settings.table(name)} FINAL" for name in ("events", "findings", "hours"))
        try:
            self._client = connect(settings)
        except failures() as error:
            raise self._problem(error) from error

    def headline(self, window: Window, tenant: str | None = None) -> Headline:
        counted = "sum(n), uniqExact(listed), uniqExact(tenant), uniqExactIf((tenant, client), client != '')"
        ((blocked, domains, tenants, clients),) = self._of_blocked(counted, window, tenant)
        asked = self._hour_sums(window, tenant)[0]
        return Headline(queries=asked, blocked=blocked, domains=domains, tenants=tenants, clients=clients)

    def top(self, window: Window, tenant: str | None, by: TopBy, limit: int) -> list[TopRow]:
        of = "tenant" if by == "client" else "''"
        found = self._of_blocked(
            f"toString({by}) AS key, toString({of}) AS of, sum(n) AS total, uniqExact(listed), "
            "uniqExactIf((tenant, client), client != ''), uniqExact(tenant), toUnixTimestamp64Micro(min(time)), "
            "toUnixTimestamp64Micro(max(last_time))",
            window,
            tenant,
            "AND key != '' GROUP BY key, of ORDER BY total DESC, key, of LIMIT {limit:UInt32}",
            limit=check_limit(limit),
        )
        return [
            TopRow(
                key=key,
                tenant=of_client,
                n=n,
                domains=domains,
                clients=clients,
                tenants=tenants,
                first_s=to_s(first_us),
                last_s=to_s(last_us),
            )
            for key, of_client, n, domains, clients, tenants, first_us, last_us in found
        ]

    def series(self, window: Window, tenant: str | None, step_s: float) -> list[Point]:
        start_us, end_us = _bounds(window)
        points = queries.steps(start_us, end_us, to_us(step_s))
        step = "intDiv(toUnixTimestamp64Micro({time}) - {{start:Int64}}, {{step:Int64}}) AS step"
        events = self._rows(
            f"SELECT {step.format(time='time')}, sumIf(n, {_IS_BLOCKED}), sumIf(n, NOT {_IS_BLOCKED}) FROM {self._events} "
            f"WHERE {_IN_WINDOW} {_of(tenant)} GROUP BY step",
            window,
            tenant,
            step=points.step,
        )
        hours = self._rows(
            f"SELECT {step.format(time='start_time')}, sum(queries) FROM {self._hours} "
            f"WHERE {_HOUR_IN_WINDOW} {_of('')} GROUP BY step",
            window,
            _hours_of(tenant),
            step=points.step,
        )
        counts = {at: (blocked, monitored) for at, blocked, monitored in events}
        asked: dict[int, int] = {row[0]: row[1] for row in hours}
        return [
            Point(start_s=to_s(time_us), queries=asked.get(at, 0), blocked=counted[0], monitored=counted[1])
            for at, time_us in enumerate(points)
            for counted in (counts.get(at, (0, 0)),)
        ]

    def first_seen(self, window: Window, tenant: str | None, limit: int) -> list[FirstSeen]:
        found = self._of_blocked(
            f"listed, {_FIRST}, uniqExact(tenant), toUnixTimestamp64Micro(min(time)), sum(n) AS total",
            window,
            tenant,
            f"AND listed NOT IN (SELECT listed FROM {self._settings.table('events')} "
            f"WHERE {_BEFORE} AND {_IS_BLOCKED} {_of(tenant)}) "
            "GROUP BY listed ORDER BY total DESC, listed LIMIT {limit:UInt32}",
            limit=check_limit(limit),
        )
        return [
            FirstSeen(listed=listed, feed=feed, category=category, tenant_count=tenants, first_s=to_s(first_us), n=n)
            for listed, (feed, category), tenants, first_us, n in found
        ]

    def shared_new(self, window: Window, least_tenants: int = 3) -> list[SharedName]:
        found = self._of_blocked(
            f"listed, {_FIRST}, groupUniqArray(toString(tenant)) AS tenants, toUnixTimestamp64Micro(min(time)), sum(n) AS total",
            window,
            None,
            "AND (listed, tenant) NOT IN "
            f"(SELECT listed, tenant FROM {self._settings.table('events')} WHERE {_BEFORE} AND {_IS_BLOCKED}) "
            "GROUP BY listed HAVING length(tenants) >= {least:Int64} ORDER BY length(tenants) DESC, total DESC, listed",
            least=least_tenants,
        )
        return [
            SharedName(listed=listed, feed=feed, category=category, tenants=tuple(sorted(tenants)), first_s=to_s(first_us), n=n)
            for listed, (feed, category), tenants, first_us, n in found
        ]

    def machines(self, window: Window, tenant: str | None, limit: int) -> list[MachineRow]:
        where = f"WHERE {_IN_WINDOW} AND {_IS_BLOCKED} AND client != '' {_of(tenant)}"
        order = f"ORDER BY threat = '', sum(n) DESC, {_MACHINE} LIMIT {{limit:UInt32}}"
        grouped = f"FROM {self._events} {where} GROUP BY {_MACHINE} {order}"
        chosen = f"{where} AND ({_MACHINE}) IN (SELECT {_MACHINE} {grouped})"
        about = "sum(n), uniqExact(listed), toUnixTimestamp64Micro(min(time)), toUnixTimestamp64Micro(max(last_time))"
        asked = {"limit": check_limit(limit)}
        totals = self._rows(f"SELECT {_MACHINE}, {about} {grouped}", window, tenant, **asked)
        named = self._rows(
            f"SELECT {_MACHINE}, listed FROM {self._events} {chosen} GROUP BY {_MACHINE}, listed ORDER BY sum(n) DESC, listed "
            f"LIMIT {NAMES_OF_A_MACHINE} BY {_MACHINE}",
            window,
            tenant,
            **asked,
        )
        names: dict[tuple[str, ...], list[str]] = {}
        for *key, listed in named:
            names.setdefault(tuple(key), []).append(listed)
        times = self._rows(
            f"SELECT {_MACHINE}, toUnixTimestamp64Micro(time), toUnixTimestamp64Micro(last_time), n FROM {self._events} {chosen}",
            window,
            tenant,
            **asked,
        )
        beats: dict[tuple[str, ...], list[Beat]] = {}
        for *key, time_us, last_us, n in times:
            beats.setdefault(tuple(key), []).append(Beat(to_s(time_us), to_s(last_us), n))
        found = []
        for of_tenant, client, threat, category, n, domains, first_us, last_us in totals:
            of = (of_tenant, client, threat, category)
            timing = beacon(beats.get(of, ()), to_s(to_us(window.end_s)))
            row = MachineRow(
                tenant=of_tenant,
                client=client,
                threat=threat,
                category=category,
                names=tuple(names.get(of, ())),
                domains=domains,
                n=n,
                first_s=to_s(first_us),
                last_s=to_s(last_us),
                period_s=timing.period_s,
                jitter=timing.jitter,
                stopped_since_s=timing.stopped_since_s,
            )
            found.append(row)
        return found

    def feeds_worth(self, window: Window, tenant: str | None = None) -> list[FeedWorth]:
        lists = "arrayDistinct(arrayConcat([toString(feed)], arrayMap(other -> toString(other), others)))"
        worth = self._of_blocked(
            f"arrayJoin({lists}) AS one, sum(n), sumIf(n, length({lists}) = 1), uniqExact(listed), "
            "uniqExactIf((tenant, client), client != '')",
            window,
            tenant,
            "GROUP BY one",
        )
        in_monitor_mode = f"arrayMap(one -> toString(one), monitored), if(kind = '{MONITORED}', [toString(feed)], [])"
        listed_by = self._rows(
            f"SELECT arrayJoin(arrayDistinct(arrayConcat({in_monitor_mode}))) AS one, sum(n) FROM {self._events} "
            f"WHERE {_IN_WINDOW} {_of(tenant)} GROUP BY one",
            window,
            tenant,
        )
        monitored: dict[str, int] = {row[0]: row[1] for row in listed_by}
        counts = {feed: (n, only, domains, clients) for feed, n, only, domains, clients in worth}
        found = []
        for feed in counts.keys() | monitored.keys():
            n, only, domains, clients = counts.get(feed, (0, 0, 0, 0))
            row = FeedWorth(feed=feed, n=n, only=only, domains=domains, clients=clients, monitored=monitored.get(feed, 0))
            found.append(row)
        return sorted(found, key=lambda one: (-one.n, one.feed))

    def availability(self, window: Window, tenant: str | None = None) -> Availability:
        asked, answered, servfail, dropped = self._hour_sums(window, tenant)
        share = queries.answered_share(asked, answered, servfail)
        return Availability(queries=asked, answered=answered, servfail=servfail, dropped=dropped, share=share)

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
        conditions = [
            *([f"({_NAMED})"] if name and name != "." else []),
            *(["client IN {clients:Array(String)}"] if clients else []),
            *(["(feed = {feed:String} OR has(others, {feed:String}) OR has(monitored, {feed:String}))"] if feed else []),
            *(["kind = {kind:String}"] if kind is not None else []),
        ]
        wanted = " ".join(f"AND {condition}" for condition in conditions)
        found = self._rows(
            f"SELECT {_EVENT} FROM {self._events} WHERE {_IN_WINDOW} {_of(tenant)} {wanted} "
            "ORDER BY time DESC, id DESC LIMIT {limit:UInt32}",
            window,
            tenant,
            name=name,
            suffix=f".{name}",
            clients=list(clients),
            feed=feed,
            kind=kind or "",
            limit=check_limit(limit),
        )
        return [_event_of(row) for row in found]

    def findings(
        self, window: Window, tenant: str | None = None, kind: FindingKind | None = None, limit: int = 100
    ) -> list[Finding]:
        of_kind = "AND kind = {kind:String}" if kind is not None else ""
        found = self._rows(
            f"SELECT {_FINDING} FROM {self._findings} WHERE {_IN_WINDOW} {_of(tenant)} {of_kind} "
            "ORDER BY time DESC, id DESC LIMIT {limit:UInt32}",
            window,
            tenant,
            kind=kind or "",
            limit=check_limit(limit),
        )
        return [_finding_of(row) for row in found]

    def hours(self, window: Window, tenant: str | None = None) -> list[Hour]:
        found = self._rows(
            f"SELECT {_HOUR} FROM {self._hours} WHERE {_HOUR_IN_WINDOW} {_of('')} ORDER BY start_time, node, id",
            window,
            _hours_of(tenant),
        )
        return [
            Hour(
                id=id_,
                start_s=to_s(start_us),
                end_s=to_s(end_us),
                node=node,
                tenant=name,
                **dict(zip(_COUNTS, counts, strict=True)),
            )
            for id_, start_us, end_us, node, name, *counts in found
        ]

    def close(self) -> None:
        self._client.close()

    def _of_blocked(self, what: str, window: Window, tenant: str | None, rest: str = "", **values: object) -> list[Any]:
        """Of the blocked queries in the window."""
        query = f"SELECT {what} FROM {self._events} WHERE {_IN_WINDOW} AND {_IS_BLOCKED} {_of(tenant)} {rest}"
        return list(self._rows(query, window, tenant, **values))

    def _hour_sums(self, window: Window, tenant: str | None) -> tuple[int, int, int, int]:
        """Queries, answers, SERVFAIL, and queries without an answer."""
        ((asked, answered, servfail, dropped),) = self._rows(
            "SELECT sum(queries), sum(answered), sum(servfail), sum(dropped) "
            f"FROM {self._hours} WHERE {_HOUR_IN_WINDOW} {_of('')}",
            window,
            _hours_of(tenant),
        )
        return asked, answered, servfail, dropped

    def _rows(self, query: str, window: Window, tenant: str | None, **values: object) -> Iterable[Sequence[Any]]:
        start_us, end_us = _bounds(window)
        bound = {"start": start_us, "end": end_us, "tenant": tenant or "", **values}
        try:
            return self._client.query(query, parameters=bound, settings=_SETTINGS).result_rows
        except failures() as error:
            raise self._problem(error) from error

    def _problem(self, error: Exception) -> StoreError:
        text = str(error) if isinstance(error, PdnsError) else f"ClickHouse at {self._settings.url}: {reason_of(error)}"
        return StoreError(text)


def _bounds(window: Window) -> tuple[int, int]:
    return to_us(window.start_s), to_us(window.end_s)


def _of(tenant: str | None) -> str:
    """The condition for a tenant; the empty name is one too."""
    return "" if tenant is None else "AND tenant = {tenant:String}"


def _hours_of(tenant: str | None) -> str:
    return ALL_TENANTS if tenant is None else tenant


def _event_of(row: Sequence[Any]) -> Event:
    (id_, time_us, last_us, n, kind, node, tenant, policy, client, transport, qname, qtype, listed, rule, feed, category, action,
     others, monitored, threat, reason, case, merged) = row  # fmt: skip
    return Event(
        id=id_, time_s=to_s(time_us), last_s=to_s(last_us), n=n, kind=kind, node=node, tenant=tenant, policy=policy,
        client=client, transport=transport, qname=qname, qtype=qtype, listed=listed, rule=rule, feed=feed, category=category,
        action=action, others=tuple(others), monitored=tuple(monitored), threat=threat, reason=reason, case=case,
        merged=bool(merged),
    )  # fmt: skip


def _finding_of(row: Sequence[Any]) -> Finding:
    id_, time_us, node, tenant, kind, subject, client, score, n, text, first_us, last_us, details = row
    return Finding(
        id=id_, time_s=to_s(time_us), node=node, tenant=tenant, kind=kind, subject=subject, client=client, score=score, n=n,
        text=text, first_s=to_s(first_us), last_s=to_s(last_us), details=dict(details),
    )  # fmt: skip
