"""Who makes room among questions in flight, in whatever order they come: in Python and compiled."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pdns.config.schema import Access
from pdns.core import in_flight as specification
from pdns.core.clients import ClientTable
from pdns.core.in_flight import Waiter
from pdns.core.outcome import Forward
from pdns.fast import in_flight as fast
from pdns.fast import query as fast_query
from pdns.reference.in_flight import ReferenceInFlight
from pdns.reference.query import parse_query
from pdns.wire.names import domain_of, from_text
from pdns.wire.transport import Transport
from tests.wire import query_wire

KINDS: list[Any] = [ReferenceInFlight, fast.InFlight]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 5), st.integers(0, 4)),
        st.tuples(st.just("burst"), st.integers(0, 5), st.integers(0, 4)),
        st.tuples(st.just("land"), st.integers(0, 99), st.just(0)),
        st.tuples(st.just("later"), st.integers(0, 60), st.just(0)),
    ),
    max_size=60,
)
_CLIENT = ClientTable(Access(), (), ()).lookup("127.0.0.1")


class Side:
    """Questions in flight of one kind, and what became of them, told by a plain model."""

    def __init__(self, kind: Any, most: int) -> None:
        self.in_flight = kind(most, 1000, 10.0)
        self.in_flight.shed = self.shed
        self.most = most
        self.there: dict[bytes, tuple[int, int, Any]] = {}  # client, domain, flight
        self.said: list[tuple[bytes, str]] = []
        self.now = 1000.0

    def held(self) -> Counter[int]:
        return Counter(client for client, _domain, _flight in self.there.values())

    def shed(self, flight: Any, why: str) -> None:
        key = next(key for key, (_client, _domain, one) in self.there.items() if one is flight)
        held = self.held()
        own = held[self.there[key][0]]
        assert own >= len(self.there) // len(held) or own == max(held.values()), "a client below its share was evicted"
        assert [waiter.address for waiter in self.in_flight.land(flight)] == [f"10.0.0.{self.there[key][0]}"]
        del self.there[key]
        self.said.append((key, why))

    def ask(self, number: int, client: int, domain: int) -> None:
        key, qname, address = b"k%d" % number, from_text(f"n{number}.d{domain}.example"), f"10.0.0.{client}"
        why = self.in_flight.room(address, qname, self.now)
        self.said.append((key, why))
        held = self.held()
        if why:
            share = max(len(self.there) // max(len(held), 1), self.most // 64, 1)
            assert held[client] >= share or why == specification.FULL_FOR_DOMAIN, "a client below its share was refused"
            return
        flight = self.in_flight.start(Forward(key, qname, 1, 1, do=False, cd=False, policy=0), self.now, address)
        query = parse_query(query_wire("a.example", query_id=number))
        assert self.in_flight.join(flight, 1, Waiter(query, _CLIENT, address, Transport.TCP, lambda _wire: None, self.now))
        self.there[key] = client, domain, flight
        assert len(self.in_flight) == len(self.there) <= self.most

    def land(self, number: int) -> None:
        if self.there:
            key = list(self.there)[number % len(self.there)]
            assert len(self.in_flight.land(self.there.pop(key)[2])) == 1


@given(st.integers(1, 40), STEPS)
def test_no_client_below_its_share_makes_room(most: int, steps: list[tuple[str, int, int]]) -> None:
    """Nor is one refused while others have more. Both implementations refuse and evict the same."""
    sides = [Side(kind, most) for kind in KINDS]
    number = 0
    for what, first, second in steps:
        for side in sides:
            if what == "land":
                side.land(first)
            elif what == "later":
                side.now += first / 10
            else:
                for more in range(1 if what == "ask" else 12):
                    side.ask(number + more, first, 10 * more + second if second == 4 else second)
        number += 12
        assert all(side.said == sides[0].said for side in sides)
    for side in sides:
        while side.there:
            side.land(0)
        assert len(side.in_flight) == 0


@given(st.lists(st.sampled_from([b"a", b"co", b"gov", b"uk", b"com", b"example", b"x" * 62]), max_size=4))
def test_domains_are_the_same_on_both(labels: list[bytes]) -> None:
    """The last labels that somebody registered."""
    wire = query_wire(".".join(label.decode() for label in labels) or ".")
    query = parse_query(wire)
    domain = domain_of(query.qname)
    assert query.qname.endswith(domain)
    assert fast_query.parse_query(wire).domain == domain


def test_domains_below_suffixes_of_countries_are_apart() -> None:
    """Two councils are not one domain."""
    for name, domain in [
        ("www.leeds.gov.uk", "leeds.gov.uk"),
        ("a.b.example.co.nz", "example.co.nz"),
        ("www.example.com", "example.com"),
        ("www.library.uk", "library.uk"),
        ("gov.uk", "gov.uk"),
        ("uk", "uk"),
        (".", "."),
    ]:
        assert domain_of(from_text(name)) == from_text(domain)
