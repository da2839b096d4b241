"""The events of a window, added up by listing and client: what most queries need.

A listing is a row of `decision`. The one pass over the events takes most of the time; several queries about a window share it.
"""

from __future__ import annotations

import sqlite3
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Final, NamedTuple, TypeVar

import msgspec

from pdns.event_store.event import BLOCKED

K = TypeVar("K")
_CHUNK: Final = 50_000
_HALF: Final = 32  # bits of an id
_MASK: Final = (1 << _HALF) - 1
_texts: Final = msgspec.json.Decoder(tuple[str, ...])

_LISTINGS: Final = (
    "SELECT d.id, d.kind, l.text, d.feed, d.category, d.threat, d.others, d.monitored "
    "FROM decision d JOIN name l ON l.id = d.listed"
)
_CLIENTS: Final = "SELECT c.id, t.name, c.address FROM client c JOIN tenant t ON t.id = c.tenant"
OF_TENANT: Final = "IN (SELECT c.id FROM client c JOIN tenant t ON t.id = c.tenant WHERE t.name = ?)"


class ListingRow(NamedTuple):
    """Why queries are blocked or monitored."""

    kind: str
    listed: str
    feed: str
    category: str
    threat: str
    others: tuple[str, ...]
    monitored: tuple[str, ...]


class ClientRow(NamedTuple):
    """`address` as in events; "" if it is not recorded."""

    tenant: str
    address: str


class Totals(NamedTuple):
    """Of queries with something in common."""

    n: int
    first_us: int
    last_us: int


class Summary:
    """Of the events from `start_us` until before `end_us`, of one tenant or all. Ids are those of the tables.

    One item of each array is of one pair of listing and client; `spans` says where the pairs of each listing are.
    """

    def __init__(self, db: sqlite3.Connection, start_us: int, end_us: int, tenant: str | None) -> None:
        self.clients = {id_: ClientRow(name, address) for id_, name, address in db.execute(_CLIENTS)}
        self.listings = {
            id_: ListingRow(kind, listed, feed, category, threat, _texts.decode(others), _texts.decode(monitored))
            for id_, kind, listed, feed, category, threat, others, monitored in db.execute(_LISTINGS)
        }
        of = "" if tenant is None else f"AND client {OF_TENANT}"
        grouped = db.execute(
            f"SELECT decision << {_HALF} | client AS pair, sum(n), min(time_us), max(time_us + span_us) FROM event "
            f"WHERE time_us >= ? AND time_us < ? {of} GROUP BY pair ORDER BY pair",
            (start_us, end_us) if tenant is None else (start_us, end_us, tenant),
        )
        pairs, self.n, self.first_us, self.last_us = columns = array("q"), array("q"), array("q"), array("q")
        while rows := grouped.fetchmany(_CHUNK):
            for column, values in zip(columns, zip(*rows, strict=True), strict=True):
                column.extend(values)
        self.client = array("q", [pair & _MASK for pair in pairs])
        self.spans: dict[int, slice] = {}
        end = 0
        for id_ in sorted(self.listings):
            start, end = end, bisect_left(pairs, (id_ + 1) << _HALF, end)
            if end > start:
                self.spans[id_] = slice(start, end)

    @cached_property
    def monitored(self) -> dict[int, Totals]:
        """Monitored queries by listing."""
        return {id_: self._totals(span) for id_, span in self.spans.items() if self.listings[id_].kind != BLOCKED}

    @cached_property
    def blocked(self) -> dict[int, Totals]:
        """Blocked queries by listing."""
        return {id_: self._totals(span) for id_, span in self.spans.items() if self.listings[id_].kind == BLOCKED}

    @cached_property
    def by_client(self) -> dict[int, int]:
        """How many blocked queries each client sent."""
        sums: defaultdict[int, int] = defaultdict(int)
        for id_ in self.blocked:
            span = self.spans[id_]
            for client, n in zip(self.client[span], self.n[span], strict=True):
                sums[client] += n
        return dict(sums)

    def clients_of(self, listings: Iterable[int]) -> set[int]:
        """The clients of listings."""
        return set().union(*(self.client[self.spans[id_]] for id_ in listings))

    def pairs_of(self, clients: Collection[int]) -> Iterator[tuple[int, int, Totals]]:
        """The blocked pairs of `clients`: listing, client, and their queries."""
        for id_ in self.blocked:
            span = self.spans[id_]
            for at, client in enumerate(self.client[span], span.start):
                if client in clients:
                    yield id_, client, Totals(self.n[at], self.first_us[at], self.last_us[at])

    def of_tenants(self, id_: int, tenants: Collection[str]) -> Totals | None:
        """The queries of a listing by clients of `tenants`; None: there are none."""
        span = self.spans[id_]
        chosen = [at for at, client in enumerate(self.client[span], span.start) if self.clients[client].tenant in tenants]
        if not chosen:
            return None
        return Totals(
            sum(self.n[at] for at in chosen), min(self.first_us[at] for at in chosen), max(self.last_us[at] for at in chosen)
        )

    def known(self, clients: Iterable[int]) -> int:
        """How many of the clients are recorded."""
        return sum(self.clients[client].address != "" for client in clients)

    def tenants(self, clients: Iterable[int]) -> set[str]:
        """The tenants of clients."""
        return {self.clients[client].tenant for client in clients}

    def domains(self, listings: Iterable[int]) -> set[str]:
        """The listed names of listings."""
        return {self.listings[listing].listed for listing in listings}

    def _totals(self, span: slice) -> Totals:
        return Totals(sum(self.n[span]), min(self.first_us[span]), max(self.last_us[span]))


def merged(totals: Iterable[tuple[K, Totals]]) -> dict[K, Totals]:
    """The sums by key."""
    found: dict[K, Totals] = {}
    for key, one in totals:
        other = found.get(key, one._replace(n=0))
        found[key] = Totals(one.n + other.n, min(one.first_us, other.first_us), max(one.last_us, other.last_us))
    return found


def most_queried(counts: Mapping[K, int], limit: int) -> list[K]:
    """The keys with the most queries, at most `limit`; those that are equal in their order."""
    return sorted(sorted(counts), key=lambda key: -counts[key])[:limit]  # type: ignore[type-var]
