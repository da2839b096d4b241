"""What of an upstream's message becomes an entry, and for how long."""

from __future__ import annotations

import pytest

from pdns.core.outcome import Forward
from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from tests.unit.core.conftest import SOA, Standstill
from tests.wire import answers, query, read, response_wire


@pytest.mark.parametrize(("ttl_s", "lived_s"), [(0, 0), (1, 1), (300, 300), (86400, 86400), (604800, 86400), (2147483647, 86400)])
def test_ttl_bounds(ttl_s: int, lived_s: int) -> None:
    """No answer lives longer than its TTL or the configured bound; TTL 0 is not kept."""
    entry = Standstill().forwarded("www.example", "A", f"www.example {ttl_s} IN A 192.0.2.1")
    assert entry.expires_s - entry.stored_s == lived_s


def test_a_ttl_with_the_sign_bit_is_huge_not_zero() -> None:
    """RFC 8767, section 4: such a TTL is bounded like any large one."""
    wire = bytearray(response_wire("www.example", "A", "www.example 1 IN A 192.0.2.1"))
    at = wire.rindex(b"\0\0\0\1\0\4")
    wire[at] = 0x80
    world = Standstill()
    forward = world.ask("www.example")
    assert isinstance(forward, Forward)
    entry = world.resolver.on_answer(forward, parse_message(bytes(wire)), 0.0)
    assert entry.expires_s == 86400


@pytest.mark.parametrize(
    ("authority", "lived_s"),
    [
        (SOA, 300),
        ("example 60 IN SOA ns.example. host.example. 1 2 3 4 300", 60),
        ("example 90000 IN SOA ns.example. host.example. 1 2 3 4 90000", 3600),
        ("", 0),
        ("other.test 900 IN SOA ns.example. host.example. 1 2 3 4 300", 0),
    ],
)
@pytest.mark.parametrize("rcode", [p.NOERROR, p.NXDOMAIN])
def test_negative_answers_live_as_their_soa_says(authority: str, lived_s: int, rcode: int) -> None:
    """RFC 2308: the least of SOA TTL, its minimum and the bound; without an SOA at or above the name, not at all."""
    entry = Standstill().forwarded("no.example", "A", authority=authority, rcode=rcode)
    assert (entry.rcode, entry.expires_s - entry.stored_s) == (rcode, lived_s)


def test_foreign_records_are_left_behind() -> None:
    """Records of other names in an answer, and the authority and additional sections of a positive one, go no further."""
    world = Standstill()
    zone = "www.example 300 IN A 192.0.2.1\nwww.good.com 300 IN A 203.0.113.66"
    world.forwarded("www.example", "A", zone, authority="com 300 IN NS evil.test", additional="ns.com 300 IN A 203.0.113.66")
    reply = read(world.wire("www.example"))
    assert ([str(r.rname) for r in reply.rr], reply.auth, [r.rtype for r in reply.ar]) == (["www.example."], [], [p.OPT])


def test_negative_answers_keep_their_soa_and_proofs() -> None:
    """Without DO only the SOA is kept, with DO the proofs and what signs them as well; NS records and their signatures never."""
    authority = (
        "example 300 IN NS ns.example.\n" + SOA + "\nexample 300 IN NSEC z.example. A RRSIG\n"
        "example 300 IN RRSIG SOA 13 1 300 20301231000000 20200101000000 1 example. AAAA\n"
        "example 300 IN RRSIG NS 13 1 300 20301231000000 20200101000000 1 example. AAAA"
    )
    world = Standstill()
    plain = world.forwarded("no.example", "A", authority=authority, rcode=p.NXDOMAIN)
    assert [r.rtype for r in read(plain.render(query("no.example"), 1000.0, 1232)).auth] == [p.SOA]
    signed = world.forwarded("no.example", "A", authority=authority, rcode=p.NXDOMAIN, options={"do": True})
    assert [r.rtype for r in read(signed.render(query("no.example", do=True), 1000.0, 1232)).auth] == [p.SOA, p.NSEC, p.RRSIG]


def test_a_wildcards_proof_is_kept_for_do() -> None:
    """A positive answer's NSEC proof goes only to clients that ask for DNSSEC."""
    zone, authority = "w.example 300 IN A 192.0.2.1", "example 300 IN NS ns.example.\na.example 300 IN NSEC z.example. A"
    world = Standstill()
    signed = world.forwarded("w.example", "A", zone, authority=authority, options={"do": True})
    assert [r.rtype for r in read(signed.render(query("w.example", do=True), 1000.0, 1232)).auth] == [p.NSEC]
    assert not read(world.forwarded("w.example", "A", zone, authority=authority).render(query("w.example"), 1000.0, 1232)).auth


def test_an_owner_spelled_in_our_random_case_is_not_passed_on() -> None:
    """An upstream that repeats our 0x20 case in full in its records does not make clients see it."""
    wire = response_wire("www.example", "A", "www.example 300 IN A 192.0.2.1").replace(b"\xc0\x0c", b"\3wWw\7eXamplE\0")
    world = Standstill()
    forward = world.ask("www.example")
    assert isinstance(forward, Forward)
    world.resolver.on_answer(forward, parse_message(wire), 1000.0)
    assert b"eXamplE" not in world.wire("www.example")
    assert answers(world.wire("www.example")) == ["192.0.2.1"]
