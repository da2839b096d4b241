"""Questions on their way upstream, and who waits for each: one upstream query, however many ask.

The room is bounded, and each client has a share of it: all places, divided by the clients that hold some. A client that has its
share makes room for one that has less.
"""

# kernel: pdns/fast/in_flight.pyx
# kernel: pdns/fast/waiters.pyx

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address
from itertools import islice

from pdns.core.in_flight import (
    DOMAIN_PART,
    ENDED_AT_ONCE,
    FULL,
    FULL_FOR_CLIENT,
    FULL_FOR_DOMAIN,
    IMPATIENT,
    LEAST_PATIENCE,
    LOOKED_AT,
    MADE_ROOM,
    MAX_WAITERS,
    MAX_WAITERS_ON_AVERAGE,
    SMALL_PART,
    Waiter,
)
from pdns.core.outcome import Forward
from pdns.wire.names import domain_of


class Holder:
    """What a client has in flight, all addresses of its prefix together."""

    __slots__ = ("in_flight", "key", "waiting")

    def __init__(self, key: tuple[int, int]) -> None:
        self.key = key
        self.in_flight: OrderedDict[ReferenceFlight, None] = OrderedDict()  # that it was the first to ask for, oldest first
        self.waiting = 0  # of its queries

    @property
    def held(self) -> int:
        return len(self.in_flight)


class ReferenceFlight:
    """One question in flight."""

    __slots__ = ("cancel", "domain", "forward", "holder", "stale_given", "started_s", "waiters")

    def __init__(self, forward: Forward, now: float, holder: Holder) -> None:
        self.forward = forward
        self.started_s = now
        self.holder = holder
        self.domain = domain_of(forward.qname)
        self.cancel: Callable[[], None] | None = None  # ends the search for an answer
        self.stale_given = False
        self.waiters: dict[tuple[str, int, int], Waiter] = {}

    @property
    def waiting(self) -> int:
        """How many wait for it."""
        return len(self.waiters)


class ReferenceInFlight:
    """All questions in flight of a worker, within bounds: on questions, in all and of one domain; on clients of one question;
    on waiting queries of one client. `shed(question, why)` is called for each that must end now, and must `land` it.
    """

    def __init__(
        self, max_in_flight: int, max_per_client: int, patience_s: float = 10.0, prefixes: tuple[int, int] = (32, 56)
    ) -> None:
        """`patience_s` is how long a flight takes at most; `prefixes` say what of an IPv4 and IPv6 address is a client."""
        self.shed: Callable[[ReferenceFlight, str], object] = lambda flight, _why: self.land(flight)
        self._in_flight: OrderedDict[bytes, ReferenceFlight] = OrderedDict()  # oldest first
        self._holders: dict[tuple[int, int], Holder] = {}
        self._ranked: list[dict[Holder, None]] = [{}]  # by how many they hold
        self._most = 0  # that any of them holds
        self._holding = 0  # how many hold any
        self._domains: dict[bytes, int] = {}
        self._waiting = 0
        self._bits: dict[int, int] = {}
        self.limit(max_in_flight, max_per_client, patience_s, prefixes)

    def __len__(self) -> int:
        return len(self._in_flight)

    def limit(
        self, max_in_flight: int, max_per_client: int, patience_s: float = 10.0, prefixes: tuple[int, int] = (32, 56)
    ) -> None:
        """Bound what joins from now on."""
        self._max_in_flight = max_in_flight
        self._max_per_client = max_per_client
        self._patience_s = patience_s
        bits = {4: 32 - prefixes[0], 6: 128 - prefixes[1]}
        if bits == self._bits:
            return
        waiters = [waiter for flight in self._in_flight.values() for waiter in flight.waiters.values()]
        for waiter in waiters:
            self._count_out(waiter)
        self._bits = bits
        for waiter in waiters:
            self._count_in(waiter)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for what no client waits for."""
        return len(self._in_flight) >= self._max_in_flight

    def get(self, key: bytes) -> ReferenceFlight | None:
        return self._in_flight.get(key)

    def room(self, address: str, qname: bytes, now: float) -> str:
        """Make room for one more question, for `qname`, from `address`. Why there can be none, empty when there is."""
        holder = self._holders.get(self._key(address))
        if holder is not None and holder.waiting >= self._max_per_client:
            return FULL if self.is_full else FULL_FOR_CLIENT
        if 2 * len(self._in_flight) > self._max_in_flight:
            self._lose_patience(now)
        has_share = holder is not None and holder.held >= max(self._fair_share, self._max_in_flight // SMALL_PART, 1)
        domain = domain_of(qname)
        if self._domains.get(domain, 0) >= max(self._max_in_flight // DOMAIN_PART, 1):
            spare = None if has_share else self._spare(domain)
            if spare is None:
                return FULL_FOR_DOMAIN
            self.shed(spare, MADE_ROOM)
        if self.is_full:
            if has_share:
                return FULL
            self.shed(self._dispensable(), MADE_ROOM)
        return FULL if self.is_full else ""

    def start(self, forward: Forward, now: float, address: str = "") -> ReferenceFlight:
        """A new flight for `forward`, which has none. `address` is of the client that it is for, if it is for one."""
        holder = self._holder(address)
        flight = self._in_flight[forward.key] = ReferenceFlight(forward, now, holder)
        self._domains[flight.domain] = self._domains.get(flight.domain, 0) + 1
        self._unrank(holder)
        holder.in_flight[flight] = None
        self._rank(holder)
        return flight

    def join(self, flight: ReferenceFlight, port: int, waiter: Waiter) -> bool:
        """Let `waiter` wait. False when too many do. A client's own retransmission takes its earlier place: one answer."""
        place = (waiter.address, port, waiter.query.id)
        if place not in flight.waiters:
            holder = self._holders.get(self._key(waiter.address))
            if flight.waiters and (
                len(flight.waiters) >= MAX_WAITERS
                or self._waiting >= max(MAX_WAITERS_ON_AVERAGE * self._max_in_flight, MAX_WAITERS)
                or (holder is not None and holder.waiting >= self._max_per_client)
            ):
                return False
            self._count_in(waiter)
        flight.waiters[place] = waiter
        return True

    def land(self, flight: ReferenceFlight) -> list[Waiter]:
        """End `flight`; whoever waited, in order of arrival."""
        if self._in_flight.get(flight.forward.key) is flight:
            del self._in_flight[flight.forward.key]
            left = self._domains[flight.domain] - 1
            if left:
                self._domains[flight.domain] = left
            else:
                del self._domains[flight.domain]
            holder = flight.holder
            self._unrank(holder)
            del holder.in_flight[flight]
            self._rank(holder)
            self._forget(holder)
        return self.release(flight)

    def release(self, flight: ReferenceFlight) -> list[Waiter]:
        """Whoever waits for `flight`, which goes on without them."""
        waiters = list(flight.waiters.values())
        flight.waiters.clear()
        for waiter in waiters:
            self._count_out(waiter)
        return waiters

    def _count_in(self, waiter: Waiter) -> None:
        self._holder(waiter.address).waiting += 1
        self._waiting += 1

    def _count_out(self, waiter: Waiter) -> None:
        holder = self._holder(waiter.address)
        holder.waiting -= 1
        self._waiting -= 1
        self._forget(holder)

    def _holder(self, address: str) -> Holder:
        key = self._key(address)
        holder = self._holders.get(key)
        if holder is None:
            holder = self._holders[key] = Holder(key)
        return holder

    def _key(self, address: str) -> tuple[int, int]:
        if not address:
            return 0, 0
        parsed = ip_address(address)
        return parsed.version, int(parsed) >> self._bits[parsed.version]

    @property
    def _fair_share(self) -> int:
        """What each client with questions in flight would have if all had as many."""
        return max(len(self._in_flight) // max(self._holding, 1), 1)

    def _lose_patience(self, now: float) -> None:
        """The fewer places are left, the sooner the oldest questions of clients with their share end."""
        for _ in range(ENDED_AT_ONCE):
            free = (self._max_in_flight - len(self._in_flight)) / self._max_in_flight
            oldest = self._spare(None)
            if oldest is None or now - oldest.started_s <= self._patience_s * max(2 * free, LEAST_PATIENCE):
                return
            self.shed(oldest, IMPATIENT)

    def _dispensable(self) -> ReferenceFlight:
        """Of the client that has most, if that is far more than others have, and else the oldest of one that has its share."""
        largest = next(reversed(self._ranked[self._most]))
        oldest = next(iter(largest.in_flight))
        if largest.held > max(2 * self._fair_share, self._max_in_flight // SMALL_PART):
            return oldest
        return self._spare(None) or oldest

    def _spare(self, domain: bytes | None) -> ReferenceFlight | None:
        """One of the oldest, of a client that has its share; of `domain`, unless that is None."""
        share = self._fair_share
        for flight in islice(self._in_flight.values(), LOOKED_AT):
            if flight.holder.held >= share and (domain is None or flight.domain == domain):
                return flight
        return None

    def _rank(self, holder: Holder) -> None:
        if holder.held:
            self._holding += 1
            if holder.held == len(self._ranked):
                self._ranked.append({})
            self._ranked[holder.held][holder] = None
            self._most = max(self._most, holder.held)

    def _unrank(self, holder: Holder) -> None:
        if holder.held:
            self._holding -= 1
            del self._ranked[holder.held][holder]
            if holder.held == self._most and not self._ranked[self._most]:
                self._most -= 1

    def _forget(self, holder: Holder) -> None:
        if not (holder.held or holder.waiting) and self._holders.get(holder.key) is holder:
            del self._holders[holder.key]
