"""Decisions: the stages in their order, blocking, caching, staleness."""

from __future__ import annotations

from typing import Any

import pytest

from pdns.core.local_rules import LocalEntry, LocalRules
from pdns.core.outcome import Answer, Drop, Forward
from pdns.wire import names
from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from tests.blocksets import make_blockset
from tests.unit.core.conftest import FEEDS, Standstill
from tests.wire import answers, ede, query, query_wire, read, response_wire

SOA = "example 900 IN SOA ns.example. host.example. 1 2 3 4 300"


# Access and scope


def test_strangers_are_refused_and_told() -> None:
    """An address outside the access list gets REFUSED, with the reason, whatever it asks."""
    world = Standstill()
    for name in ("malware.test", "localhost", "www.example"):
        wire = world.wire(name, address="192.0.2.9")
        assert (read(wire).header.rcode, ede(wire)) == (p.REFUSED, (18, "this address may not ask here"))


@pytest.mark.parametrize(
    ("name", "qtype", "options", "rcode"),
    [
        ("version.bind", "TXT", {"qclass": "CH"}, p.REFUSED),
        ("malware.test", "A", {"qclass": "CH"}, p.REFUSED),
        ("www.example", "AXFR", {}, p.REFUSED),
        ("www.example", "IXFR", {}, p.REFUSED),
        ("www.example", "TYPE0", {}, p.FORMERR),
        ("www.example", "TYPE41", {}, p.FORMERR),
        *(("www.example", f"TYPE{number}", {}, p.FORMERR) for number in (128, 129, 200, 248)),
        ("www.example", "TYPE249", {}, p.REFUSED),
        ("www.example", "TYPE250", {}, p.REFUSED),
        ("www.example", "TYPE253", {}, p.REFUSED),
        ("www.example", "TYPE254", {}, p.REFUSED),
        ("www.example", "A", {"rd": 0}, p.REFUSED),
    ],
)
def test_what_is_not_ours_to_answer_is_refused(name: str, qtype: str, options: dict[str, Any], rcode: int) -> None:
    """Other classes, transfers, meta types and questions without RD are never forwarded."""
    assert read(Standstill().wire(name, qtype, **options)).header.rcode == rcode


@pytest.mark.parametrize("qtype", [128, 248])
def test_meta_types_are_no_question(qtype: int) -> None:
    """No record has a meta type: a query for one is FORMERR, and told so (RFC 9824, 3.4; RFC 6895, 3.1)."""
    assert ede(Standstill().wire("www.example", f"TYPE{qtype}")) == (30, "no record has this type")


def test_without_rd_the_cache_is_not_shown() -> None:
    """A query without RD cannot find out what others asked."""
    world = Standstill()
    world.forwarded("www.example", "A", "www.example 300 IN A 192.0.2.1")
    assert world.answer("www.example").source == "cache"
    assert world.answer("www.example", rd=0).source == "refused"


def test_any_gets_the_minimal_answer() -> None:
    """ANY is answered with HINFO (RFC 8482), unless the name is blocked."""
    world = Standstill()
    assert [r.rtype for r in read(world.wire("www.example", "ANY")).rr] == [p.HINFO]
    assert world.answer("malware.test", "ANY").source == "blocked"


def test_over_the_rate_limit() -> None:
    """Past its burst a client is refused, dropped or sent to TCP, as configured."""
    limit = {"queries_per_s": 1, "burst": 1}
    for action, expected in (("refuse", (False, p.REFUSED)), ("truncate", (True, p.REFUSED))):
        world = Standstill(rate_limit={**limit, "action": action})
        world.ask("www.example")
        refused = world.answer("www.example")
        assert (refused.truncated, refused.entry.rcode) == expected
    world = Standstill(rate_limit={**limit, "action": "drop"})
    world.ask("www.example")
    assert world.ask("www.example") == Drop("rate_limit")


ROOT_PROOF = """. 900 IN SOA a.root-servers.net. nstld.example. 1 2 3 4 900
loans 900 IN NSEC locker. NS DS RRSIG NSEC
. 900 IN NSEC aaa. NS SOA RRSIG NSEC DNSKEY"""


def test_clients_that_validate_get_the_roots_proof() -> None:
    """With DO the absence of a special top-level name is asked upstream, by its own name and once, and given for all below it."""
    world = Standstill()
    forward = world.ask("printer.office.local", do=True)
    assert isinstance(forward, Forward)
    assert (forward.qname, forward.qtype, forward.proof) == (b"\5local\0", p.DS, True)
    entry = world.resolver.on_answer(forward, parse_message(response_wire("local", "DS", authority=ROOT_PROOF, rcode=3)), 1000.0)
    for name, qtype in (("printer.office.local", "A"), ("other.local", "TXT"), ("local", "DS"), ("local", "NS")):
        asked = query(name, qtype, do=True)
        answer = world.answer(name, qtype, do=True)
        assert answer.entry.body == entry.body
        reply = read(answer.entry.render(asked, 1000.0, 1232))
        assert (reply.header.rcode, [str(one.rname) for one in reply.auth]) == (p.NXDOMAIN, [".", "loans.", "."])
    assert world.answer("printer.office.local").source == "local"
    assert world.answer("local", "DS").source == "local"
    assert world.answer("x.local", do=True, rd=0).source == "local"
    assert world.answer("localhost").entry.rcode == p.NOERROR
    assert isinstance(world.ask("localhost", do=True), Forward)


@pytest.mark.parametrize("fails", [True, False])
def test_without_the_roots_proof_names_are_still_denied(*, fails: bool) -> None:
    """No upstream answers, or it has such a zone itself: NXDOMAIN all the same, and never an answer for another name."""
    world = Standstill()
    forward = world.ask("x.internal", do=True)
    assert isinstance(forward, Forward)
    if fails:
        entry = world.resolver.on_failure(forward, 22, "no upstream answered", None, 1000.0).entry
    else:
        response = parse_message(response_wire("internal", "DS", authority="internal 60 IN SOA ns.internal. host. 1 2 3 4 5"))
        entry = world.resolver.on_answer(forward, response, 1000.0)
    reply = read(entry.render(query("x.internal", do=True), 1000.0, 1232))
    assert (reply.header.rcode, [str(one.rname) for one in reply.auth]) == (p.NXDOMAIN, ["."])


# Blocking


@pytest.mark.parametrize("qtype", ["A", "AAAA", "HTTPS", "TXT", "MX", "ANY", "NS", "SOA", "CNAME", "DS", "TYPE65280"])
@pytest.mark.parametrize("name", ["malware.test", "Deep.Below.MALWARE.test"])
def test_a_listed_name_and_all_below_are_blocked_for_every_type(name: str, qtype: str) -> None:
    """Every type of a listed name is blocked; A and AAAA get the sinkhole, the rest NODATA with an SOA."""
    wire = Standstill().wire(name, qtype, do=True)
    expected = {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"]}.get(qtype, [])
    assert (read(wire).header.rcode, answers(wire)) == (p.NOERROR, expected)
    assert [r.rtype for r in read(wire).auth] == ([] if expected else [p.SOA])
    assert (ede(wire) or (0, ""))[0] == 15
    assert read(wire).header.ad == 0


def test_the_block_says_who_and_why() -> None:
    """The Extended DNS Error names category, listed name and feed; of several feeds the first configured speaks."""
    assert ede(Standstill().wire("x.malware.test")) == (15, "phishing: malware.test is listed by beta")
    assert ede(Standstill().wire("x.malware.test", edns=None)) is None


@pytest.mark.parametrize(
    ("name", "blocked"),
    [
        ("exact.example", True),
        ("x.exact.example", False),
        ("below.example", False),
        ("x.below.example", True),
        ("bad.example", True),
        ("good.bad.example", False),
        ("x.good.bad.example", False),
        ("notbad.example", False),
        (r"x\.bad.example", False),
        ("bad.example.net", False),
        ("watched.example", False),
    ],
)
def test_rules_reach_as_far_as_they_say(name: str, *, blocked: bool) -> None:
    """Exact, below-only, subtree, exceptions and monitored feeds: each blocks what it says and nothing else."""
    outcome = Standstill().ask(name)
    assert isinstance(outcome, Answer if blocked else Forward)


def test_a_listed_onion_name_is_a_block_not_a_mere_nxdomain() -> None:
    """Names that are never forwarded are still blocked, and counted, when a feed lists them."""
    world = Standstill(make_blockset({"alpha": "c2.onion"}))
    assert world.answer("c2.onion").source == "blocked"
    assert world.answer("other.onion").entry.rcode == p.NXDOMAIN


def test_exceptions_hold_for_their_own_feed_only() -> None:
    """A feed's exception does not lift what another feed lists; within a feed the more specific listing wins."""
    blockset = make_blockset({"alpha": "bad.example @@good.bad.example evil.good.bad.example", "beta": "x.good.bad.example"})
    world = Standstill(blockset)
    assert isinstance(world.ask("good.bad.example"), Forward)
    assert isinstance(world.ask("x.good.bad.example"), Answer)
    assert isinstance(world.ask("evil.good.bad.example"), Answer)
    same = Standstill(make_blockset({"alpha": "bad.example @@bad.example"}))
    assert isinstance(same.ask("bad.example"), Forward)


def test_allowlists_beat_feeds() -> None:
    """The global allowlist holds for all, a tenant's for its own clients; `*.x` allows what is below x only."""
    world = Standstill(
        block={"allow": ["malware.test", "*.bad.example"]},
        tenant=[{"name": "t", "networks": ["10.1.0.0/16"], "allow": ["only-beta.example"]}],
    )
    assert not isinstance(world.ask("malware.test"), Forward), "answered as .test, not blocked"
    assert world.answer("malware.test").source == "local"
    assert isinstance(world.ask("x.bad.example"), Forward)
    assert world.answer("bad.example").source == "blocked"
    assert world.answer("only-beta.example").source == "blocked"
    assert isinstance(world.ask("only-beta.example", address="10.1.2.3"), Forward)


def test_one_tenant_never_gets_anothers_cached_answer() -> None:
    """What one policy decided is not served under another."""
    world = Standstill(tenant=[{"name": "t", "networks": ["10.1.0.0/16"], "allow": ["only-beta.example"]}])
    options = {"address": "10.1.2.3"}
    world.forwarded("only-beta.example", "A", "only-beta.example 300 IN A 192.0.2.77", options=options)
    assert world.answer("only-beta.example", address="10.1.2.3").source == "cache"
    assert answers(world.wire("only-beta.example")) == ["192.0.2.1"]


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
    ("name", "records", "text"),
    [
        ("x.below.example", "", "malware: *.below.example is listed by alpha"),
        ("exact.example", "", "malware: exact.example is listed by alpha"),
        ("x.malware.test", "", "phishing: malware.test is listed by beta"),
        ("to.example", "CNAME x.below.example.", "malware: *.below.example is listed by alpha"),
        ("to.example", "A 203.0.113.7", "malware: 203.0.113.7 (203.0.113.0/24) is listed by alpha"),
        ("to.example", "A 192.0.2.9", "malware: 192.0.2.9 is listed by alpha"),
        ("to.example", "AAAA 2001:db8:bad::7", "malware: 2001:db8:bad::7 (2001:db8:bad::/48) is listed by alpha"),
        ("to.example", "AAAA 64:ff9b::cb00:7107", "malware: 64:ff9b::cb00:7107 (203.0.113.0/24) is listed by alpha"),
    ],
)
def test_the_block_names_the_rule(name: str, records: str, text: str) -> None:
    """The Extended DNS Error names what the feed lists: a name, `*.` and a name, or the address with its network."""
    world = Standstill(make_blockset({**FEEDS, "alpha": FEEDS["alpha"] + " 192.0.2.9/32"}))
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
    assert ede(world.wire("a.shop.example")) == (15, "local: ticket 7 (*.shop.example)")


def test_drop_is_silent() -> None:
    """The drop action gives an answer that is none, and still says whose it is."""
    answer = Standstill(block={"action": "drop"}).answer("malware.test")
    assert answer.entry.silent
    assert answer.entry.verdict is not None


def test_v4_sinkhole_alone_gives_nodata_for_aaaa() -> None:
    """A family without a sinkhole address gets NODATA, not the name's own addresses."""
    world = Standstill(block={"sinkhole": ["192.0.2.1"]})
    assert answers(world.wire("malware.test", "AAAA")) == []
    assert read(world.wire("malware.test", "AAAA")).auth


def test_not_ready_is_servfail_never_unprotected() -> None:
    """Before the required feeds are there every question that would need them gets SERVFAIL and EDE 14."""
    world = Standstill(ready=False)
    wire = world.wire("www.example")
    assert (read(wire).header.rcode, (ede(wire) or (0, ""))[0]) == (p.SERVFAIL, 14)
    assert world.answer("localhost").source == "local"


# What a clean name leads to


@pytest.mark.parametrize(
    ("qtype", "zone"),
    [
        ("A", "www.example 300 IN CNAME x.malware.test.\nx.malware.test. 300 IN A 192.0.2.7"),
        ("A", "www.example 300 IN CNAME ok.example.\nok.example 300 IN CNAME malware.test.\nmalware.test 300 IN A 192.0.2.7"),
        ("AAAA", "www.example 300 IN CNAME malware.test."),
        ("CNAME", "www.example 300 IN CNAME malware.test."),
        ("A", "www.example 300 IN A 203.0.113.200"),
        ("AAAA", "www.example 300 IN AAAA 2001:db8:bad::7"),
        ("AAAA", "www.example 300 IN AAAA ::ffff:203.0.113.5"),
        ("HTTPS", "www.example 300 IN HTTPS 1 . ipv4hint=203.0.113.9"),
        ("HTTPS", "www.example 300 IN HTTPS 1 . alpn=h2 ipv6hint=2001:db8:bad::1"),
        ("HTTPS", "www.example 300 IN HTTPS 0 malware.test."),
        ("SVCB", "www.example 300 IN SVCB 1 x.malware.test. alpn=dot"),
    ],
)
def test_a_clean_name_that_leads_to_a_listed_one_is_blocked(qtype: str, zone: str) -> None:
    """CNAME hops, addresses, HTTPS and SVCB targets and hints are checked, and nothing of the original leaks."""
    world = Standstill()
    world.forwarded("www.example", qtype, zone)
    wire = world.wire("www.example", qtype)
    assert (ede(wire) or (0, ""))[0] == 15
    assert set(answers(wire)) <= {"192.0.2.1", "2001:db8::1"}
    assert b"malware" not in wire[: wire.rfind(b"\0\0\x29")]


def test_an_allowed_name_may_lead_anywhere() -> None:
    """An allowlisted name is not blocked for where it leads; an allowlisted target does not clear the other hops."""
    zone = "www.example 300 IN CNAME x.malware.test.\nx.malware.test. 300 IN A 203.0.113.7"
    assert Standstill(block={"allow": ["www.example"]}).forwarded("www.example", "A", zone).source == "upstream"
    assert Standstill(block={"allow": ["malware.test"]}).forwarded("www.example", "A", zone).source == "blocked"


def test_monitored_feeds_are_counted_not_blocked() -> None:
    """What a feed in monitor mode would have blocked is on the entry, also behind a CNAME, also when cached."""
    world = Standstill()
    assert world.forwarded("x.watched.example", "A", "x.watched.example 60 IN A 198.51.100.1").monitored == (("watch", "policy"),)
    assert world.forwarded(
        "y.example", "A", "y.example 60 IN CNAME watched.example.\nwatched.example 60 IN A 192.0.2.1"
    ).monitored == (("watch", "policy"),)
    assert world.answer("y.example").entry.monitored == (("watch", "policy"),)


def test_a_new_blockset_blocks_what_is_cached() -> None:
    """When a listing arrives, cached answers, clean names and CNAMEs alike, are decided again; the others stay as they are."""
    world = Standstill(make_blockset({"alpha": ""}))
    world.forwarded("late.example", "A", "late.example 300 IN A 192.0.2.7")
    world.forwarded("www.example", "A", "www.example 300 IN CNAME late.example.\nlate.example 300 IN A 192.0.2.7")
    world.forwarded("clean.example", "A", "clean.example 300 IN A 192.0.2.8")
    world.resolver.adopt(world.resolver.rules.with_blockset(make_blockset({"alpha": "late.example"}, generation=2)))
    assert world.answer("late.example").source == "blocked"
    assert world.answer("www.example").source == "blocked"
    assert world.answer("clean.example").source == "cache"
    world.resolver.adopt(world.resolver.rules.with_blockset(make_blockset({"alpha": ""}, generation=3)))
    assert isinstance(world.ask("late.example"), Forward), "no longer listed: asked afresh"


# Caching


def test_ttls_count_down_and_case_is_the_clients() -> None:
    """From the cache: the client's id and letter case, TTLs less the time passed, AD only for who asked for it."""
    world = Standstill()
    world.forwarded("www.example", "A", "www.example 300 IN A 192.0.2.1\nwww.example 300 IN A 192.0.2.2", ad=1)
    wire = world.wire("WwW.eXample", now=1100.5, query_id=99, ad=1)
    reply = read(wire)
    assert wire[12:25] == b"\3WwW\7eXample\0"
    assert (reply.header.id, reply.header.ad, reply.header.ra, reply.header.aa) == (99, 1, 1, 0)
    assert [record.ttl for record in reply.rr] == [200, 200]
    assert read(world.wire("www.example")).header.ad == 0
    assert isinstance(world.ask("www.example", now=1300.0), Forward)


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


def test_servfail_is_remembered_briefly() -> None:
    """RFC 9520: after a failure the question is not asked again for a few seconds, then it is."""
    world = Standstill()
    forward = world.ask("www.example")
    assert isinstance(forward, Forward)
    world.resolver.on_failure(forward, 22, "no upstream answered", None, 1000.0)
    wire = world.wire("www.example", now=1004.0)
    assert (read(wire).header.rcode, ede(wire)) == (p.SERVFAIL, (22, "no upstream answered"))
    assert isinstance(world.ask("www.example", now=1005.0), Forward)


def test_an_upstreams_reason_is_passed_on() -> None:
    """A SERVFAIL that an upstream explains is explained to the client in its words."""
    world = Standstill()
    forward = world.ask("bogus.example")
    assert isinstance(forward, Forward)
    wire = query_wire("bogus.example", edns=None)
    failed = wire[:2] + b"\x81\x82" + wire[4:11] + b"\1" + wire[12:] + b"\0\0\x29\4\xd0\0\0\0\0\0\x0d\0\x0f\0\x09\0\6bog\nus!"
    answer = world.resolver.on_failure(forward, 22, "", parse_message(failed), 1000.0)
    assert answer.entry.ede == (6, b"bogus!")


def test_stale_answers_while_no_upstream_answers() -> None:
    """RFC 8767: an expired answer is given with a short TTL and EDE 3, is not asked for again at once, and has its day."""
    world = Standstill()
    world.forwarded("www.example", "A", "www.example 300 IN A 192.0.2.1")
    forward = world.ask("www.example", now=1400.0)
    assert isinstance(forward, Forward)
    answer = world.resolver.on_failure(forward, 22, "", None, 1400.0)
    assert (answer.source, answer.stale) == ("stale", True)
    asked = query("www.example")
    wire = answer.entry.render(asked, 1400.0, 1232, stale_ttl_s=30)
    assert ([record.ttl for record in read(wire).rr], ede(wire)) == ([30], (3, ""))
    assert world.answer("www.example", now=1429.0).stale
    assert isinstance(world.ask("www.example", now=1431.0), Forward)
    late = world.ask("www.example", now=1300.0 + 86400)
    assert isinstance(late, Forward)
    assert late.stale is None


def test_stale_nxdomain_says_so() -> None:
    """EDE 19 marks an expired NXDOMAIN."""
    world = Standstill()
    entry = world.forwarded("no.example", "A", authority=SOA, rcode=p.NXDOMAIN)
    assert ede(entry.render(query("no.example"), 2000.0, 1232, stale_ttl_s=30)) == (19, "")


def test_a_stale_answer_is_decided_again_too() -> None:
    """A name that was listed while its upstream is away is blocked, not served stale."""
    world = Standstill(make_blockset({"alpha": ""}))
    world.forwarded("late.example", "A", "late.example 300 IN A 192.0.2.7")
    forward = world.ask("late.example", now=1400.0)
    assert isinstance(forward, Forward)
    world.resolver.adopt(world.resolver.rules.with_blockset(make_blockset({"alpha": "late.example"}, generation=2)))
    assert world.resolver.on_failure(forward, 22, "", None, 1400.0).source == "blocked"
    other = Standstill(make_blockset({"alpha": ""}))
    other.forwarded("www.example", "A", "www.example 300 IN A 192.0.2.7")
    forward = other.ask("www.example", now=1400.0)
    assert isinstance(forward, Forward)
    other.resolver.adopt(other.resolver.rules.with_blockset(make_blockset({"alpha": "late.example"}, generation=2)))
    assert other.resolver.on_failure(forward, 22, "", None, 1400.0).source == "stale"


def test_popular_answers_are_refreshed_ahead() -> None:
    """In the last tenth of its life a popular answer is asked again, once; a failure to do so costs it nothing."""
    world = Standstill(cache={"refresh_ahead_hits": 3})
    world.forwarded("www.example", "A", "www.example 300 IN A 192.0.2.1")
    assert [world.answer("www.example", now=1200.0).refresh for _ in range(4)] == [None] * 4
    first, second = (world.answer("www.example", now=1280.0).refresh for _ in range(2))
    assert first is not None
    assert second is None
    world.resolver.on_failure(first, 22, "", None, 1280.0)
    assert world.answer("www.example", now=1281.0).source == "cache"


def test_overload_says_so_at_once() -> None:
    """Without room to ask, the client gets a stale answer or SERVFAIL with the reason, and neither is remembered."""
    world = Standstill()
    forward = world.ask("www.example")
    assert isinstance(forward, Forward)
    answer = world.resolver.overloaded(forward, "too many queries in flight", 1000.0)
    assert (answer.entry.rcode, answer.entry.ede) == (p.SERVFAIL, (0, b"too many queries in flight"))
    assert isinstance(world.ask("www.example"), Forward)


def test_do_and_cd_have_their_own_answers() -> None:
    """An answer without signatures is never served to a client that asked for them (RFC 4035, 3.2.1)."""
    world = Standstill()
    world.forwarded("www.example", "A", "www.example 300 IN A 192.0.2.1")
    assert isinstance(world.ask("www.example", do=True), Forward)
    assert isinstance(world.ask("www.example", cd=1), Forward)


# What is kept of a response


def test_foreign_records_are_left_behind() -> None:
    """Records of other names in an answer, and the authority and additional sections of a positive one, go no further."""
    world = Standstill()
    zone = "www.example 300 IN A 192.0.2.1\nwww.good.com 300 IN A 203.0.113.66"
    world.forwarded("www.example", "A", zone, authority="com 300 IN NS evil.test", additional="ns.com 300 IN A 203.0.113.66")
    reply = read(world.wire("www.example"))
    assert ([str(r.rname) for r in reply.rr], reply.auth, [r.rtype for r in reply.ar]) == (["www.example."], [], [p.OPT])


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
    """A positive answer's NSEC proof goes to who asked for DNSSEC, and to nobody else."""
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


def test_what_does_not_fit_is_truncated() -> None:
    """Past the client's size: TC, the question, no records; a long error text gives way first."""
    world = Standstill()
    world.forwarded("www.example", "TXT", "\n".join(f'www.example 300 IN TXT "{n:03} {"x" * 180}"' for n in range(10)))
    reply = read(world.wire("www.example", "TXT"))
    assert (reply.header.tc, reply.rr, [r.rtype for r in reply.ar]) == (1, [], [p.OPT])
    assert len(read(world.wire("www.example", "TXT", max_bytes=65535)).rr) == 10
    blocked = Standstill()
    full = blocked.wire("malware.test")
    short = blocked.wire("malware.test", max_bytes=len(full) - 1)
    assert (answers(short), ede(short), read(short).header.tc) == (["192.0.2.1"], None, 0)


def test_a_reload_keeps_answers_and_changes_rules() -> None:
    """After a configuration change cached answers are still there, under the new rules."""
    world = Standstill()
    world.forwarded("www.example", "A", "www.example 300 IN A 192.0.2.1")
    world.answer("malware.test")
    world.resolver.adopt(world.resolver.rules.with_config(Standstill(block={"action": "nxdomain"}).config))
    assert world.answer("www.example").source == "cache"
    assert world.answer("malware.test").entry.rcode == p.NXDOMAIN
    assert FEEDS
