"""Questions on their way upstream: the bounds, and what the service needs of those that are in flight.

`pdns/fast/in_flight.pyx` holds them, `pdns/reference/in_flight.py` is its specification.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from pdns.config.schema import Config
from pdns.core.clients import Client
from pdns.core.outcome import Forward
from pdns.core.query import Query
from pdns.wire.transport import Transport

FULL = "too many queries in flight"
FULL_FOR_CLIENT = "too many queries in flight for this client"
FULL_FOR_DOMAIN = "too many queries in flight for this domain"
MADE_ROOM = "given up, since others have fewer queries in flight"
IMPATIENT = "given up early: many queries wait"
REASONS = {
    FULL: "in_flight_limit",
    FULL_FOR_CLIENT: "in_flight_client",
    FULL_FOR_DOMAIN: "in_flight_domain",
    MADE_ROOM: "in_flight_made_room",
    IMPATIENT: "in_flight_impatient",
}
MAX_WAITERS = 1000  # for one question; more than that is a flood, and an answer to it a pulse (DNSBomb)
MAX_WAITERS_ON_AVERAGE = 16
DOMAIN_PART = 2  # a domain has half of the room at most
SMALL_PART = 64  # of the room is refused to no client, however many there are
LOOKED_AT = 16  # questions, from the oldest on, for one that may make room
ENDED_AT_ONCE = 2  # for a new one, when they are given up early
LEAST_PATIENCE = 0.4  # of what a question has while there is room


class Waiter(NamedTuple):
    """A client's query, and how to answer it."""

    query: Query
    client: Client
    address: str
    transport: Transport
    reply: Callable[[bytes], None]
    started_s: float


class Flight(Protocol):
    """One question in flight."""

    forward: Forward
    cancel: Callable[[], None] | None  # ends the search for an answer
    stale_given: bool
    started_s: float

    @property
    def waiting(self) -> int:
        """How many wait for it."""
        ...


class InFlight(Protocol):
    """All questions in flight of a worker, within bounds: in all, for each domain, and waiting queries for each client.
    `shed(flight, why)` is called for each that must end now, and must `land` it.
    """

    shed: Callable[[Any, str], object]

    def __len__(self) -> int: ...

    def limit(
        self, max_in_flight: int, max_per_client: int, patience_s: float = 10.0, prefixes: tuple[int, int] = (32, 56)
    ) -> None:
        """Bound what joins from now on."""
        ...

    @property
    def is_full(self) -> bool:
        """Whether there is no room for what no client waits for."""
        ...

    def get(self, key: bytes) -> Flight | None: ...

    def room(self, address: str, qname: bytes, now: float) -> str:
        """Make room for one more question, for `qname`, from `address`. Why there can be none, empty when there is."""
        ...

    def start(self, forward: Forward, now: float, address: str = "") -> Flight:
        """A new flight for `forward`, which has none. `address` is of the client that it is for, if it is for one."""
        ...

    def join(self, flight: Any, port: int, waiter: Waiter) -> bool:
        """Let `waiter` wait. False when too many do. A client's own retransmission takes its earlier place: one answer."""
        ...

    def land(self, flight: Any) -> list[Waiter]:
        """End `flight`; whoever waited, in order of arrival."""
        ...

    def release(self, flight: Any) -> list[Waiter]:
        """Whoever waits for `flight`, which goes on without them."""
        ...


def flight_limits(config: Config) -> tuple[int, int, float, tuple[int, int]]:
    """What `InFlight.limit` takes: questions in all and of one client, patience in seconds, prefixes that make a client."""
    upstream, limit = config.upstream, config.rate_limit
    prefixes = limit.ipv4_prefix, limit.ipv6_prefix
    return upstream.max_in_flight, upstream.max_in_flight_per_client, upstream.timeout_s, prefixes
