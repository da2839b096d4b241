"""Cached answers: stale ones while the upstream is slow or down, and popular ones refreshed ahead of their end."""

from __future__ import annotations

import asyncio

from pdns.wire import protocol as p
from tests.fakes import upstream as fake
from tests.fakes.service_bench import bench, until
from tests.protocol.conftest import Run
from tests.wire import answers, ede, query_wire, read


def test_stale_while_the_upstream_is_away_then_fresh_again(run: Run) -> None:
    """An upstream that stops gives stale answers (EDE 3), for names never seen SERVFAIL (EDE 22), and needs no restart."""

    async def body() -> None:
        async with bench(fake.answer("192.0.2.9", ttl_s=30), upstream={"timeout_s": 1.0}, repeats=True) as b:
            await b.ask("www.example")
            b.upstream.handler = fake.drop
            b.ahead_s = 60.0
            wire = await b.ask("www.example")
            assert (answers(wire), ede(wire), read(wire).rr[0].ttl) == (["192.0.2.9"], (3, ""), 30)
            assert b.count("responses_total", "stale") == 1
            failed = await b.ask("new.example")
            assert (read(failed).header.rcode, ede(failed)) == (
                p.SERVFAIL,
                (22, f"udp://127.0.0.1:{b.upstream.port} did not answer"),
            )
            b.upstream.handler = fake.answer("192.0.2.10")
            b.ahead_s = 120.0
            await b.ask("www.example")  # stale at once, while the upstream is tried
            await until(lambda: not b.forwarder.is_down())
            b.ahead_s = 180.0
            assert answers(await b.ask("www.example")) == ["192.0.2.10"]
            assert answers(await b.ask("new.example")) == ["192.0.2.10"]

    run(body())


def test_a_slow_upstream_does_not_hold_back_a_stale_answer(run: Run) -> None:
    """After 1.8 s of waiting the stale answer is given (RFC 8767), to the next asker at once; the fresh one still arrives."""

    async def body() -> None:
        async with bench(fake.answer("192.0.2.9", ttl_s=30), upstream={"timeout_s": 4.0}) as b:
            await b.ask("www.example")
            b.upstream.handler = fake.delayed(fake.answer("192.0.2.10"), 0.4)
            b.ahead_s = 60.0
            replies = b.send(query_wire("www.example"))
            b.ahead_s += 2.0
            b.service.tick(b.now())
            assert ede(replies[0]) == (3, "")
            assert ede(b.send(query_wire("www.example", query_id=2))[0]) == (3, "")
            await until(lambda: b.service.in_flight() == 0)
            assert answers(await b.ask("www.example")) == ["192.0.2.10"]

    run(body())


def test_popular_names_are_refreshed_in_the_background(run: Run) -> None:
    """A popular answer near its end is answered from the cache and asked again: clients never wait for it."""

    async def body() -> None:
        async with bench(fake.answer(ttl_s=100), cache={"refresh_ahead_hits": 2}) as b:
            await b.ask("www.example")
            b.ahead_s = 95.0
            for number in range(5):
                assert b.send(query_wire("www.example", query_id=number))
            await until(lambda: b.service.in_flight() == 0)
            assert len(b.upstream.asked()) == 2
            assert read(b.send(query_wire("www.example"))[0]).rr[0].ttl == 100

    run(body())


def test_when_all_upstreams_are_down_stale_answers_do_not_wait(run: Run) -> None:
    """Once every upstream is known to be down a stale answer is given at once, and the upstream is still asked."""

    async def body() -> None:
        async with bench(fake.answer("192.0.2.9", ttl_s=30), upstream={"timeout_s": 10.0}, repeats=True) as b:
            await b.ask("www.example")
            b.upstream.handler = fake.drop
            start_s = asyncio.get_running_loop().time()
            failed = await b.ask("new.example", patience_s=8.0)
            assert ede(failed) == (22, f"udp://127.0.0.1:{b.upstream.port} did not answer")
            assert asyncio.get_running_loop().time() - start_s < 7.0
            assert b.forwarder.is_down()
            b.ahead_s = 60.0
            assert ede(b.send(query_wire("www.example"))[0]) == (3, "")
            assert b.service.in_flight() == 1

    run(body())
