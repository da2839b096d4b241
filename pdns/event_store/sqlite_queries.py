"""The queries on the embedded store."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from pdns.errors import StoreError
from pdns.event_store import queries, sqlite_machines, sqlite_names, sqlite_rows
from pdns.event_store.below import is_at_or_below
from pdns.event_store.event import ALL_TENANTS, BLOCKED, MONITORED, Event, EventKind, Finding, FindingKind, Hour
from pdns.event_store.queries import (
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
from pdns.event_store.sqlite_schema import open_to_read
from pdns.event_store.sqlite_summary import OF_TENANT, Summary, Totals, merged, most_queried
from pdns.event_store.times import to_s, to_us

_Filter = tuple[str, tuple[Any, ...]]  # a condition and its values
_IN_LIST: Final = "IN (SELECT value FROM json_each(?))"


class SqliteQueries:
    """`pdns.event_store.queries.EventQueries` on the embedded store at `path`."""

    def __init__(self, path: Path) -> None:
        """Raises `StoreError`, also when there is no store."""
        self._path = path
        self._db = open_to_read(path)
        self._summary: tuple[object, Summary] | None = None

    def headline(self, window: Window, tenant: str | None = None) -> Headline:
        with self._snapshot() as db:
            summary = self._summary_of(db, window, tenant)
            clients = summary.clients_of(summary.blocked)
            return Headline(
                queries=_hour_sums(db, window, tenant)[0],
                blocked=sum(totals.n for totals in summary.blocked.values()),
                domains=len(summary.domains(summary.blocked)),
                tenants=len(summary.tenants(clients)),
                clients=summary.known(clients),
            )

    def top(self, window: Window, tenant: str | None, by: TopBy, limit: int) -> list[TopRow]:
        check_limit(limit)
        with self._snapshot() as db:
            if by == "qname":
                return sqlite_names.top(db, *_bounds(window), tenant, limit)
            summary = self._summary_of(db, window, tenant)
            return _top_clients(summary, by, limit) if by in ("client", "tenant") else _top_listings(summary, by, limit)

    def series(self, window: Window, tenant: str | None, step_s: float) -> list[Point]:
        start_us, end_us = _bounds(window)
        points = queries.steps(start_us, end_us, to_us(step_s))
        condition, values = _of_tenant(tenant)
        counted = (
            "SELECT coalesce(sum(n), 0), coalesce(sum(n) FILTER (WHERE decision IN "
            f"(SELECT id FROM decision WHERE kind = '{MONITORED}')), 0) FROM event WHERE time_us >= ? AND time_us < ? {condition}"
        )
        found = []
        with self._snapshot() as db:
            for at in points:
                before = min(at + points.step, end_us)
                n, monitored = db.execute(counted, (at, before, *values)).fetchone()
                asked = _hour_sums(db, Window(to_s(at), to_s(before)), tenant)[0]
                found.append(Point(start_s=to_s(at), queries=asked, blocked=n - monitored, monitored=monitored))
        return found

    def first_seen(self, window: Window, tenant: str | None, limit: int) -> list[FirstSeen]:
        check_limit(limit)
        with self._snapshot() as db:
            return sqlite_names.first_seen(db, self._summary_of(db, window, tenant), to_us(window.start_s), tenant, limit)

    def shared_new(self, window: Window, least_tenants: int = 3) -> list[SharedName]:
        with self._snapshot() as db:
            return sqlite_names.shared_new(db, self._summary_of(db, window, None), to_us(window.start_s), least_tenants)

    def machines(self, window: Window, tenant: str | None, limit: int) -> list[MachineRow]:
        check_limit(limit)
        with self._snapshot() as db:
            return sqlite_machines.machines(db, self._summary_of(db, window, tenant), *_bounds(window), limit)

    def feeds_worth(self, window: Window, tenant: str | None = None) -> list[FeedWorth]:
        with self._snapshot() as db:
            return _feeds_worth(self._summary_of(db, window, tenant))

    def availability(self, window: Window, tenant: str | None = None) -> Availability:
        with self._snapshot() as db:
            asked, answered, servfail, dropped = _hour_sums(db, window, tenant)
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
        check_limit(limit)
        with self._snapshot() as db:
            filters = [
                _of_tenant(tenant),
                *([_named(db, name)] if name and name != "." else []),
                *([_of_clients(clients)] if clients else []),
                *([_of_feed(feed)] if feed else []),
                *([("AND decision IN (SELECT id FROM decision WHERE kind = ?)", (kind,))] if kind is not None else []),
            ]
            conditions = " ".join(condition for condition, _ in filters)
            wanted = f"SELECT * FROM event WHERE time_us >= ? AND time_us < ? {conditions} ORDER BY time_us DESC, id DESC LIMIT ?"
            whole = (
                f"SELECT {sqlite_rows.EVENT_COLUMNS} FROM ({wanted}) AS {sqlite_rows.EVENT_TABLES} "
                "ORDER BY e.time_us DESC, e.id DESC"
            )
            values = [value for _, values in filters for value in values]
            return [sqlite_rows.event_of(row) for row in db.execute(whole, (*_bounds(window), *values, limit))]

    def findings(
        self, window: Window, tenant: str | None = None, kind: FindingKind | None = None, limit: int = 100
    ) -> list[Finding]:
        check_limit(limit)
        conditions, values = "", []
        for column, value in (("tenant", tenant), ("kind", kind)):
            if value is not None:
                conditions += f" AND {column} = ?"
                values.append(value)
        wanted = f"SELECT * FROM finding WHERE time_us >= ? AND time_us < ?{conditions} ORDER BY time_us DESC, id DESC LIMIT ?"
        with self._snapshot() as db:
            return [sqlite_rows.finding_of(row) for row in db.execute(wanted, (*_bounds(window), *values, limit))]

    def hours(self, window: Window, tenant: str | None = None) -> list[Hour]:
        wanted = "SELECT * FROM hour WHERE start_us >= ? AND start_us < ? AND tenant = ? ORDER BY start_us, node, id"
        with self._snapshot() as db:
            return [sqlite_rows.hour_of(row) for row in db.execute(wanted, (*_bounds(window), _hours_of(tenant)))]

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def _snapshot(self) -> Iterator[sqlite3.Connection]:
        """One state of the store, whatever is written meanwhile."""
        try:
            self._db.execute("BEGIN")
            try:
                yield self._db
            finally:
                self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            raise StoreError(f"{self._path}: {error}") from error

    def _summary_of(self, db: sqlite3.Connection, window: Window, tenant: str | None) -> Summary:
        db.execute("SELECT count(*) FROM tenant").fetchone()  # the snapshot begins
        key = (window, tenant, db.execute("PRAGMA data_version").fetchone()[0])
        if self._summary is None or self._summary[0] != key:
            self._summary = None  # frees its memory first
            self._summary = key, Summary(db, *_bounds(window), tenant)
        return self._summary[1]


def _bounds(window: Window) -> tuple[int, int]:
    return to_us(window.start_s), to_us(window.end_s)


def _hours_of(tenant: str | None) -> str:
    return ALL_TENANTS if tenant is None else tenant


def _hour_sums(db: sqlite3.Connection, window: Window, tenant: str | None) -> tuple[int, int, int, int]:
    """Queries, answers, SERVFAIL, and queries without an answer."""
    sums = ", ".join(f"coalesce(sum({column}), 0)" for column in ("queries", "answered", "servfail", "dropped"))
    wanted = f"SELECT {sums} FROM hour WHERE start_us >= ? AND start_us < ? AND tenant = ?"
    asked, answered, servfail, dropped = db.execute(wanted, (*_bounds(window), _hours_of(tenant))).fetchone()
    return asked, answered, servfail, dropped


def _of_tenant(tenant: str | None) -> _Filter:
    return ("", ()) if tenant is None else (f"AND client {OF_TENANT}", (tenant,))


def _named(db: sqlite3.Connection, name: str) -> _Filter:
    """Names are compared here: SQLite ends a text at a NUL in some functions."""
    ids = json.dumps([id_ for id_, text in db.execute("SELECT id, text FROM name") if is_at_or_below(text, name)])
    return f"AND (qname {_IN_LIST} OR decision IN (SELECT id FROM decision WHERE listed {_IN_LIST}))", (ids, ids)


def _of_clients(clients: Sequence[str]) -> _Filter:
    """Without JSON, where SQLite ends a text at a NUL."""
    return f"AND client IN (SELECT id FROM client WHERE address IN ({', '.join('?' * len(clients))}))", tuple(clients)


def _of_feed(feed: str) -> _Filter:
    lists = " OR ".join(f"EXISTS (SELECT 1 FROM json_each({column}) WHERE value = ?)" for column in ("others", "monitored"))
    return f"AND decision IN (SELECT id FROM decision WHERE feed = ? OR {lists})", (feed, feed, feed)


def _top_listings(summary: Summary, by: TopBy, limit: int) -> list[TopRow]:
    key_of: Callable[[object], str] = attrgetter(by)
    listings: dict[str, list[int]] = {}
    for id_ in summary.blocked:
        listings.setdefault(key_of(summary.listings[id_]), []).append(id_)
    listings.pop("", None)
    totals = merged((key, summary.blocked[id_]) for key, members in listings.items() for id_ in members)
    chosen = most_queried({key: one.n for key, one in totals.items()}, limit)
    return [_top_row(summary, key, "", totals[key], listings[key], summary.clients_of(listings[key])) for key in chosen]


def _top_clients(summary: Summary, by: TopBy, limit: int) -> list[TopRow]:
    def key_of(client: int) -> tuple[str, str]:
        tenant, address = summary.clients[client]
        return (address, tenant) if by == "client" else (tenant, "")

    counts: dict[tuple[str, str], int] = {}
    for client, n in summary.by_client.items():
        key = key_of(client)
        if key[0]:
            counts[key] = counts.get(key, 0) + n
    chosen = most_queried(counts, limit)
    clients: dict[tuple[str, str], set[int]] = {key: set() for key in chosen}
    for client in summary.by_client:
        if (key := key_of(client)) in clients:
            clients[key].add(client)
    pairs = list(summary.pairs_of(set().union(*clients.values())))
    totals = merged((key_of(client), one) for _, client, one in pairs)
    listings: dict[tuple[str, str], set[int]] = {key: set() for key in chosen}
    for listing, client, _ in pairs:
        listings[key_of(client)].add(listing)
    return [_top_row(summary, *key, totals[key], listings[key], clients[key]) for key in chosen]


def _top_row(
    summary: Summary, key: str, tenant: str, totals: Totals, listings: Collection[int], clients: Collection[int]
) -> TopRow:
    return TopRow(
        key=key,
        tenant=tenant,
        n=totals.n,
        domains=len(summary.domains(listings)),
        clients=summary.known(clients),
        tenants=len(summary.tenants(clients)),
        first_s=to_s(totals.first_us),
        last_s=to_s(totals.last_us),
    )


def _feeds_worth(summary: Summary) -> list[FeedWorth]:
    listings: dict[str, list[int]] = {}
    only: dict[str, int] = {}
    for id_, totals in summary.blocked.items():
        feeds = {summary.listings[id_].feed, *summary.listings[id_].others}
        for feed in feeds:
            listings.setdefault(feed, []).append(id_)
            only[feed] = only.get(feed, 0) + (totals.n if len(feeds) == 1 else 0)
    monitored: dict[str, int] = {}
    for id_, totals in (summary.blocked | summary.monitored).items():
        one = summary.listings[id_]
        for feed in {*one.monitored, *([] if one.kind == BLOCKED else [one.feed])}:
            monitored[feed] = monitored.get(feed, 0) + totals.n
    found = [
        FeedWorth(
            feed=feed,
            n=sum(summary.blocked[id_].n for id_ in listings.get(feed, ())),
            only=only.get(feed, 0),
            domains=len(summary.domains(listings.get(feed, ()))),
            clients=summary.known(summary.clients_of(listings.get(feed, ()))),
            monitored=monitored.get(feed, 0),
        )
        for feed in {*listings, *monitored}
    ]
    return sorted(found, key=lambda one: (-one.n, one.feed))
