"""Local records: what they answer, what they leave to the outside, and what becomes of answers of before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.message
import pytest

from pdns.config.load import from_tables
from pdns.config.schema import Config
from pdns.core.outcome import Answer, Forward
from pdns.core.records import LocalRecords
from pdns.core.resolver import Resolver
from pdns.core.ruleset import RuleSet
from pdns.reference.cache import ReferenceCache
from pdns.reference.first_stages import FirstStages
from pdns.wire import names
from pdns.wire.message import parse_message
from tests.blocksets import make_blockset
from tests.wire import query, response_wire

FEEDS = {"alpha": "malware.test listed.corp.example 203.0.113.0/24"}
RECORDS: list[dict[str, Any]] = [
    {"name": "intranet.corp.example", "a": ["10.0.0.5", "10.0.0.6"], "aaaa": ["fd00::5"], "txt": ["hello"]},
    {"name": "www.corp.example", "cname": "intranet.corp.example", "ttl_s": 60},
    {"name": "far.corp.example", "cname": "www.example.net"},
    {"name": "bad.corp.example", "cname": "malware.test"},
    {"name": "gone.corp.example", "cname": "nothing.internal"},
    {"name": "listed.corp.example", "a": ["203.0.113.7"]},
    {"name": "a.b.corp.example", "a": ["10.0.0.7"]},
    {"name": "*.wild.example", "a": ["10.0.0.8"]},
    {"name": "x.y.wild.example", "a": ["10.0.0.9"]},
    {"name": "host.deep.internal", "a": ["10.0.0.10"]},
    {"name": "zero.example", "a": ["10.0.0.11"], "ttl_s": 0},
]


def settled(records: list[dict[str, Any]], **sections: Any) -> Config:
    tables = {
        "upstream": {"servers": ["udp://127.0.0.1:53"]},
        "feed": [{"name": "alpha", "url": "file:a"}],
        "record": records,
        **sections,
    }
    return from_tables(tables, "pdns.toml", Path("/nonexistent"))


class Local:
    """A resolver with local records."""

    def __init__(self, records: list[dict[str, Any]] = RECORDS, *, ready: bool = True, **sections: Any) -> None:
        self.rules = RuleSet.of(settled(records, **sections), blockset=make_blockset(FEEDS), ready=ready)
        self.resolver = Resolver(self.rules, ReferenceCache(1_000_000))
        self.first = FirstStages(self.resolver)

    def reload(self, records: list[dict[str, Any]]) -> None:
        self.rules = self.rules.with_config(settled(records))
        self.resolver.adopt(self.rules)
        self.first.adopt(self.rules)

    def ask(self, name: str, qtype: str = "A", *, now: float = 1000.0, **options: Any) -> Any:
        return self.first.handle(query(name, qtype, **options), self.first.client("127.0.0.1"), "127.0.0.1", now)

    def forward(self, name: str, qtype: str = "A", **options: Any) -> Forward:
        outcome = self.ask(name, qtype, **options)
        assert isinstance(outcome, Forward), outcome
        return outcome

    def text(self, name: str, qtype: str = "A", *, now: float = 1000.0, **options: Any) -> list[str]:
        """The records of the answer, and the response code if it is an error."""
        outcome = self.ask(name, qtype, now=now, **options)
        assert isinstance(outcome, Answer), outcome
        return self.records(outcome, name, qtype, now=now, **options)

    @staticmethod
    def records(answer: Answer, name: str, qtype: str, *, now: float = 1000.0, **options: Any) -> list[str]:
        wire = answer.entry.render(query(name, qtype, **options), now, 4096)
        message = dns.message.from_wire(wire)
        assert not message.flags & dns.flags.AA
        assert not message.flags & dns.flags.AD
        records = [str(record) for rrset in message.answer for record in sorted(str(rrset).splitlines())]
        code = [message.rcode().name] * bool(message.rcode())
        soa = ["NODATA"] * (not message.rcode() and any(rrset.rdtype == 6 for rrset in message.authority))
        return records + code + soa

    def said(self, forward: Forward, *zones: str, now: float = 1000.0, **response: Any) -> Any:
        """What becomes of an upstream's answer: the further question, or the entry."""
        name, qtype = names.to_text(forward.asked_name), dns.rdatatype.to_text(dns.rdatatype.RdataType(forward.qtype))
        message = parse_message(response_wire(name, qtype, *zones, **response))
        return self.resolver.further(forward, message) or self.resolver.on_answer(forward, message, now)


@pytest.fixture
def local() -> Local:
    return Local()


def test_records_and_nodata(local: Local) -> None:
    """Every type of a name is answered here, with the same records for clients that validate."""
    a = ["intranet.corp.example. 300 IN A 10.0.0.5", "intranet.corp.example. 300 IN A 10.0.0.6"]
    assert [line.lower() for line in local.text("Intranet.CORP.example")] == [line.lower() for line in a]
    assert local.text("intranet.corp.example", do=True) == a
    assert local.text("intranet.corp.example", rd=0) == a
    assert local.text("intranet.corp.example", "TXT") == ['intranet.corp.example. 300 IN TXT "hello"']
    for qtype in ("MX", "HTTPS", "SOA", "NS", "CNAME"):
        assert local.text("intranet.corp.example", qtype) == ["NODATA"]
    assert local.text("intranet.corp.example", "ANY") == ['intranet.corp.example. 3600 IN HINFO "RFC8482" ""']


def test_addresses_in_turns(local: Local) -> None:
    """Each begins as often as the others."""
    answer = local.ask("intranet.corp.example")
    first = {answer.entry.render(query("intranet.corp.example", query_id=number), 1000.0, 4096)[-30:-11] for number in range(4)}
    assert len(first) == 2


def test_pointers(local: Local) -> None:
    """Made from addresses; the name of the reverse zone above exists then, and the others of it stay NXDOMAIN."""
    assert local.text("6.0.0.10.in-addr.arpa", "PTR") == ["6.0.0.10.in-addr.arpa. 300 IN PTR intranet.corp.example."]
    reverse = f"5.{'0.' * 29}d.f.ip6.arpa"
    assert local.text(reverse, "PTR") == [f"{reverse}. 300 IN PTR intranet.corp.example."]
    assert local.text("6.0.0.10.in-addr.arpa") == ["NODATA"]
    assert local.text("0.0.10.in-addr.arpa", "PTR") == ["NODATA"]
    assert local.text("99.0.0.10.in-addr.arpa", "PTR") == ["NXDOMAIN"]
    assert local.text("8.0.0.10.in-addr.arpa", "PTR") == ["NXDOMAIN"], "no name is made from a wildcard"


def test_chains(local: Local) -> None:
    """A CNAME record is followed; NODATA at its end names that end."""
    assert local.text("www.corp.example", "AAAA") == [
        "www.corp.example. 60 IN CNAME intranet.corp.example.",
        "intranet.corp.example. 300 IN AAAA fd00::5",
    ]
    assert local.text("www.corp.example", "MX") == ["www.corp.example. 60 IN CNAME intranet.corp.example.", "NODATA"]
    assert local.text("www.corp.example", "CNAME") == ["www.corp.example. 60 IN CNAME intranet.corp.example."]


def test_wildcards(local: Local) -> None:
    """RFC 4592: not where the name or an empty non-terminal exists, nor below one that is closer."""
    assert local.text("q.wild.example") == ["q.wild.example. 300 IN A 10.0.0.8"]
    assert local.text("p.q.wild.example") == ["p.q.wild.example. 300 IN A 10.0.0.8"]
    assert local.text("q.wild.example", "MX") == ["NODATA"]
    assert local.text("*.wild.example") == ["*.wild.example. 300 IN A 10.0.0.8"]
    assert local.text("y.wild.example") == ["NODATA"]
    assert local.text("x.y.wild.example") == ["x.y.wild.example. 300 IN A 10.0.0.9"]
    local.forward("z.y.wild.example")
    local.forward("z.x.y.wild.example")
    local.forward("wild.example")


def test_names_around_are_forwarded(local: Local) -> None:
    """Also below a name with records; and above it, where only an NXDOMAIN becomes NODATA."""
    for name in ("corp.example", "other.corp.example", "x.intranet.corp.example"):
        forward = local.forward(name)
        entry = local.said(forward, f"{name} 60 IN A 192.0.2.1")
        assert local.records(Answer(entry, ""), name, "A") == [f"{name}. 60 IN A 192.0.2.1"]
    soa = "example 60 IN SOA ns.example. host.example. 1 2 3 4 60"
    for name, qtype, code in (
        ("b.corp.example", "A", "NODATA"),
        ("corp.example", "MX", "NODATA"),
        ("z.corp.example", "A", "NXDOMAIN"),
    ):
        entry = local.said(local.forward(name, qtype), authority=soa, rcode=3)
        assert local.records(Answer(entry, ""), name, qtype)[0] == code


def test_names_above_in_a_zone_that_is_not_forwarded(local: Local) -> None:
    """They exist: NODATA. Others of the zone do not."""
    assert local.text("host.deep.internal") == ["host.deep.internal. 300 IN A 10.0.0.10"]
    for name in ("deep.internal", "internal"):
        assert local.text(name) == ["NODATA"]
        assert local.text(name, do=True) == ["NODATA"]
    assert local.text("other.internal") == ["NXDOMAIN"]
    closed = Local(local={"never_forward": ["corp.example"]})
    assert closed.text("b.corp.example") == ["NODATA"]
    assert closed.text("other.corp.example") == ["NXDOMAIN"]


def test_ds_belongs_to_the_zone_above(local: Local) -> None:
    """That of the topmost name is asked outside; those below are NODATA."""
    local.forward("intranet.corp.example", "DS")
    below = Local([*RECORDS, {"name": "corp.example", "a": ["10.0.0.1"]}])
    below.forward("corp.example", "DS")
    assert below.text("intranet.corp.example", "DS") == ["NODATA"]


def test_records_beat_feeds_and_readiness() -> None:
    """A listed name and a listed address are answered, also before the feeds are loaded."""
    for ready in (True, False):
        local = Local(ready=ready)
        assert local.text("listed.corp.example") == ["listed.corp.example. 300 IN A 203.0.113.7"]
    assert local.text("far.corp.example") == ["SERVFAIL"]
    assert local.text("intranet.corp.example", "AAAA") != ["SERVFAIL"]


def test_a_chain_that_leads_outside(local: Local) -> None:
    """The name outside is asked, and both parts are one answer, which is in the cache then."""
    forward = local.forward("far.corp.example", do=True)
    assert forward.asked_name == names.from_text("www.example.net")
    local.said(forward, "www.example.net 600 IN CNAME cdn.example.net.", "cdn.example.net 30 IN A 192.0.2.1", ad=1)
    expected = [
        "far.corp.example. 300 IN CNAME www.example.net.",
        "www.example.net. 600 IN CNAME cdn.example.net.",
        "cdn.example.net. 30 IN A 192.0.2.1",
    ]
    assert local.text("far.corp.example", do=True) == expected
    assert local.text("far.corp.example", "CNAME") == expected[:1]
    assert local.text("far.corp.example", rd=0) == expected[:1]
    again = local.ask("far.corp.example", do=True, now=1040.0)
    assert isinstance(again, Forward), "it has expired"
    assert again.asked_name == names.from_text("www.example.net")
    assert again.stale is not None


def test_nxdomain_at_the_end_of_a_chain(local: Local) -> None:
    """It is passed on with the chain."""
    soa = "example.net 60 IN SOA ns.example.net. host.example.net. 1 2 3 4 60"
    local.said(local.forward("far.corp.example"), authority=soa, rcode=3)
    assert local.text("far.corp.example") == ["far.corp.example. 300 IN CNAME www.example.net.", "NXDOMAIN"]


def test_a_chain_to_a_listed_name_is_blocked(local: Local) -> None:
    """Without asking for it."""
    assert local.ask("bad.corp.example").entry.verdict.feed == "alpha"
    entry = local.said(local.forward("far.corp.example"), "www.example.net 60 IN A 203.0.113.1")
    assert entry.verdict.feed == "alpha"


def test_a_chain_to_a_special_name(local: Local) -> None:
    """It is answered here: the special name never reaches an upstream."""
    assert local.text("gone.corp.example") == ["gone.corp.example. 300 IN CNAME nothing.internal.", "NXDOMAIN"]
    assert Local([{"name": "self.example", "cname": "localhost"}]).text("self.example") == [
        "self.example. 300 IN CNAME localhost.",
        "localhost. 10800 IN A 127.0.0.1",
    ]


def test_an_answer_from_outside_that_leads_here(local: Local) -> None:
    """The local records continue it, whatever the outside says of their name."""
    entry = local.said(
        local.forward("portal.example.net"),
        "portal.example.net 60 IN CNAME www.corp.example.",
        "www.corp.example 60 IN A 192.0.2.66",
    )
    assert [line.split(None, 1)[1] for line in local.records(Answer(entry, ""), "portal.example.net", "A")] == [
        "60 IN CNAME www.corp.example.",
        "60 IN CNAME intranet.corp.example.",
        "300 IN A 10.0.0.5",
        "300 IN A 10.0.0.6",
    ]
    entry = local.said(local.forward("portal.example.net", "MX"), "portal.example.net 60 IN CNAME intranet.corp.example.")
    assert local.records(Answer(entry, ""), "portal.example.net", "MX")[-1] == "NODATA"
    listed = local.said(local.forward("l.example.net"), "l.example.net 60 IN CNAME listed.corp.example.")
    assert listed.verdict is None


def test_an_answer_that_leads_here_and_outside_again(local: Local) -> None:
    """The rest is asked; a circle ends."""
    forward = local.said(local.forward("portal.example.net"), "portal.example.net 60 IN CNAME far.corp.example.")
    assert isinstance(forward, Forward)
    assert forward.asked_name == names.from_text("www.example.net")
    entry = local.said(forward, "www.example.net 60 IN A 192.0.2.1")
    assert len(local.records(Answer(entry, ""), "portal.example.net", "A")) == 3
    forward = local.said(local.forward("portal.example.net", "AAAA"), "portal.example.net 60 IN CNAME far.corp.example.")
    entry = local.said(forward, "www.example.net 60 IN CNAME portal.example.net.")
    assert entry.rcode == 2


def test_a_reload_replaces_cached_answers(local: Local) -> None:
    """At once, in both directions; answers of names that it does not concern stay."""
    kept, changed = "kept.example.net", "new.example.net"
    for name in (kept, changed):
        local.said(local.forward(name), f"{name} 600 IN A 192.0.2.1")
    leading = local.said(
        local.forward("l.example.net"), "l.example.net 600 IN CNAME new.example.net.", "new.example.net 600 IN A 192.0.2.1"
    )
    assert leading.rcode == 0
    local.reload([*RECORDS, {"name": changed, "a": ["10.0.0.99"]}])
    assert local.text(changed) == [f"{changed}. 300 IN A 10.0.0.99"]
    assert local.text(kept) == [f"{kept}. 600 IN A 192.0.2.1"]
    local.forward("l.example.net")
    local.reload(RECORDS)
    local.forward(changed)
    assert local.text(kept) == [f"{kept}. 600 IN A 192.0.2.1"]


def test_a_reload_of_what_leads_outside(local: Local) -> None:
    """An answer that is still right stays, and one whose records changed is asked again."""
    local.said(local.forward("far.corp.example"), "www.example.net 600 IN A 192.0.2.1")
    local.reload([*RECORDS, {"name": "more.example", "a": ["10.0.0.1"]}])
    assert local.text("far.corp.example")[1] == "www.example.net. 600 IN A 192.0.2.1"
    local.reload([{"name": "far.corp.example", "cname": "other.example.net"}])
    assert local.forward("far.corp.example").asked_name == names.from_text("other.example.net")
    local.reload([])
    assert local.forward("far.corp.example").asked_name == names.from_text("far.corp.example")


def test_a_name_that_comes_into_being(local: Local) -> None:
    """A remembered NXDOMAIN of a name above a new one is gone, and so is the NODATA when that leaves again."""
    soa = "example.org 600 IN SOA ns.example.org. host.example.org. 1 2 3 4 600"
    local.said(local.forward("b.example.org"), authority=soa, rcode=3)
    assert local.text("b.example.org") == ["NXDOMAIN"]
    local.reload([{"name": "a.b.example.org", "a": ["10.0.0.1"]}])
    local.said(local.forward("b.example.org"), authority=soa, rcode=3)
    assert local.text("b.example.org") == ["NODATA"]
    local.reload([])
    local.forward("b.example.org")


@pytest.mark.parametrize("name", ["new.example.net", "far.example.net"])
def test_a_reload_while_a_question_is_out(local: Local, name: str) -> None:
    """Its answer, which comes later, is not what local records say by now."""
    forward = local.forward(name)
    local.reload([{"name": "new.example.net", "a": ["10.0.0.99"]}, {"name": "far.example.net", "cname": "www.example.org"}])
    outcome = local.said(forward, f"{name} 600 IN A 192.0.2.1")
    if name.startswith("new"):
        assert local.text(name) == ["new.example.net. 300 IN A 10.0.0.99"]
        assert local.records(Answer(outcome, ""), name, "A") == ["new.example.net. 300 IN A 10.0.0.99"]
    else:
        assert outcome.asked_name == names.from_text("www.example.org")


@pytest.mark.parametrize(
    ("records", "asked"),
    [
        ([{"name": "far.corp.example", "cname": "other.example.net"}], "other.example.net"),
        ([], "far.corp.example"),
        ([{"name": "far.corp.example", "a": ["10.0.0.1"]}], ""),
        ([{"name": "far.corp.example", "cname": "www.example.net"}, {"name": "x.example", "a": ["10.0.0.1"]}], None),
    ],
)
def test_a_reload_while_the_rest_of_a_chain_is_asked(local: Local, records: list[dict[str, Any]], asked: str | None) -> None:
    """The beginning is that of now: another target is asked, the name itself, none; or it goes on as before."""
    forward = local.forward("far.corp.example")
    local.reload(records)
    outcome = local.said(forward, "www.example.net 600 IN A 192.0.2.1")
    if asked:
        assert outcome.asked_name == names.from_text(asked)
    else:
        last = "10.0.0.1" if asked == "" else "192.0.2.1"
        assert local.records(Answer(outcome, ""), "far.corp.example", "A")[-1].split()[-1] == last


def test_zones() -> None:
    """A local record comes before the zone that its name is in; a chain that leads into a zone is asked there."""
    zones = [
        {"name": "corp.example", "servers": ["192.0.2.10"]},
        {"name": "example.net", "servers": ["192.0.2.20"], "block": False},
    ]
    local = Local(zone=zones)
    assert local.text("intranet.corp.example", "AAAA") == ["intranet.corp.example. 300 IN AAAA fd00::5"]
    assert local.forward("other.corp.example").route.group == "zone:corp.example"
    assert local.forward("b.corp.example").route.group == "zone:corp.example"
    forward = local.forward("far.corp.example")
    assert forward.route.group == "zone:example.net"
    forward = local.said(forward, "www.example.net 60 IN CNAME y.corp.example.")
    assert (forward.route.group, forward.asked_name) == ("zone:corp.example", names.from_text("y.corp.example"))
    entry = local.said(forward, "y.corp.example 60 IN CNAME intranet.corp.example.")
    assert local.records(Answer(entry, ""), "far.corp.example", "A") == [
        "far.corp.example. 300 IN CNAME www.example.net.",
        "www.example.net. 60 IN CNAME y.corp.example.",
        "y.corp.example. 60 IN CNAME intranet.corp.example.",
        "intranet.corp.example. 300 IN A 10.0.0.5",
        "intranet.corp.example. 300 IN A 10.0.0.6",
    ]
    assert Local(zone=zones, ready=False).forward("far.corp.example"), "feeds have no say in that zone"


def test_ttls(local: Local) -> None:
    """They count down in the cache, and a TTL of 0 is not kept."""
    local.text("intranet.corp.example")
    assert local.text("intranet.corp.example", now=1100.0)[0] == "intranet.corp.example. 200 IN A 10.0.0.5"
    assert local.text("intranet.corp.example", now=1300.0)[0] == "intranet.corp.example. 300 IN A 10.0.0.5"
    for now in (1000.0, 2000.0):
        assert local.text("zero.example", now=now) == ["zero.example. 0 IN A 10.0.0.11"]


def test_names_that_no_record_concerns() -> None:
    """They are told by one look at their last labels."""
    records = LocalRecords.of(settled(RECORDS))
    key: Callable[[str], bytes] = names.from_text
    assert not records.may_answer(key("example.net"))
    assert not records.may_answer(key("com"))
    assert records.may_answer(key("corp.example"))
    assert key("example") not in records.filter_keys
    assert not LocalRecords.of(settled([])).may_answer(key("corp.example"))
    assert records.source(key("q.wild.example")) == (key("*.wild.example"), "[[record]]")
    assert records.source(key("b.corp.example")) == (b"", "")
