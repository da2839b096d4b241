"""Source ports and ids of the queries we send: what an off-path attacker has to guess (RFC 5452, 9.2)."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from collections import Counter
from typing import Any

import pytest

from pdns.upstream import UpstreamAnswer, UpstreamFailure, streams, udp
from pdns.upstream.descriptors import udp_sockets
from pdns.upstream.exchange import Attempt
from tests.descriptors import open_fds
from tests.fakes.edges import until
from tests.fakes.forwarding import forwarding, url
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.patience import PATIENCE_S
from tests.fakes.upstream import FakeUpstream, answer, delayed, drop


def open_descriptors() -> int:
    return len(open_fds())


@on_both_loops
def test_queries_one_after_the_other_come_from_many_ports(loop: str) -> None:
    """150 questions in a row use over 100 ports, from all over 1024..65535 and not just from the kernel's range; ids as well."""

    async def main() -> None:
        async with FakeUpstream() as upstream, forwarding(upstream) as asker:
            for number in range(150):
                assert isinstance(await asker.ask(f"host-{number}.test"), UpstreamAnswer)
            ports = [query.source[1] for query in upstream.queries]
            ids = [query.id for query in upstream.queries]
        assert len(set(ports)) > 100
        assert max(Counter(ports).values()) < 10
        assert min(ports) >= 1024
        assert {(port - 1024) // 16128 for port in ports} == {0, 1, 2, 3}  # each quarter of the range
        assert len(set(ids)) > 145
        assert {query_id >> 13 for query_id in ids} == set(range(8))

    run_on(loop, main())


@on_both_loops
def test_sockets_rotate_under_load(loop: str) -> None:
    """No port carries more than 64 queries, and about 128 sockets are open at any time, however many questions come."""

    async def main() -> None:
        async with FakeUpstream() as upstream, forwarding(upstream) as asker:
            before = open_descriptors()
            most = 0
            for start in range(0, 12_000, 100):
                outcomes = await asyncio.gather(*[asker.start(f"host-{start + number}.test") for number in range(100)])
                assert all(isinstance(outcome, UpstreamAnswer) for outcome in outcomes)
                most = max(most, len(open_fds(collect=False)) - before)
            uses = Counter(query.source[1] for query in upstream.queries)
            assert 100 < most < 240
            assert len(uses) > 150
            assert max(uses.values()) <= 2 * 64  # a port may come up a second time
            assert sorted(uses.values())[-len(uses) // 20] <= 64

    run_on(loop, main())


@on_both_loops
def test_a_retired_socket_waits_for_its_answers(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that has had its share of queries takes no more, and closes when the last answer is in, not before."""
    monkeypatch.setattr(udp, "MAX_QUERIES", 1)

    async def main() -> None:
        async with FakeUpstream(delayed(answer(), 0.1)) as upstream, forwarding(upstream) as asker:
            before = open_descriptors()
            pending = [asker.start(f"host-{number}.test") for number in range(20)]
            assert len(open_fds(collect=False)) - before == 20  # a collection may take until they are asked again
            assert all(isinstance(outcome, UpstreamAnswer) for outcome in await asyncio.gather(*pending))
            assert len(open_fds(collect=False)) == before
            assert len({query.source for query in upstream.queries}) == 20

    run_on(loop, main())


@on_both_loops
def test_retired_sockets_are_bounded(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent upstream cannot make us hoard sockets: the oldest that only wait are closed, and their questions asked again."""
    monkeypatch.setattr(udp, "MAX_QUERIES", 1)
    monkeypatch.setattr(udp, "MAX_RETIRED", 10)

    async def main() -> None:
        async with FakeUpstream(drop) as upstream, forwarding(upstream, repeats=True) as asker:
            before = open_descriptors()
            pending = [asker.start(f"host-{number}.test") for number in range(13)]
            assert len(open_fds(collect=False)) - before == 10  # a collection may take until they are asked again
            await until(lambda: len(upstream.queries) == 13)
            for query in upstream.queries[3:]:
                await upstream.answer_late(answer(), query)
            upstream.handler = answer()
            assert all(isinstance(outcome, UpstreamAnswer) for outcome in await asyncio.gather(*pending))
            assert asker.stats.results["retransmit"] == 3

    run_on(loop, main())


@on_both_loops
def test_no_socket_lingers(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets that were not used for a while are closed."""
    monkeypatch.setattr(udp, "MAX_IDLE_S", PATIENCE_S)
    monkeypatch.setattr(udp, "_SWEEP_S", 0.05)

    async def main() -> None:
        async with FakeUpstream() as upstream, forwarding(upstream) as asker:
            before = open_descriptors()
            await asyncio.gather(*[asker.start(f"host-{number}.test") for number in range(30)])
            assert open_descriptors() - before == 30
            monkeypatch.setattr(udp, "MAX_IDLE_S", 0.05)
            await until(lambda: open_descriptors() == before)
            assert isinstance(await asker.ask("again.test"), UpstreamAnswer)

    run_on(loop, main())


@on_both_loops
def test_sockets_grow_old(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket in steady use is given up when its time is over."""
    monkeypatch.setattr(udp, "MAX_SOCKETS", 1)
    monkeypatch.setattr(udp, "MAX_AGE_S", 0.1)
    monkeypatch.setattr(udp, "_SWEEP_S", 0.05)

    async def main() -> None:
        async with FakeUpstream() as upstream, forwarding(upstream) as asker:
            started_s = time.monotonic()
            for number in range(40):
                await asker.ask(f"host-{number}.test")
                await asyncio.sleep(0.01)
            assert 3 <= len({query.source for query in upstream.queries}) <= 2 + (time.monotonic() - started_s) / 0.1

    run_on(loop, main())


@on_both_loops
def test_nothing_stays_open(loop: str) -> None:
    """close() gives every descriptor back, with questions out and without."""

    async def main() -> int:
        async with FakeUpstream() as upstream:
            before = open_descriptors()
            async with forwarding(upstream, f"tcp://127.0.0.1:{upstream.port}") as asker:
                await asyncio.gather(*[asker.start(f"host-{number}.test") for number in range(100)])
                upstream.handler = drop
                pending = [asker.start(f"host-{number}.test") for number in range(100)]
                await asyncio.sleep(0.05)
            await asyncio.gather(*pending)
            await until(lambda: upstream.open_connections == 0)
            return open_descriptors() - before

    assert run_on(loop, main()) == 0


@on_both_loops
def test_running_out_of_descriptors_is_survived(loop: str) -> None:
    """When the system gives no more sockets, open ones are used; with none at all the question is tried again in its time."""

    async def main() -> None:
        async with FakeUpstream() as upstream, forwarding(upstream) as asker:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            ceiling = os.dup(0)  # the lowest that is free
            os.close(ceiling)
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
                hungry = asker.start("no-descriptor.test")
                await asyncio.sleep(0.05)
                assert not hungry.done()
                assert asker.stats.results["error"] == 0, "it is no fault of the upstream's"
                resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling + 3, hard))
                assert isinstance(await hungry, UpstreamAnswer)
                outcomes = await asyncio.gather(*[asker.start(f"host-{number}.test") for number in range(100)])
                assert all(isinstance(outcome, UpstreamAnswer) for outcome in outcomes)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    run_on(loop, main())


@on_both_loops
def test_settling_twice_is_settling_once(loop: str) -> None:
    """What was settled before takes no other query's place with it."""

    async def main() -> None:
        async with FakeUpstream(drop) as upstream, forwarding(upstream) as asker:
            asker.start("www.example")
            await until(lambda: bool(upstream.queries))
            (exchange,) = asker.forwarder._in_flight
            first = exchange.attempts[0]
            channel: Any = first.channel
            second = Attempt(exchange, first.server, first.question, time.monotonic(), "", edns=True, exact=True)
            assert channel.send(second, time.monotonic())
            channel.settle(first)
            channel.settle(first)
            assert (channel.find(first.query_id), channel.find(second.query_id), channel.live) == (None, second, 1)
            first.settled = True

    run_on(loop, main())


@on_both_loops
def test_without_a_descriptor_for_long_the_question_fails_and_blames_no_upstream(loop: str) -> None:
    """After two seconds, with the system's reason; the upstream is up and useful, and asked when there is a descriptor."""

    async def main() -> None:
        async with FakeUpstream() as upstream, forwarding(upstream, timeout_s=8.0) as asker:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            ceiling = os.dup(0)
            os.close(ceiling)
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))
                outcomes = await asyncio.gather(*[asker.start(f"host-{number}.test") for number in range(10)])
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert set(outcomes) == {UpstreamFailure(23, "this resolver could not send: Too many open files")}
            assert isinstance(await asker.ask("www.example.test"), UpstreamAnswer)
            assert asker.stats.changes == [(url(upstream), True)]
            assert asker.stats.useful == {url(upstream): True}
            assert "timeout" not in asker.stats.results

    run_on(loop, main())


@on_both_loops
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_second_upstream_is_asked_at_once_when_the_first_cannot_be_sent_to(loop: str, transport: str) -> None:
    """Without a route the fault is on this host: the other upstream answers, and none counts as failed."""

    async def main() -> None:
        unroutable = f"{transport}://[100::53]:53"
        async with FakeUpstream() as upstream, forwarding(unroutable, url(upstream, transport)) as asker:
            for number in range(20):
                started_s = time.monotonic()
                assert isinstance(await asker.ask(f"www.host-{number}.test"), UpstreamAnswer)
                assert time.monotonic() - started_s < PATIENCE_S
            assert asker.stats.by_upstream[unroutable, "local_error"] > 0
            assert all(asker.stats.up.values())

    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("100::53", 53))
        except OSError:
            run_on(loop, main())
        else:
            pytest.skip("there is a route to everywhere, the discard prefix included")


@on_both_loops
def test_a_low_limit_bounds_the_sockets(loop: str) -> None:
    """With few descriptors for the process each upstream has its part of the reserve, and all questions are answered."""

    async def main() -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        async with FakeUpstream(delayed(answer(), 0.05)) as upstream:
            limit = 128 + open_descriptors()  # beside what other tests have left open
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            try:
                async with forwarding(upstream, "udp://127.0.0.1:9") as asker:
                    pool = next(iter(asker.forwarder._pools.values())).udp
                    assert pool is not None
                    for start in range(0, 2000, 100):
                        pending = [asker.start(f"host-{start + number}.test") for number in range(100)]
                        assert pool.open_sockets <= udp_sockets(2, limit)
                        assert all(isinstance(outcome, UpstreamAnswer) for outcome in await asyncio.gather(*pending))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    run_on(loop, main())


@on_both_loops
def test_when_our_address_changes_what_waits_is_asked_again(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets and connections of before are closed, and the questions that wait there go out again at once."""

    async def main() -> None:
        async with FakeUpstream(drop) as upstream, forwarding(upstream, url(upstream, "tcp")) as asker:
            pending = [asker.start(f"host-{number}.test") for number in range(20)]
            await until(lambda: len(upstream.queries) == 20 and len(upstream.names()) == 20)
            upstream.handler = answer()
            monkeypatch.setattr(udp, "source_address", lambda *_: "192.0.2.200")
            monkeypatch.setattr(streams, "source_address", lambda *_: "192.0.2.200")
            for pools in asker.forwarder._pools.values():
                pools.has_moved(time.monotonic() + 1.0)
            assert all(isinstance(outcome, UpstreamAnswer) for outcome in await asyncio.gather(*pending))
            assert asker.stats.results["timeout"] == 0
            assert all(asker.stats.up.values())

    run_on(loop, main())
