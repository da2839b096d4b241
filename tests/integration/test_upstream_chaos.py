"""Upstreams that do anything at all, in any order, while upstreams come and go: what must hold all the same."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Iterable

import pytest

from pdns.upstream import UpstreamAnswer, UpstreamFailure
from tests.fakes.edges import until
from tests.fakes.forwarding import Asker, forwarding, url
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.upstream import (
    NOTIMP,
    REFUSED,
    SERVFAIL,
    Action,
    FakeUpstream,
    Handler,
    SeenQuery,
    answer,
    changed,
    delayed,
    drop,
    garbage,
    hang_up,
    hang_up_mid_message,
    lame,
    lower_casing,
    negative,
    other_port,
    over_tcp_only,
    rcode,
    then,
    without_edns,
    wrong_id,
    wrong_question,
)

FORGED = answer("203.0.113.66")
RIGHT = answer("192.0.2.7")
LOSSES: list[Handler] = [drop, hang_up, hang_up_mid_message, garbage]
FORGERIES: list[Handler] = [
    wrong_id(FORGED),
    wrong_question(FORGED),
    other_port(FORGED),
    changed(FORGED, lambda wire: wire[:-13]),
]
ANSWERS: list[Handler] = [RIGHT, RIGHT, RIGHT, lower_casing(RIGHT), over_tcp_only(RIGHT), without_edns(RIGHT), negative()]
REFUSALS: list[Handler] = [rcode(SERVFAIL), rcode(REFUSED), rcode(NOTIMP), rcode(1, edns=False), lame()]


class Chaos:
    """A handler that throws dice for each query."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self, query: SeenQuery) -> Iterable[Action]:
        dice = self._random
        parts: list[Handler] = [delayed(dice.choice(FORGERIES), dice.random() / 50) for _ in range(dice.choice((0, 0, 1, 3)))]
        fate = dice.random()
        group = LOSSES if fate < 0.25 else REFUSALS if fate < 0.4 else ANSWERS
        parts.append(delayed(dice.choice(group), dice.choice((0, 0.001, 0.01, 0.05))))
        return then(*parts)(query)


async def check_rest(asker: Asker) -> None:
    """Nothing is left of questions that are over."""
    await until(lambda: not asker.forwarder._probes)
    assert asker.forwarder.in_flight == 0
    for pools in asker.forwarder._pools.values():
        channels = [*pools.stream._connections, *pools.stream._retired]
        assert [channel.live for channel in channels if channel.live] == []
        if pools.udp is not None:
            assert not pools.udp._retired
            assert [channel.live for channel in pools.udp.sockets if channel.live] == []


@on_both_loops
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("transports", ["udp", "tcp", "udp tcp udp"])
def test_every_question_has_one_bounded_honest_end(loop: str, seed: int, transports: str) -> None:
    """Each question gets one outcome in time, costs at most eight queries, and never a forged answer; nothing is left over."""

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            names = transports.split()
            upstreams = [await stack.enter_async_context(FakeUpstream(Chaos(seed * 10 + at))) for at in range(len(names))]
            urls = [url(upstream, transport) for upstream, transport in zip(upstreams, names, strict=True)]
            async with forwarding(*urls, timeout_s=3.0, impatient=True) as asker:
                pending = []
                for number in range(300):
                    pending.append(asker.start(f"host-{number}.example.test"))
                    if number % 20 == 0:
                        await asyncio.sleep(0.01)
                    if number == 100:
                        await upstreams[-1].stop()
                    if number == 200:
                        await upstreams[-1].start()
                outcomes = await asyncio.gather(*pending)
                for outcome in outcomes:
                    if isinstance(outcome, UpstreamAnswer):
                        assert b"\xcb\0\x71\x42" not in outcome.message.wire
                    else:
                        assert isinstance(outcome, UpstreamFailure)
                answered = sum(isinstance(outcome, UpstreamAnswer) for outcome in outcomes)
                assert answered > (30 if transports == "tcp" else 100)  # each hangup there hits all that are out
                costs = Counter(name for upstream in upstreams for name in upstream.names())
                assert max(costs.values()) <= 8
                await check_rest(asker)

    run_on(loop, main())
