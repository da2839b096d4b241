"""Local records and a DNS64: addresses are made of IPv4 addresses wherever in the chain local records stand."""

from __future__ import annotations

from typing import Any

import pytest

from pdns.core.entry import Entry
from pdns.core.outcome import Answer, Forward
from pdns.wire import names
from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from tests.unit.core.localrecords import Local
from tests.wire import response_wire

RECORDS: list[dict[str, Any]] = [
    {"name": "v4.corp.example", "a": ["192.0.2.5"], "ttl_s": 60},
    {"name": "both.corp.example", "a": ["192.0.2.6"], "aaaa": ["fd00::6"]},
    {"name": "text.corp.example", "txt": ["hello"]},
    {"name": "alias.corp.example", "cname": "v4.corp.example"},
    {"name": "far.corp.example", "cname": "www.example.net"},
]
NODATA = "example.net 900 IN SOA ns.example.net. host.example.net. 1 2 3 4 300"


@pytest.fixture
def local() -> Local:
    return Local(RECORDS, dns64={"prefix": "2001:db8:64::/96"})


def said(local: Local, forward: Forward, *zones: str, **response: Any) -> Any:
    """What becomes of an upstream's answer to what `forward` asks."""
    qtype = {p.A: "A", p.AAAA: "AAAA"}[forward.asked_type]
    message = parse_message(response_wire(names.to_text(forward.asked_name), qtype, *zones, **response))
    return local.resolver.further(forward, message) or local.resolver.on_answer(forward, message, 1000.0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("v4.corp.example", ["v4.corp.example. 60 IN AAAA 2001:db8:64::c000:205"]),
        (
            "alias.corp.example",
            ["alias.corp.example. 300 IN CNAME v4.corp.example.", "v4.corp.example. 60 IN AAAA 2001:db8:64::c000:205"],
        ),
        ("both.corp.example", ["both.corp.example. 300 IN AAAA fd00::6"]),
        ("text.corp.example", ["NODATA"]),
    ],
)
def test_names_with_local_ipv4_addresses(local: Local, name: str, expected: list[str]) -> None:
    """A local name without IPv6 addresses gets some, marked as synthesised; one that has some keeps them alone."""
    outcome = local.ask(name, "AAAA")
    assert isinstance(outcome, Answer)
    assert local.records(outcome, name, "AAAA") == expected
    assert (outcome.entry.ede is not None) is ("2001:db8:64" in expected[-1])
    assert local.text(name, "AAAA") == expected  # from the cache


def test_a_validating_client_gets_none(local: Local) -> None:
    """RFC 6147, 5.5: with DO and CD nothing is made."""
    assert local.text("v4.corp.example", "AAAA", do=True, cd=1) == ["NODATA"]


def test_a_local_name_that_leads_outside(local: Local) -> None:
    """The name outside is asked for AAAA, then for A; the alias stays before what is made of it."""
    forward = local.forward("far.corp.example", "AAAA")
    again = said(local, forward, authority=NODATA)
    assert isinstance(again, Forward)
    assert (names.to_text(again.asked_name), again.asked_type) == ("www.example.net", p.A)
    entry = said(local, again, "www.example.net 60 IN A 192.0.2.9")
    assert isinstance(entry, Entry)
    assert local.records(Answer(entry, "upstream"), "far.corp.example", "AAAA") == [
        "far.corp.example. 300 IN CNAME www.example.net.",
        "www.example.net. 60 IN AAAA 2001:db8:64::c000:209",
    ]


def test_an_answer_that_leads_to_a_local_name(local: Local) -> None:
    """An alias outside for a local name with IPv4 addresses alone: what is made of them is the answer."""
    forward = local.forward("www.example.net", "AAAA")
    again = said(local, forward, "www.example.net 60 IN CNAME v4.corp.example")
    assert isinstance(again, Forward)
    assert (names.to_text(again.asked_name), again.asked_type) == ("www.example.net", p.A)
    entry = said(local, again, "www.example.net 60 IN CNAME v4.corp.example")
    assert isinstance(entry, Entry)
    assert local.records(Answer(entry, "upstream"), "www.example.net", "AAAA") == [
        "www.example.net. 60 IN CNAME v4.corp.example.",
        "v4.corp.example. 60 IN AAAA 2001:db8:64::c000:205",
    ]
    changed = [dict(record, a=["192.0.2.77"]) if record["name"] == "v4.corp.example" else record for record in RECORDS]
    local.resolver.adopt(Local(changed, dns64={"prefix": "2001:db8:64::/96"}).rules)
    assert isinstance(local.ask("www.example.net", "AAAA"), Forward)  # of addresses that are no longer there


def test_the_name_of_an_address_that_was_made(local: Local) -> None:
    """Its PTR record leads to that of the IPv4 address, which local records have."""
    name = "5.0.2.0.0.0.0.c.0.0.0.0.0.0.0.0.0.0.0.0.4.6.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
    pointer = "5.2.0.192.in-addr.arpa."
    assert local.text(name, "PTR") == [f"{name}. 600 IN CNAME {pointer}", f"{pointer} 60 IN PTR v4.corp.example."]
