"""DNS64: addresses, synthesised answers, and names of addresses, by the examples of RFC 6052, 6147 and 7050."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import msgspec
import pytest

from pdns.config.schema import Dns64
from pdns.core.chain import follow
from pdns.core.dns64 import Translation
from pdns.core.entry import Entry
from pdns.core.outcome import Answer, Forward
from pdns.wire import names
from pdns.wire import protocol as p
from pdns.wire.message import Message, parse_message
from tests.unit.core.conftest import SOA, Standstill, make_config
from tests.wire import answers, ede, read, response_wire

ON: dict[str, Any] = {"dns64": {"prefix": "2001:db8:64::/96"}}
MARK = (29, "DNS64 2001:db8:64::/96")


def translation(prefix: str = "2001:db8:64::/96", **keys: Any) -> Translation:
    return Translation(Dns64(prefix=prefix, **keys))


RFC_6052 = [  # section 2.4
    ("2001:db8::/32", "2001:db8:c000:221::"),
    ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
    ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
    ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
    ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100:0"),
    ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
]


@pytest.mark.parametrize(("prefix", "address"), RFC_6052)
def test_the_table_of_rfc_6052(prefix: str, address: str) -> None:
    """Each prefix length, there and back."""
    one, ipv4 = translation(prefix), IPv4Address("192.0.2.33").packed
    assert str(IPv6Address(one.embed(ipv4))) == str(IPv6Address(address))
    assert one.extract(IPv6Address(address).packed) == ipv4


@pytest.mark.parametrize(
    "address", ["2001:db8:122:344:1c0:2:2100:0", "2001:db8:122:344:c0:2:2100:1", "2001:db8:122:345:c0:2:2100:0"]
)
def test_what_is_not_an_embedded_address(address: str) -> None:
    """Bits that must be zero, and other prefixes."""
    assert translation("2001:db8:122:344::/64").extract(IPv6Address(address).packed) is None


@pytest.mark.parametrize("text", ["0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.0.1", "172.16.0.1", "192.168.0.1"])
def test_private_addresses_have_no_well_known_prefix(text: str) -> None:
    """RFC 6052, 3.1: they are not global. A prefix of one's own may lead to them."""
    assert not translation("64:ff9b::/96").maps(ip_address(text).packed)
    assert translation().maps(ip_address(text).packed)
    assert not translation(ipv4_exclude=(f"{text}/32",)).maps(ip_address(text).packed)


# Answers to AAAA, asked through a resolver.


def ask(
    world: Standstill, aaaa: bytes, a: bytes | None, *, name: str = "h2.example", now: float = 1000.0, **options: Any
) -> Entry:
    """What follows from the answers to AAAA and A; `a` is None where A must not be asked."""
    forward = world.ask(name, "AAAA", now=now, **options)
    assert isinstance(forward, Forward)
    first = parse_message(aaaa)
    further = world.resolver.further(forward, first)
    if a is None:
        assert further is None
        return world.resolver.on_answer(forward, first, now)
    assert further is not None
    assert (further.asked_name, further.asked_type, further.key) == (forward.qname, p.A, forward.key)
    second = parse_message(a)
    assert world.resolver.further(further, second) is None
    return world.resolver.on_answer(further, second, now)


def nodata(name: str = "h2.example", *zones: str, soa: str = SOA) -> bytes:
    return response_wire(name, "AAAA", *zones, authority=soa)


def test_the_example_of_rfc_6147() -> None:
    """Section 7.1: `h2` has an A record alone. The answer lives as long as both answers allow, is marked, and is cached."""
    world = Standstill(**ON)
    a = response_wire("h2.example", "A", "h2.example 600 IN A 192.0.2.1", ad=1)
    entry = ask(world, nodata(), a)
    assert (entry.source, entry.ad, entry.expires_s) == ("upstream", False, 1300.0)
    for _ in range(2):
        wire = world.wire("h2.example", "AAAA", ad=1)
        assert answers(wire) == ["2001:db8:64::c000:201"]
        assert read(wire).rr[0].ttl == 300
        assert not read(wire).header.ad
        assert ede(wire) == MARK


@pytest.mark.parametrize(
    ("soa", "a_ttl_s", "expected_s"),
    [
        (SOA, 100, 100),
        (SOA, 4000, 300),  # the minimum of the SOA
        (SOA.replace("900 IN", "20 IN"), 4000, 20),
        ("", 4000, 600),
        ("example 900 IN NS ns.example.", 4000, 600),
        ("", 30, 30),
    ],
)
def test_the_ttl(soa: str, a_ttl_s: int, expected_s: int) -> None:
    """Section 5.1.7: the least of the A record, the negative answer, and 600 s where that does not say."""
    entry = ask(Standstill(**ON), nodata(soa=soa), response_wire("h2.example", "A", f"h2.example {a_ttl_s} IN A 192.0.2.1"))
    assert entry.ttls == ((6, expected_s),)


def test_chains_are_kept() -> None:
    """Section 5.1.5: CNAME and DNAME records stand before the addresses of the last name."""
    chain = (
        "www.old.example 50 IN CNAME www.new.example.\n"
        "old.example 60 IN DNAME new.example.\n"
        "www.new.example 70 IN CNAME h2.example."
    )
    world = Standstill(**ON)
    a = response_wire("www.old.example", "A", chain, "h2.example 80 IN A 192.0.2.1\nh2.example 80 IN A 192.0.2.2")
    ask(world, nodata("www.old.example", chain), a, name="www.old.example")
    wire = world.wire("www.old.example", "AAAA")
    assert [(str(record.rname), record.rtype) for record in read(wire).rr] == [
        ("old.example.", p.DNAME),
        ("www.old.example.", p.CNAME),
        ("www.new.example.", p.CNAME),
        *[("h2.example.", p.AAAA)] * 2,
    ]
    assert sorted(answers(wire)[1:]) == ["2001:db8:64::c000:201", "2001:db8:64::c000:202", "h2.example.", "www.new.example."]


def test_excluded_addresses_count_as_absent() -> None:
    """Section 5.1.4: an answer with nothing else leads to A; others lose them, and their signatures."""
    zone = "h2.example 60 IN AAAA ::ffff:192.0.2.9"
    world = Standstill(**ON)
    ask(world, nodata("h2.example", zone), response_wire("h2.example", "A", "h2.example 60 IN A 192.0.2.1"))
    assert answers(world.wire("h2.example", "AAAA")) == ["2001:db8:64::c000:201"]
    signature = "h1.example 60 IN RRSIG AAAA 13 2 300 20300101000000 20200101000000 1 example. AAAA"
    zone = f"h1.example 60 IN AAAA ::ffff:192.0.2.9\nh1.example 60 IN AAAA 2001:db8::1\n{signature}"
    entry = ask(world, nodata("h1.example", zone), None, name="h1.example", do=True)
    assert entry.counts == b"\0\1\0\0"
    assert answers(world.wire("h1.example", "AAAA", do=True)) == ["2001:db8::1"]


@pytest.mark.parametrize(
    "aaaa",
    [
        response_wire("h2.example", "AAAA", "h2.example 60 IN AAAA 2001:db8::1"),
        response_wire("h2.example", "AAAA", authority=SOA, rcode=p.NXDOMAIN),
        response_wire("h2.example", "AAAA", "h2.example 9 IN CNAME x.example.", authority=SOA, rcode=p.NXDOMAIN),
    ],
)
def test_other_answers_are_given_as_they_are(aaaa: bytes) -> None:
    """Section 5.1.1 and 5.1.2: a name with an IPv6 address, and a name that does not exist."""
    entry = ask(Standstill(**ON), aaaa, None)
    assert (entry.source, entry.ede) == ("upstream", None)


@pytest.mark.parametrize(
    "a",
    [
        response_wire("h2.example", "A", authority=SOA),
        response_wire("h2.example", "A", authority=SOA, rcode=p.NXDOMAIN),
        response_wire("h2.example", "A", "h2.example 60 IN A 10.0.0.1"),
    ],
)
def test_without_an_ipv4_address_the_answer_is_that_to_aaaa(a: bytes) -> None:
    """Section 5.1.6: NODATA with its SOA. An excluded IPv4 address is not one."""
    world = Standstill(dns64={"prefix": "64:ff9b::/96"})
    entry = ask(world, nodata(), a)
    assert (entry.rcode, entry.counts, entry.ede, entry.expires_s) == (p.NOERROR, b"\0\0\0\1", None, 1300.0)


def test_clients_that_validate_get_what_is_signed() -> None:
    """Section 5.5: with DO and CD nothing is synthesised. With DO alone it is: pdns does not validate."""
    a = response_wire("h2.example", "A", "h2.example 60 IN A 192.0.2.1")
    world = Standstill(**ON)
    assert ask(world, nodata(), None, do=True, cd=1).counts == b"\0\0\0\1"
    for options in ({"do": True}, {"cd": 1}, {}):
        assert ask(world, nodata(), a, **options).counts == b"\0\1\0\0"
        assert answers(world.wire("h2.example", "AAAA", **options)) == ["2001:db8:64::c000:201"]


def test_signatures_of_a_records_are_left_out() -> None:
    """They sign nothing that is in the answer; those of the CNAME stay."""
    sign = "IN RRSIG {} 13 2 300 20300101000000 20200101000000 1 example. AAAA"
    zone = (
        f"h2.example 60 IN CNAME h3.example.\nh2.example 60 {sign.format('CNAME')}\n"
        f"h3.example 60 IN A 192.0.2.1\nh3.example 60 {sign.format('A')}"
    )
    world = Standstill(**ON)
    ask(world, nodata(), response_wire("h2.example", "A", zone), do=True)
    types = [record.rtype for record in read(world.wire("h2.example", "AAAA", do=True)).rr]
    assert types == [p.CNAME, p.RRSIG, p.AAAA]


def failed(world: Standstill, rcode: int = p.SERVFAIL) -> tuple[Forward, Message, Forward | None]:
    forward = world.ask("h2.example", "AAAA")
    assert isinstance(forward, Forward)
    message = parse_message(response_wire("h2.example", "AAAA", rcode=rcode))
    return forward, message, world.resolver.further_after_failure(forward, message, 1000.0)


@pytest.mark.parametrize("rcode", [p.SERVFAIL, p.REFUSED, p.NOTIMP, p.FORMERR])
def test_a_failure_counts_as_an_empty_answer(rcode: int) -> None:
    """Section 5.1.2: A is asked; without an address the failure stays one."""
    world = Standstill(**ON)
    _, _, further = failed(world, rcode)
    assert further is not None
    a = parse_message(response_wire("h2.example", "A", "h2.example 5000 IN A 192.0.2.1"))
    assert world.resolver.on_answer(further, a, 1000.0).ttls == ((6, 600),)
    world = Standstill(**ON)
    _, _, further = failed(world, rcode)
    assert further is not None
    empty = parse_message(response_wire("h2.example", "A", authority=SOA))
    assert world.resolver.on_answer(further, empty, 1000.0).rcode == p.SERVFAIL
    assert world.resolver.further_after_failure(further, empty, 1000.0) is None


def test_a_loop_is_a_failure() -> None:
    """A chain that cannot be followed leads to no question for A."""
    loop = "h2.example 9 IN CNAME h3.example.\nh3.example 9 IN CNAME h2.example."
    assert ask(Standstill(**ON), nodata("h2.example", loop), None).rcode == p.SERVFAIL


def test_a_failure_may_hold_records() -> None:
    """What an upstream says beside a failure is not read."""
    world = Standstill(**ON)
    forward = world.ask("h2.example", "AAAA")
    assert isinstance(forward, Forward)
    loop = "h2.example 9 IN CNAME h3.example.\nh3.example 9 IN CNAME h2.example."
    further = world.resolver.further_after_failure(
        forward, parse_message(response_wire("h2.example", "AAAA", loop, rcode=p.SERVFAIL)), 1000.0
    )
    assert further is not None
    empty = parse_message(response_wire("h2.example", "A", authority=SOA))
    assert world.resolver.on_answer(further, empty, 1000.0).rcode == p.SERVFAIL


def test_no_answer_at_all_is_a_failure() -> None:
    """An upstream that does not answer is not asked again: no client waits that long."""
    world = Standstill(**ON)
    forward, message, _ = failed(world)
    assert world.resolver.further_after_failure(forward, None, 1000.0) is None
    assert Standstill().resolver.further_after_failure(forward, message, 1000.0) is None


def test_a_stale_answer_goes_before_a_failure() -> None:
    """An address of the name itself that has expired is better than one through the NAT64."""
    world = Standstill(**ON)
    ask(world, response_wire("h2.example", "AAAA", "h2.example 60 IN AAAA 2001:db8::1"), None)
    forward = world.ask("h2.example", "AAAA", now=1100.0)
    assert isinstance(forward, Forward)
    message = parse_message(response_wire("h2.example", "AAAA", rcode=p.SERVFAIL))
    assert world.resolver.further_after_failure(forward, message, 1100.0) is None


# Blocking.


def test_a_listed_address_is_found_behind_the_prefix() -> None:
    """What leads to a listed IPv4 address is blocked, and so is a listed name."""
    world = Standstill(**ON)
    assert ask(world, nodata(), response_wire("h2.example", "A", "h2.example 60 IN A 203.0.113.7")).source == "blocked"
    zone = "h4.example 60 IN CNAME malware.test.\nmalware.test 60 IN A 192.0.2.1"
    assert ask(world, nodata("h4.example"), response_wire("h4.example", "A", zone), name="h4.example").source == "blocked"
    assert world.answer("malware.test", "AAAA").source == "blocked"


def test_a_private_address_is_found_behind_the_prefix() -> None:
    """The protection from DNS rebinding looks behind the prefix too."""
    world = Standstill(rebinding={"block_private_answers": True}, **ON)
    assert ask(world, nodata(), response_wire("h2.example", "A", "h2.example 60 IN A 10.0.0.7")).source == "local"


# Changes of the configuration.


def configured(world: Standstill, **sections: Any) -> None:
    world.resolver.adopt(
        world.resolver.rules.with_config(msgspec.structs.replace(world.config, dns64=make_config(**sections).dns64))
    )


def test_a_change_holds_for_cached_answers() -> None:
    """Turned on, off or with another prefix: what was cached before and would be another answer now is asked again."""
    a = response_wire("h2.example", "A", "h2.example 600 IN A 192.0.2.1")
    world = Standstill()
    world.forwarded("h2.example", "AAAA", authority=SOA)
    world.forwarded("six.example", "AAAA", "six.example 600 IN AAAA 2001:db8::6")
    configured(world, **ON)
    ask(world, nodata(), a)
    assert answers(world.wire("h2.example", "AAAA")) == ["2001:db8:64::c000:201"]
    configured(world, **ON)
    assert answers(world.wire("h2.example", "AAAA")) == ["2001:db8:64::c000:201"]
    configured(world, dns64={"prefix": "2001:db8:65::/96"})
    ask(world, nodata(), a)
    assert answers(world.wire("h2.example", "AAAA")) == ["2001:db8:65::c000:201"]
    assert answers(world.wire("six.example", "AAAA")) == ["2001:db8::6"]
    configured(world, dns64={"prefix": "2001:db8:65::/96", "exclude": ["2001:db8::/32"]})
    assert isinstance(world.ask("six.example", "AAAA"), Forward)
    configured(world)
    assert isinstance(world.ask("h2.example", "AAAA"), Forward)


def test_ipv4only_arpa_is_no_longer_taken_from_the_cache() -> None:
    """Turned on, the answer of an upstream to `ipv4only.arpa` does not stay."""
    world = Standstill()
    world.forwarded("ipv4only.arpa", "A", "ipv4only.arpa 900 IN A 192.0.2.66")
    configured(world, **ON)
    assert isinstance(outcome := world.ask("ipv4only.arpa", "A"), Answer)
    assert outcome.source == "local"


def test_more_records_than_fit_are_left_out() -> None:
    """A response with thousands of A records becomes one that is not too long."""
    one = translation()
    records = "\n".join(f"h2.example 60 IN A 192.0.{n // 256}.{n % 256}" for n in range(3000))
    message = parse_message(response_wire("h2.example", "A", records))
    chain = follow(message, names.from_text("h2.example"), p.A, do=False)
    made = one.synthesised(parse_message(nodata()), message, chain)
    assert made is not None
    assert len(made.wire) <= 65535
    assert len(made.answer) > 2000


SOME: dict[str, Any] = {
    "dns64": {"prefix": "2001:db8:64::/96", "networks": ["10.6.0.0/16", "fd00:6::/32"]},
    "tenant": [{"name": "north", "networks": ["10.0.0.0/8"], "allow": ["bad.example"]}],
}


@pytest.mark.parametrize(("address", "others"), [("10.6.0.1", "10.7.0.1"), ("fd00:6::1", "fd00:7::1")])
def test_some_clients_are_served(address: str, others: str) -> None:
    """Clients of the networks get synthesised addresses, others what the upstream says, each from the cache too."""
    world = Standstill(**SOME)
    a = response_wire("h2.example", "A", "h2.example 60 IN A 192.0.2.1")
    ask(world, nodata(), a, address=address)
    ask(world, nodata(), None, address=others)
    for _ in range(2):
        assert answers(world.wire("h2.example", "AAAA", address=address)) == ["2001:db8:64::c000:201"]
        assert answers(world.wire("h2.example", "AAAA", address=others)) == []
    assert isinstance(world.ask("ipv4only.arpa", "AAAA", address=others), Forward)
    assert isinstance(world.ask("ipv4only.arpa", "AAAA", address=address), Answer)
    name = ip_address("2001:db8:64::10.0.0.1").reverse_pointer
    assert answers(world.wire(name, "PTR", address=address)) == ["1.0.0.10.in-addr.arpa."]
    assert answers(world.wire(name, "PTR", address=others)) == []


def test_an_allowlist_holds_for_clients_that_are_served() -> None:
    """The policy of a tenant stays what it is in the networks of the DNS64."""
    world = Standstill(**SOME)
    assert isinstance(world.ask("bad.example", address="10.6.0.1"), Forward)
    assert isinstance(world.ask("bad.example", address="10.7.0.1"), Forward)
    assert world.answer("bad.example", address="fd00:6::1").source == "blocked"


def test_a_change_of_the_clients_holds_for_cached_answers() -> None:
    """An answer that was made for all clients is not given to one that is no longer served."""
    world = Standstill(**ON)
    ask(world, nodata(), response_wire("h2.example", "A", "h2.example 60 IN A 192.0.2.1"), address="fd00:7::1")
    configured(world, dns64=SOME["dns64"])
    assert isinstance(world.ask("h2.example", "AAAA", address="fd00:7::1"), Forward)
