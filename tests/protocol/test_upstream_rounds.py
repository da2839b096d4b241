"""Questions that get no answer at first: sent again, sent elsewhere, given up."""

from __future__ import annotations

import asyncio
import socket

import pytest

from pdns.wire import protocol as p
from pdns.worker.kernels import COMPILED
from tests.descriptors import spoil_sockets_to
from tests.fakes import upstream as fake
from tests.fakes.udp_edge import TRUE
from tests.protocol.conftest import Open, Run
from tests.wire import answers, ede, query_wire, read


def test_a_local_send_error_costs_no_answer_and_blames_no_upstream(run: Run, edge: Open) -> None:
    """Sockets that the kernel refuses to send from are replaced at once; here their descriptors are no sockets any more."""

    async def body() -> None:
        # always the compiled sockets: an event loop that polls each socket itself may not survive this
        async with edge(fake.drop, sockets=COMPILED.upstream, upstream={"timeout_s": 30.0}, repeats=True) as (e, upstream):
            sock = e.send(*[query_wire(f"www.n{number}.net", query_id=number) for number in range(200)])
            await e.out(200)
            spoil_sockets_to(upstream.port)
            upstream.handler = fake.answer(TRUE)
            more = e.send(*[query_wire(f"www.m{number}.net", query_id=number) for number in range(200)])
            for _ in range(200):
                assert answers(await e.reply(more)) == [TRUE]
            assert e.count("upstream_requests_total", "local_error") > 0
            assert (e.count("upstream_up"), e.count("upstream_useful")) == (1, 1)
            for _ in range(200):
                assert answers(await e.reply(sock)) == [TRUE]
            assert e.count("upstream_up") == 1

    run(body())


def test_silence_is_followed_by_other_rounds(run: Run, edge: Open) -> None:
    """A query that gets lost is sent again when its time is up, under another id, and counted as timed out."""

    async def body() -> None:
        async with edge(fake.in_turn(fake.drop, fake.answer(TRUE)), repeats=True) as (e, upstream):
            sock = e.send(query_wire("www.example"))
            await e.out(1)
            assert answers(await e.reply(sock)) == [TRUE]
            assert upstream.names() == ["www.example"] * 2
            assert len({query.id for query in upstream.asked()}) == 2
            assert e.count("upstream_requests_total", "timeout") == 1
            assert e.count("upstream_requests_total", "retransmit") == 1
            assert upstream.asked()[1].at_s - upstream.asked()[0].at_s > 0.7

    run(body())


def test_a_late_answer_is_still_good(run: Run, edge: Open) -> None:
    """An answer to the first query is taken although a second one was sent meanwhile."""

    async def body() -> None:
        async with edge(fake.in_turn(fake.delayed(fake.answer(TRUE), 1.0), fake.drop), repeats=True) as (e, upstream):
            assert answers(await e.ask("www.example")) == [TRUE]
            assert len(upstream.asked()) == 2

    run(body())


@pytest.mark.realtime
def test_an_upstream_that_refuses_is_left_for_another(run: Run, edge: Open) -> None:
    """An ICMP error sends the question to the other upstream at once, long before its time is up."""

    async def body() -> None:
        async with edge(fake.answer(TRUE), fake.answer(TRUE), repeats=True) as (e, (first, _second)):
            await first.stop()
            began_s = e.loop.time()
            for start in range(0, 60, 20):
                sock = e.send(*[query_wire(f"n{start + number}.example", query_id=number) for number in range(20)])
                assert [answers(await e.reply(sock)) for _ in range(20)] == [[TRUE]] * 20
            assert e.loop.time() - began_s < 0.7
            assert e.count("upstream_requests_total", "error") >= 1

    run(body())


def test_questions_to_a_dead_upstream_fail_soon(run: Run, edge: Open) -> None:
    """Once the only upstream is known to be down, questions in flight and new ones fail soon, with the reason."""

    async def body() -> None:
        async with edge(fake.drop, upstream={"timeout_s": 10.0}, repeats=True) as (e, upstream):
            began_s = e.loop.time()
            socks: list[socket.socket] = []
            while not e.forwarder.is_down():
                socks.append(e.send(query_wire(f"n{len(socks)}.example")))
                await asyncio.sleep(0.05)
            assert e.in_fast_forward() == 0
            for sock in socks:
                wire = await e.reply(sock, 9.0)
                assert (read(wire).header.rcode, ede(wire)) == (
                    p.SERVFAIL,
                    (22, f"udp://127.0.0.1:{upstream.port} did not answer"),
                )
            assert e.loop.time() - began_s < 8.0

    run(body())
