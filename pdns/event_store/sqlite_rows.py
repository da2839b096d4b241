"""Rows of the embedded store: from records, through its dictionaries, and back."""

from __future__ import annotations

import math
import sqlite3
from hashlib import blake2b
from typing import Any, Final

import msgspec

from pdns.event_store.event import Event, Finding, Hour
from pdns.event_store.sqlite_schema import ID_OFFSET
from pdns.event_store.times import to_s, to_us

MAX_KEPT: Final = 200_000  # entries of each dictionary in memory
_MAX_INTEGER: Final = 2**63 - 1

EVENT_COLUMNS: Final = (
    "e.id, e.time_us, e.time_us + e.span_us, e.n, d.kind, x.node, t.name, d.policy, c.address, x.transport, q.text, x.qtype, "
    "l.text, d.rule, d.feed, d.category, d.action, d.others, d.monitored, d.threat, d.reason, d.case_reference, x.merged"
)
EVENT_TABLES: Final = (
    "e JOIN client c ON c.id = e.client JOIN tenant t ON t.id = c.tenant JOIN context x ON x.id = e.context "
    "JOIN decision d ON d.id = e.decision JOIN name q ON q.id = e.qname JOIN name l ON l.id = d.listed"
)
INSERT_EVENT: Final = "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
INSERT_FINDING: Final = f"INSERT INTO finding VALUES ({', '.join('?' * 13)}) ON CONFLICT DO NOTHING"
INSERT_HOUR: Final = f"INSERT INTO hour VALUES ({', '.join('?' * 15)}) ON CONFLICT DO NOTHING"
_texts: Final = msgspec.json.Decoder(tuple[str, ...])
_details: Final = msgspec.json.Decoder(dict[str, str])

Row = tuple[Any, ...]  # of SQLite: integers, floats and texts


class Dictionaries:
    """The ids of what events refer to. What is missing is added in the transaction of the caller."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._tenants: dict[str, int] = {}
        self._clients: dict[tuple[str, str], int] = {}
        self._names: dict[str, int] = {}
        self._contexts: dict[Row, int] = {}
        self._decisions: dict[Row, int] = {}

    def forget(self) -> None:
        """Read them again: the transaction was rolled back, or another connection has changed the tables."""
        for kept in (self._tenants, self._clients, self._names, self._contexts, self._decisions):
            kept.clear()

    def bound(self) -> None:
        """Forget those that have grown too large."""
        for kept in (self._tenants, self._clients, self._names, self._contexts, self._decisions):
            if len(kept) > MAX_KEPT:
                kept.clear()

    def row_of(self, event: Event) -> Row:
        """The row of an event, for `INSERT_EVENT`."""
        time_us = to_us(event.time_s)
        client = (event.tenant, event.client)
        context = (event.node, event.transport, event.qtype, int(event.merged))
        decision = (
            event.kind, event.policy, event.listed, event.rule, event.feed, event.category, event.action, event.others,
            event.monitored, event.threat, event.reason, event.case,
        )  # fmt: skip
        return (
            time_us,
            event.id - ID_OFFSET,
            self._clients.get(client) or self._client(client),
            self._decisions.get(decision) or self._decision(decision),
            self._names.get(event.qname) or self._name(event.qname),
            self._contexts.get(context) or self._context(context),
            min(event.n, _MAX_INTEGER),
            max(to_us(event.last_s) - time_us, 0),
        )

    def _client(self, key: tuple[str, str]) -> int:
        name, address = key
        tenant = self._tenants.get(name)
        if tenant is None:
            tenant = self._tenants[name] = self._id("tenant", ("name",), (name,))
        self._clients[key] = found = self._id("client", ("tenant", "address"), (tenant, address))
        return found

    def _name(self, text: str) -> int:
        self._names[text] = found = self._id("name", ("hash", "text"), (_hash(text.encode()), text))
        return found

    def _context(self, key: Row) -> int:
        self._contexts[key] = found = self._id("context", ("node", "transport", "qtype", "merged"), key)
        return found

    def _decision(self, key: Row) -> int:
        kind, policy, listed, rule, feed, category, action, others, monitored, *texts = key
        columns = (
            "hash", "kind", "policy", "listed", "rule", "feed", "category", "action", "others", "monitored", "threat", "reason",
            "case_reference",
        )  # fmt: skip
        lists = (_json(others), _json(monitored))
        values = (kind, policy, self._names.get(listed) or self._name(listed), rule, feed, category, action, *lists, *texts)
        self._decisions[key] = found = self._id("decision", columns, (_hash(msgspec.msgpack.encode(key)), *values))
        return found

    def _id(self, table: str, columns: tuple[str, ...], values: Row) -> int:
        """The id of the row with `values`, which is added if it is missing."""
        where = " AND ".join(f"{column} = ?" for column in columns)
        found = self._db.execute(f"SELECT id FROM {table} WHERE {where}", values).fetchone()
        if found is None:
            insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) RETURNING id"
            found = self._db.execute(insert, values).fetchone()
        return int(found[0])


def _hash(content: bytes) -> int:
    """48 bits, which SQLite stores in six bytes. A collision costs a comparison only."""
    return int.from_bytes(blake2b(content, digest_size=6).digest())


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def finding_row(finding: Finding) -> Row:
    """For `INSERT_FINDING`."""
    score = finding.score if math.isfinite(finding.score) else 0.0  # SQLite keeps no NaN
    return (
        to_us(finding.time_s), finding.id - ID_OFFSET, finding.node, finding.tenant, finding.kind, finding.subject,
        finding.client, score, min(finding.n, _MAX_INTEGER), finding.text, to_us(finding.first_s), to_us(finding.last_s),
        _json(finding.details),
    )  # fmt: skip


def hour_row(hour: Hour) -> Row:
    """For `INSERT_HOUR`."""
    counts = (
        hour.queries, hour.answered, hour.servfail, hour.dropped, hour.blocked, hour.monitored, hour.events, hour.merged,
        hour.lost, hour.unaccounted,
    )  # fmt: skip
    bounded = [min(max(count, -_MAX_INTEGER), _MAX_INTEGER) for count in counts]
    return to_us(hour.start_s), hour.id - ID_OFFSET, to_us(hour.end_s), hour.node, hour.tenant, *bounded


def event_of(row: Row) -> Event:
    """The event of a row with `EVENT_COLUMNS`."""
    (id_, time_us, last_us, n, kind, node, tenant, policy, client, transport, qname, qtype, listed, rule, feed, category, action,
     others, monitored, threat, reason, case, merged) = row  # fmt: skip
    return Event(
        id=id_ + ID_OFFSET, time_s=to_s(time_us), last_s=to_s(last_us), n=n, kind=kind, node=node, tenant=tenant, policy=policy,
        client=client, transport=transport, qname=qname, qtype=qtype, listed=listed, rule=rule, feed=feed, category=category,
        action=action, others=_texts.decode(others), monitored=_texts.decode(monitored), threat=threat, reason=reason, case=case,
        merged=bool(merged),
    )  # fmt: skip


def finding_of(row: Row) -> Finding:
    """The finding of a row with all columns."""
    time_us, id_, node, tenant, kind, subject, client, score, n, text, first_us, last_us, details = row
    return Finding(
        id=id_ + ID_OFFSET, time_s=to_s(time_us), node=node, tenant=tenant, kind=kind, subject=subject, client=client,
        score=score, n=n, text=text, first_s=to_s(first_us), last_s=to_s(last_us), details=_details.decode(details),
    )  # fmt: skip


def hour_of(row: Row) -> Hour:
    """The hour of a row with all columns."""
    (start_us, id_, end_us, node, tenant, queries, answered, servfail, dropped, blocked, monitored, events, merged, lost,
     unaccounted) = row  # fmt: skip
    return Hour(
        id=id_ + ID_OFFSET, start_s=to_s(start_us), end_s=to_s(end_us), node=node, tenant=tenant, queries=queries,
        answered=answered, servfail=servfail, dropped=dropped, blocked=blocked, monitored=monitored, events=events, merged=merged,
        lost=lost, unaccounted=unaccounted,
    )  # fmt: skip
