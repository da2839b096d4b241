"""Several upstreams, some of which answer SERVFAIL, REFUSED or nonsense: who is believed, who is asked instead."""

from __future__ import annotations

import contextlib
import time

import pytest

from pdns.upstream import UpstreamAnswer, UpstreamFailure
from tests.fakes.forwarding import forwarding, url
from tests.fakes.loops import LOOPS, on_both_loops, run_on
from tests.fakes.patience import PATIENCE_S
from tests.fakes.upstream import (
    FORMERR,
    NOTIMP,
    REFUSED,
    SERVFAIL,
    FakeUpstream,
    Handler,
    answer,
    by_name,
    delayed,
    lame,
    negative,
    over_tcp_only,
    rcode,
)

EDE_DNSSEC_BOGUS = b"\0\x0f\0\x02\0\x06"


# Replies that do not answer the question


@on_both_loops
@pytest.mark.parametrize(
    ("handler", "result"),
    [
        pytest.param(rcode(SERVFAIL), "servfail", id="SERVFAIL"),
        pytest.param(rcode(REFUSED), "refused", id="REFUSED"),
        pytest.param(rcode(NOTIMP), "notimp", id="NOTIMP"),
        pytest.param(lame(), "error", id="lame"),
    ],
)
def test_another_upstream_may_know_better(loop: str, handler: Handler, result: str) -> None:
    """What one upstream cannot answer is asked of another, at once; the first is not preferred for a while."""

    async def main() -> None:
        async with FakeUpstream(handler) as bad, FakeUpstream() as good, forwarding(bad, good) as asker:
            started_s = time.monotonic()
            assert isinstance(await asker.ask("www.example.test"), UpstreamAnswer)
            assert time.monotonic() - started_s < PATIENCE_S
            assert asker.stats.by_upstream[url(bad), result] == 1
            for number in range(50):
                await asker.ask(f"host-{number}.test")
            assert len(bad.queries) < 10
            assert asker.stats.up[url(bad)], "it answers, after all"

    run_on(loop, main())


@on_both_loops
@pytest.mark.parametrize(
    ("handler", "ede_code", "code"),
    [
        pytest.param(rcode(SERVFAIL, options=EDE_DNSSEC_BOGUS), 22, SERVFAIL, id="SERVFAIL"),
        pytest.param(rcode(REFUSED), 23, REFUSED, id="REFUSED"),
        pytest.param(rcode(NOTIMP), 23, NOTIMP, id="NOTIMP"),
    ],
)
def test_what_all_say_is_believed(loop: str, handler: Handler, ede_code: int, code: int) -> None:
    """All three are asked, once, and no time is lost; the failure names them and bears what was said, with its extended error."""

    async def main() -> None:
        async with (
            FakeUpstream(handler) as one,
            FakeUpstream(handler) as two,
            FakeUpstream(handler) as three,
            forwarding(one, two, three) as asker,
        ):
            started_s = time.monotonic()
            outcome = await asker.ask("www.example.test")
            assert time.monotonic() - started_s < PATIENCE_S
            assert isinstance(outcome, UpstreamFailure)
            assert outcome.ede_code == ede_code
            assert all(f"{url(upstream)} answered" in outcome.text for upstream in (one, two, three))
            assert outcome.message is not None
            assert outcome.message.rcode == code
            assert outcome.message.options == (((15, b"\0\6"),) if code == SERVFAIL else ())
            assert sum(len(upstream.queries) for upstream in (one, two, three)) == 3

    run_on(loop, main())


@on_both_loops
def test_a_single_upstream_is_believed_at_once(loop: str) -> None:
    """Without another upstream, SERVFAIL ends the wait, and the question is not repeated."""

    async def main() -> None:
        async with FakeUpstream(rcode(SERVFAIL)) as upstream, forwarding(upstream) as asker:
            started_s = time.monotonic()
            outcome = await asker.ask("www.example.test")
            assert isinstance(outcome, UpstreamFailure)
            assert outcome.text == f"{url(upstream)} answered SERVFAIL"
            assert time.monotonic() - started_s < PATIENCE_S
            assert len(upstream.queries) == 1

    run_on(loop, main())


@on_both_loops
def test_a_failure_waits_for_one_that_was_asked_before(loop: str) -> None:
    """The first upstream is slow, the second says SERVFAIL: the first one's answer is still waited for."""

    async def main() -> None:
        async with (
            FakeUpstream(delayed(answer(), 0.2)) as slow,
            FakeUpstream(rcode(SERVFAIL)) as bad,
            forwarding(slow, bad, impatient=True) as asker,
        ):
            outcome = await asker.ask("www.example.test")
            assert isinstance(outcome, UpstreamAnswer)
            assert outcome.upstream == url(slow)

    run_on(loop, main())


@on_both_loops
def test_nxdomain_is_an_answer(loop: str) -> None:
    """NXDOMAIN is passed on from the first upstream that says it."""

    async def main() -> None:
        async with FakeUpstream(negative()) as one, FakeUpstream() as two, forwarding(one, two) as asker:
            outcome = await asker.ask("www.example.test")
            assert isinstance(outcome, UpstreamAnswer)
            assert (outcome.message.rcode, outcome.upstream) == (3, url(one))
            assert len(two.queries) == 0

    run_on(loop, main())


# Usefulness


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(rcode(SERVFAIL), id="SERVFAIL"),
        pytest.param(rcode(REFUSED), id="REFUSED"),
        pytest.param(rcode(NOTIMP), id="NOTIMP"),
        pytest.param(rcode(FORMERR), id="FORMERR"),
        pytest.param(lame(), id="lame"),
        pytest.param(over_tcp_only(rcode(REFUSED)), id="REFUSED over TCP"),
    ],
)
@pytest.mark.parametrize(
    ("count", "healthy"), [(2, False), (3, True)], ids=["2 of 3 from the start", "3 of 4 after a healthy time"]
)
def test_any_number_of_bad_upstreams_hides_no_good_one(bad: Handler, count: int, healthy: bool) -> None:
    """Every question is answered, at once, and within seconds the bad ones are known, and hardly asked any more."""

    async def main() -> None:
        async with contextlib.AsyncExitStack() as stack:
            spoilt = [await stack.enter_async_context(FakeUpstream()) for _ in range(count)]
            good = await stack.enter_async_context(FakeUpstream(delayed(answer(), 0.003)))
            asker = await stack.enter_async_context(forwarding(*spoilt, good))
            if healthy:
                for number in range(20):
                    assert isinstance(await asker.ask(f"host-{number}.test"), UpstreamAnswer)
            for upstream in spoilt:
                upstream.handler = bad
            started_s = time.monotonic()
            number = 0
            while any(asker.stats.useful[url(upstream)] for upstream in spoilt):
                number += 1
                outcome = await asker.ask(f"www.learn-{number}.test")
                assert isinstance(outcome, UpstreamAnswer)
                assert outcome.upstream == url(good)
                assert time.monotonic() - started_s < PATIENCE_S
            assert asker.stats.useful == {**{url(upstream): False for upstream in spoilt}, url(good): True}
            for upstream in spoilt:
                upstream.clear()
            for number in range(200):
                assert isinstance(await asker.ask(f"www.after-{number}.test"), UpstreamAnswer)
            assert max(len(upstream.asked()) for upstream in spoilt) < 12, "a question a second at most, in its ways"
            assert all(asker.stats.up.values())

    run_on(LOOPS[-1], main())


@on_both_loops
def test_an_upstream_that_recovers_is_found_within_seconds(loop: str) -> None:
    """Once it answers again it is tried more often, found useful, and, as it is the quicker one, asked."""

    async def main() -> None:
        async with (
            FakeUpstream(rcode(REFUSED)) as quick,
            FakeUpstream(delayed(answer(), 0.01)) as slow,
            forwarding(quick, slow) as asker,
        ):
            number = 0
            while asker.stats.useful[url(quick)]:
                number += 1
                assert isinstance(await asker.ask(f"www.learn-{number}.test"), UpstreamAnswer)
            quick.handler = answer()
            started_s = time.monotonic()
            while not asker.stats.useful[url(quick)]:
                number += 1
                assert isinstance(await asker.ask(f"www.again-{number}.test"), UpstreamAnswer)
                assert time.monotonic() - started_s < PATIENCE_S
            quick.clear()
            for number in range(100):
                await asker.ask(f"www.after-{number}.test")
            assert len(quick.asked()) > 50

    run_on(loop, main())


@on_both_loops
def test_a_broken_domain_spoils_no_upstream(loop: str) -> None:
    """SERVFAIL of all for one domain, asked over and over, and of one where the others know: all stay useful."""

    async def main() -> None:
        broken = by_name({"broken.test": rcode(SERVFAIL), "odd.test": rcode(SERVFAIL)}, answer())
        other = by_name({"broken.test": rcode(SERVFAIL)}, answer())
        async with FakeUpstream(broken) as one, FakeUpstream(other) as two, forwarding(one, two) as asker:
            for number in range(100):
                started_s = time.monotonic()
                assert isinstance(await asker.ask(f"{number}.broken.test"), UpstreamFailure)
                assert time.monotonic() - started_s < PATIENCE_S
                assert isinstance(await asker.ask(f"{number}.odd.test"), UpstreamAnswer)
                assert isinstance(await asker.ask(f"www.host-{number}.test"), UpstreamAnswer)
            assert asker.stats.useful == {url(one): True, url(two): True}

    run_on(loop, main())
