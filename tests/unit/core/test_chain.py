"""CNAME chains: kept in order, or refused."""

from __future__ import annotations

import pytest

from pdns.core.chain import substitution_is_too_long
from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from tests.unit.core.conftest import Standstill
from tests.wire import query, read, response_wire


def test_cname_chain_is_kept_in_order() -> None:
    """A chain, and the DNAME that made it, comes out as it came in."""
    zone = (
        "sub.example 300 IN DNAME other.example.\nwww.sub.example 0 IN CNAME www.other.example.\n"
        "www.other.example 60 IN CNAME b.example.\nb.example 300 IN A 192.0.2.9"
    )
    world = Standstill()
    entry = world.forwarded("www.sub.example", "A", zone)
    assert [r.rtype for r in read(entry.render(query("www.sub.example"), 1000.0, 1232)).rr] == [p.DNAME, p.CNAME, p.CNAME, p.A]


@pytest.mark.parametrize(
    "zone",
    [
        pytest.param("www.example 300 IN CNAME a.example.\na.example 300 IN CNAME www.example.", id="loop"),
        pytest.param("www.example 300 IN CNAME www.example.", id="self"),
        pytest.param("www.example 300 IN CNAME a.example.\nwww.example 300 IN CNAME b.example.", id="two CNAMEs"),
        pytest.param(
            "\n".join(f"{'www' if n == 0 else f'h{n}'}.example 300 IN CNAME h{n + 1}.example." for n in range(34)), id="34 hops"
        ),
    ],
)
def test_chains_that_make_no_sense_are_failures(zone: str) -> None:
    """Loops, contradictions and chains over 32 hops become SERVFAIL with a reason."""
    entry = Standstill().forwarded("www.example", "A", zone)
    assert (entry.rcode, entry.source) == (p.SERVFAIL, "error")
    assert entry.ede is not None


def test_a_substitution_is_too_long_only_where_a_chain_leads_to_it() -> None:
    """YXDOMAIN without a question, or with a chain that makes no sense, is no proof of a name over 255 bytes."""
    header = b"\0\1\x81\x86" + bytes(8)
    assert not substitution_is_too_long(parse_message(header))
    loop = response_wire("www.example", "A", "www.example 300 IN CNAME a.example.\na.example 300 IN CNAME www.example.")
    assert not substitution_is_too_long(parse_message(loop))


@pytest.mark.parametrize(
    "records",
    [
        "example 300 IN DNAME evil.test.\nwww.example 300 IN A 192.0.2.1\n",
        "www.example 300 IN CNAME other.test.\nexample 300 IN DNAME evil.test.\nother.test 300 IN A 192.0.2.1\n",
        "other.test 300 IN DNAME evil.test.\nwww.example 300 IN CNAME other.test.\nother.test 300 IN A 192.0.2.1\n",
    ],
)
def test_a_dname_that_made_no_hop_is_left_out(records: str) -> None:
    """It would redirect other names than the one asked for, in the caches of our clients (RFC 6672, 3.1)."""
    entry = Standstill().forwarded("www.example", "A", records.strip())
    assert p.DNAME not in [r.rtype for r in read(entry.render(query("www.example"), 1000.0, 1232)).rr]
    assert entry.rcode == p.NOERROR
