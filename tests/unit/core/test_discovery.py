"""What the resolver says of itself."""

from __future__ import annotations

from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest

from pdns.config.discovery_schema import DesignatedResolver, Designation, DiscoverySection
from pdns.config.schema import Config
from pdns.core.discovery import svcb_rdata, svcb_text
from pdns.core.query import Query
from pdns.core.ruleset import RuleSet
from pdns.wire import names
from pdns.wire import protocol as p

DOT = DesignatedResolver(
    name="dns.example", alpn=("dot", "doq"), port=853, addresses=("10.0.0.53", "2001:db8::53"), verified=True
)
DOH = DesignatedResolver(
    name="dns.example", alpn=("h2", "h3"), port=8443, addresses=("10.0.0.53",), path="/dns-query", verified=True
)
OTHER = DesignatedResolver(name="other.example", alpn=("dot",), port=8853, addresses=("10.0.0.54",))
DDR = "_dns.resolver.arpa"


def rules(*resolvers: DesignatedResolver, info_url: str = "", enabled: bool = True, **sections: Any) -> RuleSet:
    designation = Designation(resolvers=resolvers, names=tuple(dict.fromkeys(one.name for one in resolvers)))
    section = DiscoverySection(info_url=info_url, enabled=enabled)
    return RuleSet.of(Config(designation=designation, discovery=section, **sections))


def asked(
    said: RuleSet, name: str, qtype: int = p.SVCB, *, do: bool = False, max_bytes: int = 1232
) -> dns.message.Message | None:
    """The answer as a client reads it; None where the name is left to an upstream."""
    question = names.from_text(name) + qtype.to_bytes(2) + b"\0\1"
    entry = said.special.answer(question[:-4], qtype, 0.0, do=do)
    if entry is None:
        return None
    query = Query(7, p.RD, question, qtype, 1, edns=True, do=do, udp_bytes=max_bytes)
    wire = entry.render(query, 0.0, max_bytes)
    assert len(wire) <= max_bytes
    return dns.message.from_wire(wire, one_rr_per_rrset=True)


def texts(section: list[Any]) -> list[str]:
    return [f"{one.name} {one.ttl} {dns.rdatatype.to_text(one.rdtype)} {one[0]}" for one in section]


def test_ddr() -> None:
    """Two records in order, with their parameters; the addresses beside them; no AA, which no cache expects here."""
    answer = asked(rules(DOT, DOH), DDR)
    assert answer is not None
    assert texts(answer.answer) == [
        f'{DDR}. 300 SVCB 1 dns.example. alpn="dot,doq" ipv4hint="10.0.0.53" ipv6hint="2001:db8::53"',
        f'{DDR}. 300 SVCB 2 dns.example. alpn="h2,h3" port="8443" ipv4hint="10.0.0.53" dohpath="/dns-query{{?dns}}"',
    ]
    assert texts(answer.additional) == ["dns.example. 300 A 10.0.0.53", "dns.example. 300 AAAA 2001:db8::53"]
    assert answer.edns == 0
    assert not answer.flags & (dns.flags.AA | dns.flags.AD)


@pytest.mark.parametrize(
    ("said", "name", "qtype"),
    [
        (rules(OTHER), DDR, p.SVCB),  # no client could verify it
        (rules(), DDR, p.SVCB),
        (RuleSet.of(Config()), DDR, p.SVCB),
        (rules(DOT, enabled=False), DDR, p.SVCB),
        (rules(DOT), DDR, p.A),
        (rules(DOT), f"x.{DDR}", p.SVCB),
        (rules(DOT), "resolver.arpa", p.SVCB),
        (RuleSet.of(Config()), "resolver.arpa", p.RESINFO),
    ],
)
def test_never_forwarded(said: RuleSet, name: str, qtype: int) -> None:
    """What is not answered below resolver.arpa is NODATA, as without listeners."""
    answer = asked(said, name, qtype)
    assert answer is not None
    assert (answer.rcode(), answer.answer) == (0, [])
    assert [dns.rdatatype.to_text(one.rdtype) for one in answer.authority] == ["SOA"]


def test_only_verified_resolvers_are_designated() -> None:
    """A client that knows the address gets those that it can verify; one that knows a name, those with this name."""
    said = rules(OTHER, DOT)
    by_address, by_name = asked(said, DDR), asked(said, "_dns.other.example")
    assert by_address is not None
    assert by_name is not None
    assert [str(one[0].target) for one in by_address.answer] == ["dns.example."]
    assert texts(by_name.answer) == ['_dns.other.example. 300 SVCB 1 other.example. alpn="dot" port="8853" ipv4hint="10.0.0.54"']
    assert texts(by_name.additional) == ["other.example. 300 A 10.0.0.54"]


def test_names_of_ours_with_do() -> None:
    """Unsigned records of a public name are not given to a client that validates; those below resolver.arpa are."""
    said = rules(DOT)
    assert asked(said, "_dns.dns.example", do=True) is None
    assert asked(said, "_dns.dns.example", p.A) is None
    assert asked(said, "dns.example") is None
    assert asked(said, DDR, do=True) is not None


@pytest.mark.parametrize(("room", "additional", "truncated"), [(1232, 2, False), (225, 0, False), (120, 0, True)])
def test_addresses_are_left_out_first(room: int, additional: int, truncated: bool) -> None:
    """An answer that is too long loses its addresses, which the hints repeat, and only then says TC."""
    answer = asked(rules(DOT, DOH), DDR, max_bytes=room)
    assert answer is not None
    assert len(answer.additional) == additional
    assert bool(answer.flags & dns.flags.TC) is truncated
    assert bool(answer.answer) is not truncated


@pytest.mark.parametrize("name", ["dns.example", "resolver.arpa"])
@pytest.mark.parametrize("do", [False, True])
def test_resinfo(name: str, do: bool) -> None:
    """With AA, without `qnamemin`; also for clients that set DO."""
    answer = asked(rules(DOT, info_url="https://dns.example/help"), name, p.RESINFO, do=do)
    assert answer is not None
    assert answer.flags & dns.flags.AA
    (record,) = answer.answer
    rdata = record[0].to_generic().data
    parts = []
    while rdata:
        parts.append(rdata[1 : 1 + rdata[0]].decode())
        rdata = rdata[1 + rdata[0] :]
    assert parts == ["exterr=0,3,6-12,14-19,21-23,25,27,29,30,35", "infourl=https://dns.example/help"]


def test_resinfo_of_others_is_forwarded() -> None:
    """Below resolver.arpa only if this resolver is designated; of names that are not ours never."""
    assert asked(rules(DOT), "example", p.RESINFO) is None
    other = asked(rules(OTHER), "resolver.arpa", p.RESINFO)
    assert other is not None
    assert not other.answer


@pytest.mark.parametrize("resolver", [DOT, DOH, OTHER])
def test_the_record_to_publish_is_the_same(resolver: DesignatedResolver) -> None:
    """The text for a zone file and the bytes are one record."""
    parsed = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.SVCB, svcb_text(resolver, 3))
    assert parsed.to_wire() == svcb_rdata(resolver, 3)
