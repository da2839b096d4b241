"""Several upstreams, some of which are silent or away: who is asked, who is left alone, who is found to be back."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import Counter
from collections.abc import Iterable

import pytest

from pdns.upstream import UpstreamAnswer, UpstreamFailure, UpstreamQuestion
from tests.fakes.edges import until
from tests.fakes.forwarding import Asker, forwarding, url
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.patience import PATIENCE_S
from tests.fakes.upstream import (
    Action,
    FakeUpstream,
    Handler,
    SeenQuery,
    answer,
    by_name,
    delayed,
    drop,
)


def every_other(inner: Handler) -> Handler:
    """Silence, then `inner`, and so on: half the time."""
    turn = itertools.cycle((drop, inner))
    return lambda query: next(turn)(query)  # noqa: PLW0108  # the next one for each query, not one for all


async def warm(asker: Asker, upstream: FakeUpstream, count: int = 5) -> None:
    """Let the forwarder learn how quick its upstreams are, so that it retransmits early."""
    handler, upstream.handler = upstream.handler, answer()
    for number in range(count):
        await asker.ask(f"warm-{number}.test")
    upstream.handler = handler
    upstream.clear()


@pytest.mark.realtime
@on_both_loops
def test_the_quicker_upstream_gets_the_questions(loop: str) -> None:
    """Once both are known, nearly all goes to the one that answers sooner, wherever it stands in the list."""

    async def main() -> None:
        async with FakeUpstream(delayed(answer(), 0.03)) as slow, FakeUpstream() as quick, forwarding(slow, quick) as asker:
            for number in range(200):
                assert isinstance(await asker.ask(f"host-{number}.test"), UpstreamAnswer)
            assert len(slow.queries) < 20
            assert len(quick.queries) > 180

    run_on(loop, main())


@on_both_loops
def test_a_lost_query_is_sent_again_elsewhere(loop: str) -> None:
    """An upstream that stays silent costs one retransmission time, not the whole timeout."""

    async def main() -> None:
        async with FakeUpstream(drop) as silent, FakeUpstream() as good, forwarding(silent, good, impatient=True) as asker:
            started_s = time.monotonic()
            assert isinstance(await asker.ask("www.example.test"), UpstreamAnswer)
            assert time.monotonic() - started_s < PATIENCE_S
            assert asker.stats.by_upstream == {(url(silent), "timeout"): 1, (url(good), "retransmit"): 1, (url(good), "ok"): 1}

    run_on(loop, main())


@on_both_loops
def test_half_of_the_packets_may_be_lost(loop: str) -> None:
    """With one upstream that answers every other query, every question gets its answer."""
    seen: Counter[str] = Counter()

    def half_the_time(query: SeenQuery) -> Iterable[Action]:
        seen[query.name] += 1
        return answer()(query) if seen[query.name] % 2 == 0 else []

    async def main() -> None:
        async with FakeUpstream() as upstream, forwarding(upstream, repeats=True) as asker:
            await warm(asker, upstream)
            upstream.handler = half_the_time
            outcomes = await asyncio.gather(*[asker.start(f"host-{number}.test") for number in range(40)])
            assert all(isinstance(outcome, UpstreamAnswer) for outcome in outcomes)
            assert len(upstream.asked()) == 80
            assert asker.stats.up == {url(upstream): True}

    run_on(loop, main())


@pytest.mark.realtime
@on_both_loops
def test_a_lossy_upstream_is_not_preferred(loop: str) -> None:
    """One that answers every other question, though the quickest, is avoided for a while when another knew the answer."""

    async def main() -> None:
        async with (
            FakeUpstream() as lossy,
            FakeUpstream(delayed(answer(), 0.005)) as good,
            forwarding(lossy, good, impatient=True) as asker,
        ):
            for number in range(4):
                await asker.ask(f"warm-{number}.test")
            lossy.handler = every_other(answer())
            for number in range(100):
                assert isinstance(await asker.ask(f"host-{number}.test"), UpstreamAnswer)
            assert len(good.asked()) > 80
            assert asker.stats.up == {url(lossy): True, url(good): True}

    run_on(loop, main())


@on_both_loops
def test_a_dead_upstream_is_left_alone_and_found_again(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    """Down after three failures, then only probes reach it, one line in the log says so; an answered probe brings it up."""
    caplog.set_level(logging.INFO, logger="pdns.upstream")

    async def main() -> None:
        async with (
            FakeUpstream() as one,
            FakeUpstream(delayed(answer(), 0.005)) as two,
            forwarding(one, two, impatient=True) as asker,
        ):
            for number in range(4):
                await asker.ask(f"warm-{number}.test")
            await one.stop()
            while asker.stats.by_upstream[url(one), "error"] == 0:  # one in a hundred goes to the other by chance
                assert isinstance(await asker.ask("host.test"), UpstreamAnswer)
            await until(lambda: asker.stats.up == {url(one): False, url(two): True})
            two.clear()
            for number in range(60):
                assert isinstance(await asker.ask(f"host-{number}.test"), UpstreamAnswer)
            again = len(two.asked()) - 60  # on a busy machine
            assert again >= 0
            assert asker.stats.by_upstream[url(two), "retransmit"] - again <= 2
            await one.start()
            one.clear()
            await until(lambda: asker.stats.up[url(one)])
            assert one.asked() == [], "a probe was enough"
            assert asker.stats.changes == [(url(one), True), (url(two), True), (url(one), False), (url(one), True)]
            for number in range(60):
                assert isinstance(await asker.ask(f"again-{number}.test"), UpstreamAnswer)
            assert len(one.asked()) > 20, "it is the quicker one again"

    run_on(loop, main())
    lines = [record.getMessage().split(" 127")[0] for record in caplog.records if record.name.startswith("pdns.upstream")]
    assert [line.split()[-1] if "down" in line else line.split()[-2] + " again" for line in lines] == ["down", "up again"]


@on_both_loops
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_when_all_are_down_recovery_needs_no_restart(loop: str, transport: str) -> None:
    """Questions fail while everything is down, and are answered as soon as an upstream is back."""

    async def main() -> None:
        async with (
            FakeUpstream() as one,
            FakeUpstream() as two,
            forwarding(url(one, transport), url(two, transport), timeout_s=0.5, impatient=True) as asker,
        ):
            await asker.ask("warm.test")
            await one.stop()
            await two.stop()
            outcomes = await asyncio.gather(*[asker.start(f"host-{number}.test") for number in range(10)])
            for outcome in outcomes:
                assert isinstance(outcome, UpstreamFailure)
                assert (outcome.ede_code, outcome.message) == (22, None)
                assert f"{url(one, transport)} did not answer" in outcome.text
            await until(lambda: not any(asker.stats.up.values()))
            assert isinstance(await asker.ask("still-dead.test"), UpstreamFailure)
            await two.start()
            answered = False
            started_s = time.monotonic()
            while not answered and time.monotonic() - started_s < PATIENCE_S:
                answered = isinstance(await asker.ask("recovered.test"), UpstreamAnswer)
            assert answered
            assert asker.stats.up[url(two, transport)]

    run_on(loop, main())


@on_both_loops
def test_one_slow_name_brings_no_upstream_down(loop: str) -> None:
    """An upstream that cannot answer a name or two, but answers the probe, stays up."""

    async def main() -> None:
        handler = by_name({"slow.test": drop}, answer())
        async with FakeUpstream(handler) as upstream, forwarding(upstream, timeout_s=0.4, impatient=True) as asker:
            await warm(asker, upstream)
            upstream.handler = handler
            for _ in range(2):
                await asyncio.gather(*[asker.start(f"{number}.slow.test") for number in range(10)])
            assert "." in [query.name for query in upstream.queries], "it was probed"
            assert asker.stats.changes == [(url(upstream), True)]

    run_on(loop, main())


# Bounds


@on_both_loops
def test_the_timeout_holds(loop: str) -> None:
    """Whatever else goes on, a question fails when `timeout_s` is over, and a tick later at the latest."""

    async def main() -> None:
        async with FakeUpstream(drop) as upstream, forwarding(upstream, timeout_s=0.3) as asker:
            started_s = time.monotonic()
            assert await asker.ask("www.example.test") == UpstreamFailure(22, f"{url(upstream)} did not answer")
            assert 0.3 <= time.monotonic() - started_s < PATIENCE_S

    run_on(loop, main())


@on_both_loops
def test_draining_waits_for_what_is_out(loop: str) -> None:
    """drain() returns when the last answer is in, or when its time is up."""

    async def main() -> None:
        async with FakeUpstream(delayed(answer(), 0.1)) as upstream, forwarding(upstream) as asker:
            await asker.forwarder.drain(1.0)
            pending = asker.start("www.example.test")
            await asker.forwarder.drain(1.0)
            assert pending.done()
            upstream.handler = drop
            pending = asker.start("www.example.test")
            started_s = time.monotonic()
            await asker.forwarder.drain(0.1)
            assert not pending.done()
            assert time.monotonic() - started_s < PATIENCE_S

    run_on(loop, main())


@on_both_loops
def test_an_error_of_the_caller_stays_his(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    """A `done` that raises is logged; the others get their answers."""

    async def main() -> None:
        async with FakeUpstream() as upstream, forwarding(upstream) as asker:
            calls: Counter[str] = Counter()

            def done(_outcome: object) -> None:
                calls["done"] += 1
                raise ZeroDivisionError

            asker.forwarder.resolve(UpstreamQuestion(b"\x03www\x04test\0", 1, 1, do=False, cd=False), done)
            assert isinstance(await asker.ask("www.example.test"), UpstreamAnswer)
            assert calls["done"] == 1
            assert len(asker.problems) == 1
            assert "ZeroDivisionError" in asker.problems.pop()

    run_on(loop, main())
    assert "error while an answer was handed on" in caplog.text
