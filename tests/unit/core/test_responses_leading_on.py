"""Answers that lead on: how many questions they make, and what becomes of them under other rules."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import dns.rdatatype

from pdns.core.entry import Entry
from pdns.core.outcome import Answer, Forward
from pdns.wire import names
from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from tests.unit.core.localrecords import Local
from tests.wire import ede, query, response_wire

CORP: dict[str, Any] = {"zone": [{"name": "corp.example", "servers": ["udp://10.0.0.1"]}]}
DNS64: dict[str, Any] = {"dns64": {"prefix": "2001:db8:64::/96"}}


def said(local: Local, forward: Forward, *zones: str, **response: Any) -> Any:
    """What becomes of an upstream's answer to what `forward` asks."""
    qtype = dns.rdatatype.to_text(dns.rdatatype.RdataType(forward.asked_type))
    message = parse_message(response_wire(names.to_text(forward.asked_name), qtype, *zones, **response))
    return local.resolver.further(forward, message) or local.resolver.on_answer(forward, message, 1000.0)


def test_a_dname_before_a_local_alias_asks_nothing_anew() -> None:
    """The servers behind a local alias redirect its owner as well: the rest of the answer is asked all the same, once."""
    local = Local([{"name": "www.a.corp.example", "cname": "www.b.corp.example"}], **CORP)
    forward = local.forward("www.a.corp.example")
    further = said(
        local,
        forward,
        "a.corp.example 300 IN DNAME b.corp.example.\nwww.b.corp.example 300 IN CNAME x.example.net.",
    )
    assert isinstance(further, Forward)
    assert further.asked_name == names.from_text("x.example.net")
    entry = said(local, further, "x.example.net 300 IN A 192.0.2.7")
    assert isinstance(entry, Entry)
    assert entry.rcode == p.NOERROR


def test_a_pointer_above_a_local_name_asks_nothing_anew() -> None:
    """The name of an address that the DNS64 makes has a local name below it: its own answer is asked once."""
    name = ip_address("2a00:64::198.41.0.4").reverse_pointer
    local = Local([{"name": f"x.{name}", "txt": ["hello"]}], dns64={"prefix": "2a00:64::/96"})
    forward = local.forward(name, "PTR")
    entry = said(local, forward, "4.0.41.198.in-addr.arpa 300 IN PTR host.example.")
    assert isinstance(entry, Entry)


def test_nothing_unprotected_behind_an_unchecked_zone() -> None:
    """Before the feeds are there, an answer of a zone that needs none is given, but not one that leads to names that do."""
    zones = {"zone": [{"name": "free.example", "servers": ["udp://10.0.0.1"], "block": False}]}
    local = Local([], ready=False, **zones)
    entry = said(local, local.forward("in.free.example"), "in.free.example 300 IN A 192.0.2.7")
    assert entry.rcode == p.NOERROR
    further = said(local, local.forward("out.free.example"), "out.free.example 300 IN CNAME malware.test.net.")
    entry = said(local, further, "malware.test.net 300 IN A 192.0.2.7") if isinstance(further, Forward) else further
    wire = entry.render(query("out.free.example"), 1000.0, 1232)
    assert (entry.rcode, ede(wire)) == (p.SERVFAIL, (14, "the threat feeds are being loaded"))
    assert isinstance(local.ask("out.free.example"), Forward)  # it is not remembered


def test_an_answer_that_leads_to_a_special_name() -> None:
    """A zone's answer leads to a name that is never forwarded: it is answered here, and asked nowhere."""
    local = Local([{"name": "here.example", "cname": "y.internal"}], **CORP, local={"never_forward": ["lan.example"]})
    for target in ("x.internal", "1.0.0.10.in-addr.arpa", "nas.lan.example"):
        name = f"to-{target[0]}.corp.example"
        entry = said(local, local.forward(name), f"{name} 300 IN CNAME {target}.")
        assert isinstance(entry, Entry), target
        assert local.records(Answer(entry, "upstream"), name, "A")[1:] == ["NXDOMAIN"]
    entry = said(local, local.forward("www.example.net"), "www.example.net 300 IN CNAME here.example.")
    assert isinstance(entry, Entry)
    entry = said(local, local.forward("l.corp.example"), "l.corp.example 300 IN CNAME localhost.")
    assert local.records(Answer(entry, "upstream"), "l.corp.example", "A")[1:] == ["localhost. 10800 IN A 127.0.0.1"]


def test_a_record_for_the_name_that_an_answer_leads_to() -> None:
    """It comes while that name is asked for: what the outside says of it is neither given nor kept."""
    local = Local([], **CORP)
    further = said(local, local.forward("www.corp.example"), "www.corp.example 300 IN CNAME www.example.net.")
    assert isinstance(further, Forward)
    with_record = Local([{"name": "www.example.net", "a": ["10.0.0.9"]}], **CORP)
    local.resolver.adopt(with_record.rules)
    entry = said(local, further, "www.example.net 300 IN A 203.0.113.66")
    assert isinstance(entry, Entry)
    assert local.records(Answer(entry, "upstream"), "www.corp.example", "A") == [
        "www.corp.example. 300 IN CNAME www.example.net.",
        "www.example.net. 300 IN A 10.0.0.9",
    ]


def test_ipv4_addresses_that_come_while_a_name_is_asked_for() -> None:
    """A local record comes while AAAA, or A in its place, is asked for: the address is made of the record."""
    for asked_for_a in (False, True):
        local = Local([], **DNS64)
        forward = local.forward("v4.example.net", "AAAA")
        soa = "example.net 900 IN SOA ns.example.net. host.example.net. 1 2 3 4 300"
        if asked_for_a:
            forward = said(local, forward, authority=soa)
            assert isinstance(forward, Forward)
        local.resolver.adopt(Local([{"name": "v4.example.net", "a": ["192.0.2.5"]}], **DNS64).rules)
        entry = said(local, forward, authority=soa)
        assert isinstance(entry, Entry)
        made = ["v4.example.net. 300 IN AAAA 2001:db8:64::c000:205"]
        assert local.records(Answer(entry, "local"), "v4.example.net", "AAAA") == made


def test_an_alias_that_comes_while_a_is_asked_for() -> None:
    """A local alias comes while A is asked for: its target is asked for AAAA first."""
    local = Local([], **DNS64)
    soa = "example.net 900 IN SOA ns.example.net. host.example.net. 1 2 3 4 300"
    forward = said(local, local.forward("v4.example.net", "AAAA"), authority=soa)
    local.resolver.adopt(Local([{"name": "v4.example.net", "cname": "six.example.org"}], **DNS64).rules)
    again = said(local, forward, "v4.example.net 300 IN A 192.0.2.5")
    assert isinstance(again, Forward)
    assert (again.asked_name, again.asked_type) == (names.from_text("six.example.org"), p.AAAA)
    entry = said(local, again, "six.example.org 300 IN AAAA 2001:db8::6")
    assert isinstance(entry, Entry)


def test_policies_that_leave_while_a_question_is_out() -> None:
    """The policy of the client that asked is no more: everyone's decides, also about a stale answer."""
    served: dict[str, Any] = {"dns64": {**DNS64["dns64"], "networks": ["127.0.0.0/8"]}}
    local = Local([], **served)
    stale = said(local, local.forward("www.example.net", "AAAA"), "www.example.net 300 IN AAAA 2001:db8::1")
    assert isinstance(stale, Entry)
    forward = local.forward("www.example.net", "AAAA", now=1400.0)
    assert forward.policy > 0
    assert forward.stale is not None
    local.resolver.adopt(Local([]).rules)
    assert local.resolver.on_failure(forward, 22, "no answer", None, 1400.0).source == "stale"
    entry = said(local, forward, "www.example.net 300 IN AAAA 2001:db8::1")
    assert local.records(Answer(entry, "upstream"), "www.example.net", "AAAA") == ["www.example.net. 300 IN AAAA 2001:db8::1"]
