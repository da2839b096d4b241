"""Questions on their way upstream, and who waits for each: one upstream query, however many ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pdns.core.clients import Client
from pdns.core.outcome import Forward
from pdns.core.query import Query

FULL = "too many queries in flight"
FULL_FOR_CLIENT = "too many queries in flight for this client"
MAX_WAITERS = 1000  # for one question; more than that is a flood, and an answer to it a pulse (DNSBomb)


class Waiter(NamedTuple):
    """A client's query, and how to answer it."""

    query: Query
    client: Client
    address: str
    transport: str
    reply: Callable[[bytes], None]
    started_s: float


class Flight:
    """One question in flight."""

    __slots__ = ("forward", "stale_given", "started_s", "waiters")

    def __init__(self, forward: Forward, now: float) -> None:
        self.forward = forward
        self.started_s = now
        self.stale_given = False
        self.waiters: dict[tuple[str, int, int], Waiter] = {}

    @property
    def waiting(self) -> int:
        """How many wait for it."""
        return len(self.waiters)


class Flights:
    """All flights of a worker, within bounds: on questions, on clients of one question, on waiting queries of one client."""

    def __init__(self, max_flights: int, max_per_client: int) -> None:
        self._flights: dict[bytes, Flight] = {}
        self._per_client: dict[str, int] = {}
        self._max_flights = max_flights
        self._max_per_client = max_per_client

    def __len__(self) -> int:
        return len(self._flights)

    def limit(self, max_flights: int, max_per_client: int) -> None:
        """Bound what joins from now on."""
        self._max_flights = max_flights
        self._max_per_client = max_per_client

    def get(self, key: bytes) -> Flight | None:
        return self._flights.get(key)

    def full(self, address: str) -> str:
        """Why one more question from `address` cannot be taken up; empty when it can."""
        if len(self._flights) >= self._max_flights:
            return FULL
        if self._per_client.get(address, 0) >= self._max_per_client:
            return FULL_FOR_CLIENT
        return ""

    def start(self, forward: Forward, now: float) -> Flight:
        """A new flight for `forward`, which has none."""
        flight = self._flights[forward.key] = Flight(forward, now)
        return flight

    def join(self, flight: Flight, port: int, waiter: Waiter) -> bool:
        """Let `waiter` wait. False when too many do. A client's own retransmission takes its earlier place: one answer."""
        place = (waiter.address, port, waiter.query.id)
        if place not in flight.waiters:
            if len(flight.waiters) >= MAX_WAITERS:
                return False
            self._per_client[waiter.address] = self._per_client.get(waiter.address, 0) + 1
        flight.waiters[place] = waiter
        return True

    def land(self, flight: Flight) -> list[Waiter]:
        """End `flight`; whoever waited, in order of arrival."""
        self._flights.pop(flight.forward.key, None)
        return self.release(flight)

    def release(self, flight: Flight) -> list[Waiter]:
        """Whoever waits for `flight`, which goes on without them."""
        waiters = list(flight.waiters.values())
        flight.waiters.clear()
        for waiter in waiters:
            left = self._per_client[waiter.address] - 1
            if left:
                self._per_client[waiter.address] = left
            else:
                del self._per_client[waiter.address]
        return waiters
