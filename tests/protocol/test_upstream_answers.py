"""What upstreams send back: forged, truncated, failed, useless and unusual answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from pdns.wire import protocol as p
from tests.fakes import upstream as fake
from tests.fakes.udp_edge import FORGED, TRUE
from tests.protocol.conftest import Open, Run
from tests.wire import answers, ede, query_wire, read


@pytest.mark.parametrize(
    ("forgery", "counted"),
    [
        (fake.wrong_id, "unmatched"),
        (fake.wrong_question, "unmatched"),
        (fake.other_port, ""),
        (fake.lower_casing, "unmatched"),
        (lambda _forged: fake.garbage, "malformed"),
    ],
    ids=["id", "question", "port", "case", "garbage"],
)
def test_forgeries_are_counted_and_ignored(
    run: Run, edge: Open, forgery: Callable[[fake.Handler], fake.Handler], counted: str
) -> None:
    """An answer that is malformed, or has another id, question or letter case, is counted and does not end the wait."""

    async def body() -> None:
        right = fake.delayed(fake.answer(TRUE), 0.05)
        both = fake.by_transport(fake.then(forgery(fake.answer(FORGED)), right), right)
        async with edge(both) as (e, _):
            assert answers(await e.ask("a-long-name-with-letters.example")) == [TRUE]
            seen = {result for result in ("unmatched", "malformed") if e.count("upstream_requests_total", result)}
            assert seen >= {counted} if counted else not seen
            assert e.count("upstream_requests_total", "ok") >= 1

    run(body())


def test_an_upstream_that_loses_the_case_is_asked_over_tcp(run: Run, edge: Open) -> None:
    """An answer in another letter case is not accepted over UDP. After an answer over TCP the case is no longer randomised."""

    async def body() -> None:
        async with edge(fake.lower_casing(fake.answer(TRUE))) as (e, upstream):
            assert answers(await e.ask("a-long-name-with-letters.example")) == [TRUE]
            assert answers(await e.ask("another-long-name-with-letters.example")) == [TRUE]
            assert [query.transport for query in upstream.asked()] == ["udp", "tcp", "udp"]

    run(body())


def test_a_truncated_answer_is_fetched_over_tcp(run: Run, edge: Open) -> None:
    """TC=1 is followed by the same question over TCP, and the client gets what fits."""

    async def body() -> None:
        async with edge(fake.over_tcp_only(fake.answer(*[f"192.0.2.{n}" for n in range(30)]))) as (e, upstream):
            assert len(answers(await e.ask("big.example"))) == 30
            assert [query.transport for query in upstream.asked()] == ["udp", "tcp"]
            assert e.count("upstream_requests_total", "truncated") == 1

    run(body())


def test_a_failure_is_not_believed_at_once(run: Run, edge: Open) -> None:
    """SERVFAIL of one upstream sends the question to the other; of both it is passed on with a reason."""

    async def body() -> None:
        bad = fake.by_name({"bad.example": fake.rcode(fake.SERVFAIL)}, fake.answer(TRUE))
        async with edge(fake.rcode(fake.SERVFAIL), bad) as (e, upstreams):
            for number in range(10):
                assert answers(await e.ask(f"n{number}.example")) == [TRUE]
            wire = await e.ask("bad.example")
            code, text = ede(wire) or (0, "")
            assert (read(wire).header.rcode, code) == (p.SERVFAIL, 22)
            assert set(text.split("; ")) == {f"udp://127.0.0.1:{upstream.port} answered SERVFAIL" for upstream in upstreams}
            assert e.count("upstream_requests_total", "servfail") >= 2

    run(body())


@pytest.mark.parametrize(
    "bad", [fake.rcode(fake.REFUSED), fake.rcode(fake.NOTIMP), fake.lame()], ids=["REFUSED", "NOTIMP", "lame"]
)
def test_two_bad_upstreams_of_three_hide_no_good_one(run: Run, edge: Open, bad: fake.Handler) -> None:
    """Questions that come together, and one by one: all are answered, and soon by the good one alone."""

    async def body() -> None:
        async with edge(bad, bad, fake.answer(TRUE)) as (e, upstreams):
            number = 0
            while e.count("upstream_useful") > 1:
                wires = [query_wire(f"www.n{number + at}.net", query_id=at) for at in range(20)]
                number += 20
                sock = e.send(*wires)
                for _ in wires:
                    assert answers(await e.reply(sock)) == [TRUE]
                await asyncio.sleep(0.05)
            for upstream in upstreams:
                upstream.clear()
            sock = e.send(*[query_wire(f"www.m{number}.net", query_id=number) for number in range(200)])
            for _ in range(200):
                assert answers(await e.reply(sock)) == [TRUE]
            late = e.count("upstream_requests_total", "timeout")  # a slow machine: those were asked elsewhere as well
            assert max(len(upstream.asked()) for upstream in upstreams[:2]) <= 4 + late
            assert e.count("upstream_up") == 3

    run(body())


def test_what_is_behind_the_message_or_not_used_does_no_harm(run: Run, edge: Open) -> None:
    """Surplus bytes, a second OPT and a damaged record in the additional section do not delay the answer."""

    async def body() -> None:
        opt = b"\0\0\x29\4\xd0\0\0\0\0\0\0"
        handlers = {
            "surplus.example": fake.changed(fake.answer(TRUE), lambda wire: wire + b"\0"),
            "opts.example": fake.changed(fake.answer(TRUE), lambda wire: wire[:11] + b"\2" + wire[12:] + opt),
            "damaged.example": fake.changed(fake.answer(TRUE), lambda wire: wire[:11] + b"\2" + wire[12:] + b"\xc0\xff"),
            "ns.example": lambda query: [fake.Send(fake.reply(query, (), [fake.rr(2, b"\2ns\0")]))],
        }
        async with edge(fake.by_name(handlers, fake.drop)) as (e, upstream):
            for name in ("surplus.example", "opts.example", "damaged.example"):
                assert answers(await e.ask(name)) == [TRUE]
            empty = read(await e.ask("ns.example"))
            assert (empty.header.rcode, empty.rr) == (p.NOERROR, [])
            assert len(upstream.queries) == 4

    run(body())


def test_an_upstream_without_edns_is_learned(run: Run, edge: Open) -> None:
    """FORMERR to EDNS leads to the question without it, there and in what follows."""

    async def body() -> None:
        async with edge(fake.without_edns(fake.answer(TRUE))) as (e, upstream):
            assert answers(await e.ask("one.example")) == [TRUE]
            assert answers(await e.ask("two.example")) == [TRUE]
            assert [query.edns for query in upstream.asked()] == [True, False, False]

    run(body())
