"""What a blocked client gets: the action's answer, its SOA, and the rule that it names."""

from __future__ import annotations

import pytest

from pdns.core.case import reference
from pdns.core.local_rules import LocalEntry, LocalRules
from pdns.wire import names
from pdns.wire import protocol as p
from tests.blocksets import make_blockset
from tests.unit.core.conftest import FEEDS, Standstill
from tests.wire import answers, ede, query, read


def case(listed: str, feed: str) -> str:
    """The reference of a block of the default policy."""
    return reference(names.from_text(listed), feed)


def test_the_block_says_who_and_why() -> None:
    """The Extended DNS Error names category, listed name and feed; of several feeds the first configured speaks."""
    assert ede(Standstill().wire("x.malware.test")) == (
        15,
        f"phishing: malware.test is listed by beta (case {case('malware.test', 'beta')})",
    )
    assert ede(Standstill().wire("x.malware.test", edns=None)) is None


@pytest.mark.parametrize(
    ("action", "qtype", "rcode", "rdata", "soa"),
    [
        ("sinkhole", "A", p.NOERROR, ["192.0.2.1"], False),
        ("zero", "A", p.NOERROR, ["0.0.0.0"], False),
        ("zero", "AAAA", p.NOERROR, ["::"], False),
        ("zero", "HTTPS", p.NOERROR, [], True),
        ("nxdomain", "A", p.NXDOMAIN, [], True),
        ("nodata", "AAAA", p.NOERROR, [], True),
        ("refused", "A", p.REFUSED, [], False),
    ],
)
def test_block_actions(action: str, qtype: str, rcode: int, rdata: list[str], *, soa: bool) -> None:
    """Each action gives its answer; negative ones carry the SOA that makes them cacheable, for the configured time."""
    wire = Standstill(block={"action": action, "ttl_s": 77}).wire("malware.test", qtype)
    reply = read(wire)
    assert (reply.header.rcode, answers(wire), bool(reply.auth)) == (rcode, rdata, soa)
    assert {record.ttl for record in (*reply.rr, *reply.auth)} <= {77}


@pytest.mark.parametrize(
    ("action", "name", "owner"),
    [
        ("nxdomain", "malware.test", "test."),
        ("nxdomain", "a.b.malware.test", "malware.test."),
        ("nxdomain", "x.below.example", "below.example."),
        ("nxdomain", "exact.example", "example."),
        ("nxdomain", "badtld", "."),
        ("nxdomain", "x.badtld", "badtld."),
        ("nodata", "malware.test", "malware.test."),
        ("nodata", "a.b.malware.test", "malware.test."),
        ("sinkhole", "badtld", "badtld."),
        ("zero", "x.badtld", "badtld."),
    ],
)
def test_the_soa_of_a_block_is_one_that_caches_believe(action: str, name: str, owner: str) -> None:
    """The SOA stands at the listed name; where NXDOMAIN says that this does not exist, at the name above it."""
    world = Standstill(make_blockset({**FEEDS, "alpha": FEEDS["alpha"] + " badtld"}), block={"action": action})
    assert [str(record.rname) for record in read(world.wire(name, "TXT")).auth] == [owner]


def test_the_soa_of_a_listed_root() -> None:
    """The root has no name above it."""
    world = Standstill(make_blockset({"alpha": "."}), block={"action": "nxdomain"})
    assert [[str(record.rname) for record in read(world.wire(name)).auth] for name in (".", "x.example")] == [["."], ["."]]


def test_the_soa_of_a_name_that_leads_to_a_listed_one() -> None:
    """The listed name is elsewhere, so the SOA stands at the name above the one that was asked for."""
    world = Standstill(block={"action": "nxdomain"})
    entry = world.forwarded("a.b.example", "A", "a.b.example 60 IN CNAME malware.test.\nmalware.test 60 IN A 192.0.2.1")
    wire = entry.render(query("a.b.example"), 1000.0, 1232)
    assert [str(record.rname) for record in read(wire).auth] == ["b.example."]


@pytest.mark.parametrize(
    ("name", "records", "text", "listed"),
    [
        ("x.below.example", "", "malware: *.below.example is listed by alpha", "below.example"),
        ("exact.example", "", "malware: exact.example is listed by alpha", "exact.example"),
        ("x.malware.test", "", "phishing: malware.test is listed by beta", "malware.test"),
        ("to.example", "CNAME x.below.example.", "malware: *.below.example is listed by alpha", "below.example"),
        ("to.example", "A 203.0.113.7", "malware: 203.0.113.7 (203.0.113.0/24) is listed by alpha", "to.example"),
        ("to.example", "A 192.0.2.9", "malware: 192.0.2.9 is listed by alpha", "to.example"),
        ("to.example", "AAAA 2001:db8:bad::7", "malware: 2001:db8:bad::7 (2001:db8:bad::/48) is listed by alpha", "to.example"),
        (
            "to.example",
            "AAAA 64:ff9b::cb00:7107",
            "malware: 64:ff9b::cb00:7107 (203.0.113.0/24) is listed by alpha",
            "to.example",
        ),
    ],
)
def test_the_block_names_the_rule(name: str, records: str, text: str, listed: str) -> None:
    """The Extended DNS Error names what the feed lists: a name, `*.` and a name, or the address with its network."""
    world = Standstill(make_blockset({**FEEDS, "alpha": FEEDS["alpha"] + " 192.0.2.9/32"}))
    text += f" (case {case(listed, text.rsplit(maxsplit=1)[1])})"
    if not records:
        assert ede(world.wire(name)) == (15, text)
        return
    qtype = records.split(maxsplit=1)[0].replace("CNAME", "A")
    entry = world.forwarded(name, qtype, f"{name} 60 IN {records}")
    assert ede(entry.render(query(name, qtype), 1000.0, 1232)) == (15, text)


def test_an_administrators_block_names_its_rule() -> None:
    """A local entry for what is below a name is spelt as such."""
    world = Standstill()
    world.resolver.adopt(
        world.resolver.rules.with_local(LocalRules([LocalEntry(names.from_text("shop.example"), True, False, "ticket 7")]))
    )
    assert ede(world.wire("a.shop.example")) == (15, f"local: ticket 7 (*.shop.example) (case {case('shop.example', 'local')})")


def test_drop_is_silent() -> None:
    """The drop action makes an entry that is not sent, and still has a verdict."""
    answer = Standstill(block={"action": "drop"}).answer("malware.test")
    assert answer.entry.silent
    assert answer.entry.verdict is not None


def test_v4_sinkhole_alone_gives_nodata_for_aaaa() -> None:
    """A family without a sinkhole address gets NODATA, not the name's own addresses."""
    world = Standstill(block={"sinkhole": ["192.0.2.1"]})
    assert answers(world.wire("malware.test", "AAAA")) == []
    assert read(world.wire("malware.test", "AAAA")).auth
