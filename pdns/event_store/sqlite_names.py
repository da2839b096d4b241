"""Queries on names in the embedded store: queried names, and listed names that are new."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from typing import Final

from pdns.event_store.event import BLOCKED
from pdns.event_store.queries import FirstSeen, SharedName, TopRow
from pdns.event_store.sqlite_summary import OF_TENANT, Summary, Totals, most_queried
from pdns.event_store.times import to_s

_IS_BLOCKED: Final = f"decision IN (SELECT id FROM decision WHERE kind = '{BLOCKED}')"


def top(db: sqlite3.Connection, start_us: int, end_us: int, tenant: str | None, limit: int) -> list[TopRow]:
    """The queried names with the most blocked queries."""
    of = "" if tenant is None else f"AND client {OF_TENANT}"
    values = (start_us, end_us) if tenant is None else (start_us, end_us, tenant)
    sums = (
        "SELECT qname, sum(n) AS n, min(time_us) AS first_us, max(time_us + span_us) AS last_us FROM event "
        f"WHERE time_us >= ? AND time_us < ? AND {_IS_BLOCKED} {of} GROUP BY qname"
    )
    most = (
        f"SELECT s.qname, q.text, s.n, s.first_us, s.last_us FROM ({sums}) s JOIN name q ON q.id = s.qname "
        "WHERE q.text != '' ORDER BY s.n DESC, q.text LIMIT ?"
    )
    rows = db.execute(most, (*values, limit)).fetchall()
    distinct = (
        "SELECT DISTINCT e.qname, d.listed, e.client FROM event e JOIN decision d ON d.id = e.decision "
        f"WHERE e.time_us >= ? AND e.time_us < ? AND e.{_IS_BLOCKED} {of} AND e.qname IN (SELECT value FROM json_each(?))"
    )
    listed: dict[int, set[int]] = {row[0]: set() for row in rows}
    clients: dict[int, set[int]] = {row[0]: set() for row in rows}
    for qname, name, client in db.execute(distinct, (*values, json.dumps(list(listed)))):
        listed[qname].add(name)
        clients[qname].add(client)
    ids = json.dumps(sorted(set().union(*clients.values())))
    known = {
        id_: (tenant_id, bool(address))
        for id_, tenant_id, address in db.execute(
            "SELECT id, tenant, address FROM client WHERE id IN (SELECT value FROM json_each(?))", (ids,)
        )
    }
    return [
        TopRow(
            key=text,
            tenant="",
            n=n,
            domains=len(listed[qname]),
            clients=sum(known[client][1] for client in clients[qname]),
            tenants=len({known[client][0] for client in clients[qname]}),
            first_s=to_s(first_us),
            last_s=to_s(last_us),
        )
        for qname, text, n, first_us, last_us in rows
    ]


def first_seen(db: sqlite3.Connection, summary: Summary, start_us: int, tenant: str | None, limit: int) -> list[FirstSeen]:
    """Names in `summary` that were not blocked before `start_us`."""
    of = "" if tenant is None else f"AND client {OF_TENANT}"
    values = (start_us,) if tenant is None else (start_us, tenant)
    earlier = f"SELECT DISTINCT decision FROM event WHERE time_us < ? AND {_IS_BLOCKED} {of}"
    known = {
        listed
        for (listed,) in db.execute(
            f"SELECT l.text FROM decision d JOIN name l ON l.id = d.listed WHERE d.id IN ({earlier})",
            values,
        )
    }
    new: dict[str, list[int]] = {}
    for id_ in summary.blocked:
        if (listed := summary.listings[id_].listed) not in known:
            new.setdefault(listed, []).append(id_)
    counts = {listed: sum(summary.blocked[id_].n for id_ in ids) for listed, ids in new.items()}
    found = []
    for listed in most_queried(counts, limit):
        first_us, feed, category = min(_first(summary, id_, summary.blocked[id_]) for id_ in new[listed])
        tenants = len(summary.tenants(summary.clients_of(new[listed])))
        row = FirstSeen(
            listed=listed, feed=feed, category=category, tenant_count=tenants, first_s=to_s(first_us), n=counts[listed]
        )
        found.append(row)
    return found


def shared_new(db: sqlite3.Connection, summary: Summary, start_us: int, least_tenants: int) -> list[SharedName]:
    """Names in `summary` that at least `least_tenants` tenants had no blocked query for before `start_us`."""
    listings: dict[str, list[int]] = {}
    for id_ in summary.blocked:
        listings.setdefault(summary.listings[id_].listed, []).append(id_)
    tenants = {listed: summary.tenants(summary.clients_of(ids)) for listed, ids in listings.items()}
    tenants = {listed: names for listed, names in tenants.items() if len(names) >= least_tenants}
    partly_known: set[str] = set()
    for listed, tenant in _met_before(db, start_us, tenants):
        if tenant in tenants[listed]:
            tenants[listed].discard(tenant)
            partly_known.add(listed)
    found = []
    for listed, names in tenants.items():
        if len(names) < least_tenants:
            continue
        if listed in partly_known:
            totals = [(id_, one) for id_ in listings[listed] if (one := summary.of_tenants(id_, names)) is not None]
        else:  # nearly all: their sums are there already
            totals = [(id_, summary.blocked[id_]) for id_ in listings[listed]]
        first_us, feed, category = min(_first(summary, id_, one) for id_, one in totals)
        row = SharedName(
            listed=listed,
            feed=feed,
            category=category,
            tenants=tuple(sorted(names)),
            first_s=to_s(first_us),
            n=sum(one.n for _, one in totals),
        )
        found.append(row)
    return sorted(found, key=lambda one: (-len(one.tenants), -one.n, one.listed))


def _met_before(db: sqlite3.Connection, start_us: int, names: Collection[str]) -> list[tuple[str, str]]:
    """Each name of `names` and tenant with a blocked query before `start_us`."""
    listed = {id_: text for id_, text in db.execute("SELECT id, text FROM name") if text in names}
    met = (
        "SELECT DISTINCT d.listed, c.tenant FROM event e JOIN client c ON c.id = e.client JOIN decision d ON d.id = e.decision "
        f"WHERE e.time_us < ? AND e.{_IS_BLOCKED} AND e.decision IN "
        "(SELECT id FROM decision WHERE listed IN (SELECT value FROM json_each(?)))"
    )
    tenants = dict(db.execute("SELECT id, name FROM tenant"))
    return [(listed[name], tenants[tenant]) for name, tenant in db.execute(met, (start_us, json.dumps(list(listed))))]


def _first(summary: Summary, listing: int, totals: Totals) -> tuple[int, str, str]:
    """The time of a first query in microseconds, its feed and category."""
    return totals.first_us, summary.listings[listing].feed, summary.listings[listing].category
