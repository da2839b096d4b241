"""Answers to forwarded datagrams that lead to a listed name or address, and rules that change meanwhile."""

from __future__ import annotations

from pdns.core.local_rules import LocalEntry, LocalRules
from pdns.wire import protocol as p
from tests.blocksets import make_blockset
from tests.fakes import upstream as fake
from tests.fakes.udp_edge import FEEDS, SINKHOLE, TRUE
from tests.protocol.conftest import Open, Run
from tests.wire import answers, query_wire

LISTED = fake.rr(p.CNAME, b"\3bad\7example\0")


def test_an_answer_that_leads_to_a_listed_name_is_blocked(run: Run, edge: Open) -> None:
    """A CNAME to a listed name, an HTTPS target, and an address where addresses are listed: blocked, and counted."""

    async def body() -> None:
        cloaked = fake.records(LISTED, fake.rr(p.A, b"\xc0\0\2\x63", owner=b"\3bad\7example\0"))
        svcb = fake.records(fake.rr(p.HTTPS, b"\0\1\3bad\7example\0"))
        handlers = {"cloak.example": cloaked, "svcb.example": svcb, "net.example": fake.answer("198.51.100.9")}
        blockset = make_blockset({"alpha": "bad.example 198.51.100.0/24"})
        async with edge(fake.by_name(handlers, fake.answer(TRUE)), blockset=blockset, **FEEDS) as (e, _):
            assert answers(await e.ask("cloak.example")) == [SINKHOLE]
            assert answers(await e.ask("net.example")) == [SINKHOLE]
            assert answers(await e.ask("svcb.example", "HTTPS")) == []
            assert answers(await e.ask("clean.example")) == [TRUE]
            assert e.count("blocked_total", "alpha") == 3

    run(body())


def test_an_answer_that_leads_to_a_local_rule_is_blocked(run: Run, edge: Open) -> None:
    """A CNAME to a name that a local rule blocks is blocked with the reason of the rule, with a blockset or without."""

    async def body() -> None:
        cloaked = fake.records(LISTED, fake.rr(p.A, b"\xc0\0\2\x63", owner=b"\3bad\7example\0"))
        handlers = {"cloak.example": cloaked, "other.example": cloaked}
        for blockset in (None, make_blockset({"alpha": "listed.example"})):
            async with edge(fake.by_name(handlers, fake.answer(TRUE)), blockset=blockset) as (e, _):
                assert answers(await e.ask("cloak.example")) == ["bad.example.", "192.0.2.99"]
                e.service.adopt(
                    e.service.rules.with_local(LocalRules([LocalEntry(b"\3bad\7example\0", False, False, "ticket 7")]))
                )
                for name in ("cloak.example", "other.example"):  # an answer in the cache, and one that is not
                    answer = await e.ask(name, edns=1232)
                    assert answers(answer) == [SINKHOLE]
                    assert b"local: ticket 7 (bad.example)" in answer
                assert answers(await e.ask("x.bad.example")) == [SINKHOLE]
                assert answers(await e.ask("clean.example")) == [TRUE]
                e.service.adopt(e.service.rules.with_local(LocalRules()))
                assert answers(await e.ask("x.bad.example")) == [TRUE]
                assert answers(await e.ask("cloak.example")) == ["bad.example.", "192.0.2.99"]

    run(body())


def test_chains_and_targets_that_no_feed_lists_pass(run: Run, edge: Open) -> None:
    """A chain of CNAMEs is returned and cached unchanged, whether it ends in an address or not. So are an HTTPS target and an
    address outside the listed networks. Where the queried name is allowed, its chain is not checked.
    """

    async def body() -> None:
        chain = [fake.rr(p.CNAME, b"\1b\7example\0"), fake.rr(p.CNAME, b"\1c\xc0\x2d", owner=b"\1b\7example\0")]
        last = fake.rr(p.A, b"\xc0\0\2\7", owner=b"\1c\7example\0")
        cloaked = fake.records(LISTED, fake.rr(p.A, b"\xc0\0\2\x63", owner=b"\3bad\7example\0"))
        handlers = {
            "chain.example": fake.records(*chain, last),
            "empty.example": lambda query: [fake.Send(fake.reply(query, chain, [b"\7example\0" + fake.soa_record()[2:]]))],
            "svcb.example": fake.records(fake.rr(p.HTTPS, b"\0\1\1b\7example\0")),
            "fine.example": cloaked,
        }
        blockset = make_blockset({"alpha": "bad.example 198.51.100.0/24"})
        sections = {**FEEDS, "block": {"allow": ["fine.example"]}}
        async with edge(fake.by_name(handlers, fake.answer(TRUE)), blockset=blockset, **sections) as (e, upstream):
            for _ in range(2):
                assert answers(await e.ask("chain.example")) == ["b.example.", "c.example.", TRUE]
                assert answers(await e.ask("empty.example", "AAAA")) == ["b.example.", "c.example."]
                assert len(answers(await e.ask("svcb.example", "HTTPS"))) == 1
                assert answers(await e.ask("clean.example")) == [TRUE]
                assert answers(await e.ask("fine.example")) == ["bad.example.", "192.0.2.99"]
            assert len(upstream.asked()) == 5
            assert e.count("upstream_requests_total", "ok") == 5
            assert e.count("blocked_total") == 0

    run(body())


def test_a_monitored_name_is_counted(run: Run, edge: Open) -> None:
    """A feed in monitor mode blocks nothing, and each query that it would have blocked is counted."""

    async def body() -> None:
        async with edge(fake.answer(TRUE), blockset=make_blockset({"watch": "seen.example"}), **FEEDS) as (e, _):
            for _ in range(2):
                assert answers(await e.ask("x.seen.example")) == [TRUE]
            assert e.count("would_block_total", "watch") == 2

    run(body())


def test_a_name_that_is_listed_while_in_flight_is_blocked(run: Run, edge: Open) -> None:
    """The rules in force when the answer arrives decide, not those of the moment of the question."""

    async def body() -> None:
        async with edge(fake.delayed(fake.answer(TRUE), 0.15), blockset=make_blockset({}), **FEEDS) as (e, _):
            sock = e.send(query_wire("late.example"))
            await e.out(1)
            e.service.adopt(e.service.rules.with_blockset(make_blockset({"alpha": "late.example"})))
            assert answers(await e.reply(sock)) == [SINKHOLE]
            assert answers(await e.ask("late.example")) == [SINKHOLE]

    run(body())
