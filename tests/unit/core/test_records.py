"""Local records: what they answer, and what they leave to the outside."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from pdns.config.record_table import Origin, Rrset, build
from pdns.config.schema import LoadedRecords
from pdns.core.outcome import Answer, Forward
from pdns.core.records import LocalRecords
from pdns.wire import names
from pdns.wire import protocol as p
from tests.unit.core.localrecords import RECORDS, Local, settled
from tests.wire import query


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


def test_without_rd_a_chain_ends_outside(local: Local) -> None:
    """Such a client gets the local part, and others are not given that from the cache."""
    assert local.text("far.corp.example", rd=0) == ["far.corp.example. 300 IN CNAME www.example.net."]
    local.forward("far.corp.example")


def test_an_alias_that_is_listed_itself(local: Local) -> None:
    """A local record beats the feed that lists its name; where it leads to is still checked."""
    local.reload([{"name": "own.malware.test", "cname": "www.example.net"}])
    entry = local.said(local.forward("own.malware.test"), "www.example.net 60 IN A 192.0.2.1")
    assert entry.verdict is None
    entry = local.said(local.forward("own.malware.test", "AAAA"), "www.example.net 60 IN CNAME malware.test.")
    assert entry.verdict.feed == "alpha"


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


def test_every_name(local: Local) -> None:
    """Names with records are listed, those that merely stand above one are not; without records there are none."""
    listed = set(local.rules.records.names())
    assert {names.from_text(record["name"]) for record in RECORDS} <= listed
    assert names.from_text("b.corp.example") not in listed
    assert list(LocalRecords(LoadedRecords()).names()) == []


def test_a_chain_longer_than_the_configuration_allows_ends() -> None:
    """However aliases came to be, an answer has a bounded number of them: the rest is asked outside."""
    chain = [names.from_text(f"n{number}.example") for number in range(40)]
    alias = {name: Origin(0, [Rrset(p.CNAME, 60, (after,))]) for name, after in pairwise(chain)}
    found = LocalRecords(LoadedRecords(table=build(alias), sources=("[[record]]",))).answer(chain[0], p.A)
    assert found is not None
    assert found.outside
    assert len(found.rrsets) == 32


def test_no_proof_against_local_names(local: Local) -> None:
    """The root's proof that `internal` does not exist would deny `host.deep.internal` to a validator (RFC 8198)."""
    assert local.text("other.internal", do=True) == ["NXDOMAIN"]
    assert local.forward("other.local", do=True).proof
