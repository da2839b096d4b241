"""The questions that reports, the command line and the API ask an event store, and their answers.

`sqlite_queries` and `clickhouse_queries` give the same answers for the same records. Rules that hold for all of them:

- An event or finding belongs to a window by its `time_s`, an hour by its `start_s`. The end of a window is exclusive.
- `n` counts queries, not records. Unless said otherwise only blocked queries count.
- `tenant`: that tenant only; None: all. Numbers of queries then come from the hours of `ALL_TENANTS`.
- A client is an address of one tenant: the same address at two tenants is two clients. "" is no client.
- Equal rows are in the order of their texts, compared by their UTF-8 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, Protocol

from msgspec import Struct

from pdns.event_store.event import Event, EventKind, Finding, FindingKind, Hour

MAX_POINTS: Final = 10_000  # of a series
NAMES_OF_A_MACHINE: Final = 5
TopBy = Literal["listed", "qname", "feed", "category", "threat", "client", "tenant"]


class Window(NamedTuple):
    """A span of time, in seconds since the epoch. `end_s` is not part of it. Times are compared in whole microseconds."""

    start_s: float
    end_s: float


class Headline(Struct, frozen=True, kw_only=True):
    """The headline numbers."""

    queries: int  # all queries, from the hours
    blocked: int  # queries that were blocked
    domains: int  # distinct listed names among them
    tenants: int
    clients: int


class TopRow(Struct, frozen=True, kw_only=True):
    """One row of a top list. `tenant`: of a client; "" in other lists."""

    key: str
    tenant: str
    n: int
    domains: int  # distinct listed names
    clients: int
    tenants: int
    first_s: float
    last_s: float


class Point(Struct, frozen=True, kw_only=True):
    """One step of a series."""

    start_s: float
    queries: int
    blocked: int
    monitored: int


class FirstSeen(Struct, frozen=True, kw_only=True):
    """A listed name that was not blocked before the window, as far back as the store reaches.

    `feed` and `category` are those of the first query; the lowest if two were at the same time.
    """

    listed: str
    feed: str
    category: str
    tenant_count: int
    first_s: float
    n: int


class SharedName(Struct, frozen=True, kw_only=True):
    """A listed name that several tenants met for the first time in the window. Only the queries of these tenants count."""

    listed: str
    feed: str  # as of `FirstSeen`
    category: str
    tenants: tuple[str, ...]
    first_s: float
    n: int


class MachineRow(Struct, frozen=True, kw_only=True):
    """The blocked queries of one client for names of one threat and category. `beacon.py` explains the last three fields."""

    tenant: str
    client: str
    threat: str
    category: str
    names: tuple[str, ...]  # listed names, the most queried first, at most `NAMES_OF_A_MACHINE`
    domains: int  # how many listed names there are
    n: int
    first_s: float
    last_s: float
    period_s: float | None
    jitter: float | None
    stopped_since_s: float | None


class FeedWorth(Struct, frozen=True, kw_only=True):
    """What one feed contributes. `domains` and `clients` are of `n`."""

    feed: str
    n: int  # blocked queries for names that it lists
    only: int  # those that no other blocking feed lists
    domains: int
    clients: int
    monitored: int  # queries, blocked or not, for names that it lists in monitor mode


class Availability(Struct, frozen=True, kw_only=True):
    """How many queries got an answer. `share`: (answered - servfail) / queries; None without a query."""

    queries: int
    answered: int
    servfail: int
    dropped: int
    share: float | None


class EventQueries(Protocol):
    """An event store that is open for reading. All methods raise `StoreError`. One thread at a time may use it."""

    def headline(self, window: Window, tenant: str | None = None) -> Headline: ...

    def top(self, window: Window, tenant: str | None, by: TopBy, limit: int) -> list[TopRow]:
        """The most queried first. Queries without a value, such as those of a feed that names no threat, are in no row."""
        ...

    def series(self, window: Window, tenant: str | None, step_s: float) -> list[Point]:
        """One point for each step from the start of the window, also where nothing happened; the last step may be shorter.

        Raises `ValueError` for more than `MAX_POINTS`.
        """
        ...

    def first_seen(self, window: Window, tenant: str | None, limit: int) -> list[FirstSeen]:
        """The most queried first. With a tenant: names that were not blocked before for its clients."""
        ...

    def shared_new(self, window: Window, least_tenants: int = 3) -> list[SharedName]:
        """The names of the most tenants first, then the most queried."""
        ...

    def machines(self, window: Window, tenant: str | None, limit: int) -> list[MachineRow]:
        """Machines to look at: those with a named threat first, then the most queries first."""
        ...

    def feeds_worth(self, window: Window, tenant: str | None = None) -> list[FeedWorth]:
        """The feed with the most blocked queries first. "local" are entries of administrators."""
        ...

    def availability(self, window: Window, tenant: str | None = None) -> Availability: ...

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
        """Events, the newest first. `name`: queried or listed names at or below it. `clients`: any of these texts. `feed`: it
        decided, or is among the other or monitored feeds.
        """
        ...

    def findings(
        self, window: Window, tenant: str | None = None, kind: FindingKind | None = None, limit: int = 100
    ) -> list[Finding]:
        """Findings, the newest first."""
        ...

    def hours(self, window: Window, tenant: str | None = None) -> list[Hour]:
        """Hours, the oldest first, then by node. Without a tenant: those of `ALL_TENANTS`."""
        ...

    def close(self) -> None: ...


def check_limit(limit: int) -> int:
    """`limit`, for a query. Raises `ValueError` unless it is positive and fits 32 bits."""
    if not 0 < limit < 2**31:
        raise ValueError(f"limit: expected a number from 1, got {limit}")
    return limit


def steps(start_us: int, end_us: int, step_us: int) -> range:
    """The start of each step of a series, in microseconds. Raises `ValueError`."""
    if step_us <= 0:
        raise ValueError("step: expected at least a microsecond")
    points = range(start_us, end_us, step_us)
    if end_us > start_us and (end_us - start_us) / step_us > MAX_POINTS:
        raise ValueError(f"step: expected at most {MAX_POINTS:,} points in a series")
    return points


def answered_share(queries: int, answered: int, servfail: int) -> float | None:
    """As in `Availability`."""
    return (answered - servfail) / queries if queries else None
