"""Decisions in the order of their stages: access, scope, the cache, new rules, stale answers and failures."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pdns.core.outcome import Drop, Forward
from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from tests.blocksets import make_blockset
from tests.unit.core.conftest import FEEDS, Standstill, make_config
from tests.wire import answers, ede, query, query_wire, read, response_wire


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
        ("id.server", "TXT", {"qclass": "CH"}, p.REFUSED),
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


def test_one_tenant_never_gets_anothers_cached_answer() -> None:
    """What one policy decided is not served under another."""
    world = Standstill(tenant=[{"name": "t", "networks": ["10.1.0.0/16"], "allow": ["only-beta.example"]}])
    options = {"address": "10.1.2.3"}
    world.forwarded("only-beta.example", "A", "only-beta.example 300 IN A 192.0.2.77", options=options)
    assert world.answer("only-beta.example", address="10.1.2.3").source == "cache"
    assert answers(world.wire("only-beta.example")) == ["192.0.2.1"]


def test_not_ready_is_servfail_never_unprotected() -> None:
    """Before the required feeds are there every question that would need them gets SERVFAIL and EDE 14."""
    world = Standstill(ready=False)
    wire = world.wire("www.example")
    assert (read(wire).header.rcode, (ede(wire) or (0, ""))[0]) == (p.SERVFAIL, 14)
    assert world.answer("localhost").source == "local"


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


def test_no_stale_answer_before_the_feeds_are_loaded() -> None:
    """Rules that are not ready cannot say whether the name is listed."""
    world = Standstill(make_blockset({"alpha": ""}))
    world.forwarded("www.example", "A", "www.example 300 IN A 192.0.2.7")
    forward = world.ask("www.example", now=1400.0)
    assert isinstance(forward, Forward)
    world.resolver.adopt(dataclasses.replace(world.resolver.rules, ready=False))
    assert world.resolver.stale_answer(forward, 1400.0) is None


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


def test_a_reload_keeps_answers_and_changes_rules() -> None:
    """After a configuration change cached answers are still there, under the new rules."""
    world = Standstill()
    world.forwarded("www.example", "A", "www.example 300 IN A 192.0.2.1")
    world.answer("malware.test")
    world.resolver.adopt(world.resolver.rules.with_config(Standstill(block={"action": "nxdomain"}).config))
    assert world.answer("www.example").source == "cache"
    assert world.answer("malware.test").entry.rcode == p.NXDOMAIN
    assert FEEDS


def test_what_is_no_longer_forwarded_leaves_the_cache() -> None:
    """An answer of the upstream is not given once the name is never forwarded; others stay."""
    world = Standstill()
    for name in ("nas.lan", "printer", "www.example"):
        world.forwarded(name, "A", f"{name} 300 IN A 192.0.2.7")
    config = make_config(local={"never_forward": ["lan"], "forward_single_labels": False})
    world.resolver.adopt(world.resolver.rules.with_config(config))
    for name in ("nas.lan", "printer"):
        assert read(world.wire(name)).header.rcode == p.NXDOMAIN
    assert world.answer("www.example").source == "cache"
    world.resolver.adopt(world.resolver.rules.with_config(make_config()))
    assert isinstance(world.ask("nas.lan"), Forward)


@pytest.mark.parametrize(
    ("name", "qtype", "told"),
    [
        ("id.server", "TXT", True),
        ("Hostname.BIND", "TXT", True),
        ("id.server", "ANY", True),
        ("id.server", "A", False),
        ("version.bind", "TXT", False),
        ("x.id.server", "TXT", False),
    ],
)
def test_the_name_of_the_server_in_class_ch(name: str, qtype: str, *, told: bool) -> None:
    """Where one is configured, `id.server` and `hostname.bind` are it (RFC 4892), in class CH and for no time."""
    world = Standstill(server={"identity": "ns1.ams"})
    message = read(world.wire(name, qtype, qclass="CH"))
    found = [(record.rclass, record.rtype, record.ttl, str(record.rdata)) for record in message.rr]
    assert found == ([(3, p.TXT, 0, '"ns1.ams"')] if told else [])
    assert message.header.rcode == (p.NOERROR if told else p.REFUSED)
    assert isinstance(world.ask(name, "TXT"), Forward)  # in class IN it is a name like any other
