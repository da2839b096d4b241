"""The upstream of one zone says something about another: it is never believed, in no answer and in no later one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.fakes.poison import ABOVE, BESIDE, DENYING, FORGED, LEADING, attack, poisoner, victim_of
from tests.integration.running_pdns import RunningPdns, UpstreamThread

# Who answers for what, and with which address. The first has no zone: it is the upstream of all other names.
ADDRESSES = {"outer.example": "192.0.2.1", "one.example": "192.0.2.2", "two.example": "192.0.2.3", "in.one.example": "192.0.2.4"}
PAIRS = list(itertools.permutations(ADDRESSES, 2))
TRANSPORTS = ["udp", "tcp", "do", "cd"]
NUMBERS = itertools.count()
# Attacks with a DNAME whose owner has the attacker's zone below it.
ABOVE_ITS_ZONE = [
    ("in.one.example", "above", "one.example"),
    *((attacker, way, "outer.example") for attacker in list(ADDRESSES)[1:] for way in ABOVE),
]


class Attacked(NamedTuple):
    pdns: RunningPdns
    upstreams: dict[str, UpstreamThread]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    with ExitStack() as stack:
        upstreams = {zone: stack.enter_context(UpstreamThread(poisoner(own))) for zone, own in ADDRESSES.items()}
        outer, *inner = ADDRESSES
        config: dict[str, Any] = {
            "upstream": {"servers": [upstreams[outer].address]},
            "zone": [{"name": zone, "servers": [upstreams[zone].address]} for zone in inner],
        }
        yield Attacked(stack.enter_context(RunningPdns(tmp_path_factory.mktemp("pdns"), config)), upstreams)


def ask(pdns: RunningPdns, name: str, qtype: str, transport: str) -> dns.message.Message:
    query = dns.message.make_query(name, qtype, want_dnssec=transport == "do")
    query.flags |= dns.flags.CD if transport == "cd" else 0
    send = dns.query.tcp if transport == "tcp" else dns.query.udp
    return send(query, "127.0.0.1", port=pdns.dns_port, timeout=60)


def addresses(message: dns.message.Message) -> list[str]:
    return [str(one) for rrset in message.answer for one in rrset if rrset.rdtype == dns.rdatatype.A]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(("attacker", "victim_zone"), PAIRS, ids=lambda zone: zone)
def test_what_another_upstream_says_is_not_believed(attacked: Attacked, attacker: str, victim_zone: str, transport: str) -> None:
    """Whatever stands in an answer about another zone, the client gets that zone's own data, and so do all that ask later."""
    pdns, upstreams = attacked
    for way in (*LEADING, *BESIDE, *DENYING):
        if (attacker, way, victim_zone) in ABOVE_ITS_ZONE:
            continue
        victim = f"host{next(NUMBERS)}.{victim_zone}"
        name = attack(way, victim, attacker)
        message = ask(pdns, name, "A", transport)
        assert FORGED not in message.to_text(), way
        assert "evil.test" not in (message.to_text() if way not in DENYING else ""), way
        if way in LEADING:
            assert (message.rcode(), addresses(message)) == (dns.rcode.NOERROR, [ADDRESSES[victim_zone]]), way
            assert victim_of(way, victim) in upstreams[victim_zone].names, way
        elif way in BESIDE:
            assert (message.rcode(), addresses(message)) == (dns.rcode.NOERROR, [ADDRESSES[attacker]]), way
        else:
            assert (message.rcode(), message.answer) == (dns.rcode.NXDOMAIN, []), way
            assert not [one for one in message.authority if one.rdtype == dns.rdatatype.SOA and not is_above(one.name, name)], way
        for later in (victim, victim_of(way, victim), f"below.{victim}", victim_zone, f"ns.{victim_zone}"):
            for how in dict.fromkeys(("udp", transport)):
                message = ask(pdns, later, "A", how)
                assert (message.rcode(), addresses(message)) == (dns.rcode.NOERROR, [ADDRESSES[victim_zone]]), (way, later)
        for later, qtype in ((victim_zone, "NS"), (victim_zone, "SOA"), (victim_zone, "DNAME"), (".", "NS"), ("example", "NS")):
            assert ask(pdns, later, qtype, transport).answer == [], (way, later, qtype)
        assert FORGED not in ask(pdns, name, "A", transport).to_text(), way  # now from the cache


@pytest.mark.parametrize(("attacker", "way", "victim_zone"), ABOVE_ITS_ZONE)
def test_a_dname_above_the_zone_is_left_out(attacked: Attacked, attacker: str, way: str, victim_zone: str) -> None:
    """A resolver in front would take it for all names below: the client gets no DNAME that is not the zone's own."""
    victim = f"host{next(NUMBERS)}.{victim_zone}"
    message = ask(attacked.pdns, attack(way, victim, attacker), "A", "udp")
    expected = ADDRESSES[victim_zone if way == "of-top" else attacker]
    assert (message.rcode(), addresses(message)) == (dns.rcode.NOERROR, [expected])
    own = dns.name.from_text(attacker)
    assert not [rrset for rrset in message.answer if rrset.rdtype == dns.rdatatype.DNAME and not rrset.name.is_subdomain(own)]


def is_above(owner: dns.name.Name, name: str) -> bool:
    return dns.name.from_text(name).is_subdomain(owner)


def test_each_zone_is_asked_of_its_own_upstream_only(attacked: Attacked) -> None:
    """After all that, no upstream has been asked for a name of another's zone."""
    for zone, upstream in attacked.upstreams.items():
        for name in upstream.names:
            assert zone_of(name) == zone, name


def zone_of(name: str) -> str:
    inner = [zone for zone in list(ADDRESSES)[1:] if f".{name}".endswith(f".{zone}")]
    return max(inner, key=len) if inner else next(iter(ADDRESSES))
