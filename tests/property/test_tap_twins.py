"""Copies of queries for taps: the kernel and its specification write the same bytes, and never more of a client than events."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.core.client_identity import ADDRESS, PSEUDONYM, ClientView
from pdns.fast.query_tap import QueryTap
from pdns.reference.query_tap import ReferenceQueryTap
from pdns.telemetry.ring import PREFIX_BYTES, RingReader
from pdns.telemetry.tap_ring import RECORD_BYTES, SAMPLED, TAPPED, TapRecord, decoded, map_tap_ring, new_tap_ring
from tests.effort import examples
from tests.property.test_twins import _RAW, _VARIANTS, STEPS, _Side
from tests.wire import query_wire

VIEWS = {
    "none": ClientView(),
    "prefix": ClientView(ADDRESS, 20, 45),
    "hash": ClientView(PSEUDONYM),
    "full": ClientView(ADDRESS),
}
SUBNET = b"\0\x08\0\x08\0\x01\x20\0\xc6\x33\x64\x07"  # Client Subnet: 198.51.100.7/32
ADDRESS_ASKING = "127.0.0.1"


class _TappingSide(_Side):
    """A service that copies queries."""

    def __init__(self, raw: dict[str, Any], *, compiled: bool) -> None:
        super().__init__(raw, compiled=compiled)
        self.ring = map_tap_ring(new_tap_ring(256), writable=True)
        self.reader = RingReader(self.ring)
        make = QueryTap if compiled else ReferenceQueryTap
        self.tap = make(self.ring, b"secret", {"default": 1, "north": 2, "south": 3}.__getitem__)
        where: Any = self.service.fast_path if compiled else self.service
        where.copy_in(self.tap)

    def written(self) -> list[bytes]:
        return [self.whole(raw) for _, raw in self.reader.take()]

    def whole(self, raw: bytes) -> bytes:
        """A record without what was there before."""
        return raw[: PREFIX_BYTES + 34 + len(decoded(raw).message)]

    def finish(self) -> None:
        self.end()
        self.ring.close()


@examples(60)
@given(
    st.sampled_from(_VARIANTS), STEPS, st.sampled_from(list(VIEWS)),
    st.frozensets(st.sampled_from(["default", "north", "south"])), st.integers(0, 3), st.integers(1, 3),
)  # fmt: skip
def test_services_copy_alike(
    variant: dict[str, Any], steps: list[tuple[Any, ...]], view: str, tapped: frozenset[str], every: int, first: int
) -> None:
    """Whatever comes: the same records, and the same answers."""
    sides = [_TappingSide({**_RAW, **variant}, compiled=compiled) for compiled in (False, True)]
    try:
        for side in sides:
            side.tap.configure(lambda _tenant: VIEWS[view], tapped, every, min(first, every))
        for number, (what, *how) in enumerate(steps):
            for side in sides:
                if what in ("ask", "ask_with"):
                    getattr(side, what)(number, *how)
                elif what == "answer":
                    side.upstream.answer_all(fail=how[0])
            assert sides[1].written() == sides[0].written()
        assert sides[1].sent == sides[0].sent
    finally:
        for side in sides:
            side.finish()


def records(side: _TappingSide) -> list[TapRecord]:
    return [decoded(raw) for _, raw in side.reader.take()]


@pytest.mark.parametrize("compiled", [False, True])
def test_every_nth_query_and_all_of_a_tenant(compiled: bool) -> None:
    """A sample begins where it is told; strangers and what is refused are in it. What is no query is not."""
    side = _TappingSide(_RAW, compiled=compiled)
    side.tap.configure(lambda _tenant: ClientView(), frozenset(), 3, 2)
    for number in range(9):
        side.ask(number, query_wire(f"n{number}.example", query_id=number), "8.8.8.8" if number == 4 else ADDRESS_ASKING, "udp")
        side.ask(number, b"\0" * 11, ADDRESS_ASKING, "udp")
    found = records(side)
    assert [dns.message.from_wire(record.message).id for record in found] == [1, 4, 7]
    assert {(record.flags, record.transport, record.client, record.at_s) for record in found} == {(SAMPLED, "udp", "", side.now)}
    tenants = {1: "default", 2: "north", 3: "south"}
    ours = tenants[found[0].series]
    side.tap.configure(lambda _tenant: ClientView(ADDRESS), frozenset([ours]), 0, 0)
    side.ask(1, query_wire("a.example"), ADDRESS_ASKING, "tcp")
    assert [(record.flags, record.transport, record.client) for record in records(side)] == [(TAPPED, "tcp", ADDRESS_ASKING)]
    side.tap.configure(lambda _tenant: ClientView(), frozenset(["other"]), 0, 0)
    side.ask(1, query_wire("a.example"), ADDRESS_ASKING, "tcp")
    assert records(side) == []
    side.finish()


@pytest.mark.parametrize("compiled", [False, True])
def test_no_option_is_copied(compiled: bool) -> None:
    """A forwarder names its client in EDNS Client Subnet: the copy has neither that address nor that of the forwarder."""
    side = _TappingSide(_RAW, compiled=compiled)
    side.tap.configure(lambda _tenant: ClientView(), frozenset(), 1, 1)
    side.ask_with(1, query_wire("www.example", edns=None), ADDRESS_ASKING, "udp", SUBNET, 1400)
    ((_, raw),) = side.reader.take()
    message = dns.message.from_wire(decoded(raw).message)
    assert (message.edns, message.payload, message.options) == (0, 1400, ())
    assert str(message.question[0]) == "www.example. IN A"
    for address in ("198.51.100.7", ADDRESS_ASKING):
        assert ip_address(address).packed not in raw
    side.finish()


def test_the_longest_query_fits() -> None:
    """A name of 255 bytes with EDNS, in both; a record that no worker can have written is refused."""
    for compiled in (False, True):
        side = _TappingSide(_RAW, compiled=compiled)
        side.tap.configure(lambda _tenant: ClientView(), frozenset(), 1, 1)
        name = ".".join(["x" * 63, "y" * 63, "z" * 63, "w" * 61])
        side.ask(1, query_wire(name, edns=1232), ADDRESS_ASKING, "udp")
        (record,) = records(side)
        assert len(record.message) == 12 + 255 + 4 + 11
        side.finish()
    with pytest.raises(ValueError, match="not a query"):
        decoded(b"\xff" * RECORD_BYTES)
