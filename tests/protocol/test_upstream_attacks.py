"""What off-path attackers and broken upstreams send to a forwarder, against real sockets.

Only what is as hard to forge as a right answer ends the wait for one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from pdns.upstream import UpstreamAnswer, UpstreamFailure, udp
from tests.fakes.edges import until
from tests.fakes.forwarding import Asker, forwarding, url
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.patience import PATIENCE_S
from tests.fakes.upstream import (
    Action,
    FakeUpstream,
    Handler,
    SeenQuery,
    Send,
    answer,
    by_transport,
    changed,
    delayed,
    drop,
    garbage,
    other_port,
    pointer_loop,
    reply,
    then,
    wrong_id,
    wrong_question,
)

FORGED = answer("203.0.113.66")


def with_one(
    loop: str,
    handler: Handler,
    test: Callable[[FakeUpstream, Asker], Awaitable[None]],
    *,
    timeout_s: float = PATIENCE_S,
    impatient: bool = False,
) -> None:
    """Run `test` with one upstream and a forwarder to it."""

    async def main() -> None:
        async with (
            FakeUpstream(handler) as upstream,
            forwarding(upstream, timeout_s=timeout_s, impatient=impatient) as asker,
        ):
            await test(upstream, asker)

    run_on(loop, main())


def no_response(wire: bytes) -> bytes:
    return wire[:2] + bytes((wire[2] & 0x7F,)) + wire[3:]


def opcode_notify(wire: bytes) -> bytes:
    return wire[:2] + bytes((wire[2] | 4 << 3,)) + wire[3:]


def no_question(query: SeenQuery) -> list[Action]:
    return [Send(reply(query, question=b""))]


def another_type(query: SeenQuery) -> list[Action]:
    return [Send(reply(query, question=query.question[:-3] + b"\x1c\0\1"))]


@on_both_loops
@pytest.mark.parametrize(
    ("forgery", "counted"),
    [
        pytest.param(wrong_id(FORGED), "unmatched", id="wrong id"),
        pytest.param(wrong_question(FORGED), "unmatched", id="wrong name"),
        pytest.param(another_type, "unmatched", id="wrong type"),
        pytest.param(changed(FORGED, no_response), "unmatched", id="a query"),
        pytest.param(changed(FORGED, opcode_notify), "unmatched", id="wrong opcode"),
    ],
)
def test_a_wrong_answer_does_not_end_the_wait(loop: str, forgery: Handler, counted: str) -> None:
    """RFC 5452, 9.1: an answer that does not match is counted and ignored; the right one is taken, and nothing is re-sent."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses("www.example.test") == ["192.0.2.7"]
        assert len(upstream.queries) == 1
        assert asker.stats.results == {counted: 1, "ok": 1}

    with_one(loop, then(forgery, delayed(answer(), 0.03)), test)


def shortened(wire: bytes) -> bytes:
    """Less than the answer section that `wire` had."""
    return wire[:-13]


DAMAGED = pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(changed(FORGED, shortened), id="cut short"),
        pytest.param(pointer_loop, id="pointer loop"),
        pytest.param(changed(FORGED, lambda wire: wire[:7] + b"\3" + wire[8:]), id="more records counted than there are"),
    ],
)


@on_both_loops
@DAMAGED
def test_a_damaged_answer_is_asked_for_again_over_tcp(loop: str, damaged: Handler) -> None:
    """What matches in id, port, question and case, and cannot be read, came from the upstream: TCP is tried at once."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        started_s = time.monotonic()
        assert await asker.addresses("www.example.test") == ["192.0.2.7"]
        assert time.monotonic() - started_s < PATIENCE_S
        assert [query.transport for query in upstream.queries] == ["udp", "tcp"]
        assert asker.stats.results == {"malformed": 1, "ok": 1}

    with_one(loop, by_transport(damaged, answer()), test)


@on_both_loops
@DAMAGED
@pytest.mark.parametrize("tcp", [True, False])
def test_damage_everywhere_ends_the_wait_at_once(loop: str, damaged: Handler, tcp: bool) -> None:
    """When TCP brings nothing better, or is not there, the question fails, and the failure says why."""

    async def main() -> None:
        async with FakeUpstream(damaged, tcp=tcp) as upstream, forwarding(upstream) as asker:
            started_s = time.monotonic()
            outcome = await asker.ask("www.example.test")
            assert time.monotonic() - started_s < PATIENCE_S
            assert outcome == UpstreamFailure(23, f"{url(upstream)} answered with a damaged message")

    run_on(loop, main())


@on_both_loops
def test_a_reply_without_its_question_ends_no_wait(loop: str) -> None:
    """It takes no guess of the letter case to forge: TCP is asked too, and the right answer over UDP still counts."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses("www.example.test") == ["192.0.2.7"]
        await until(lambda: [query.transport for query in upstream.queries] == ["udp", "tcp"])
        assert asker.stats.results == {"unmatched": 20, "ok": 1}

    with_one(loop, by_transport(then(*[no_question] * 20, delayed(answer(), 0.05)), drop), test)


@on_both_loops
def test_an_upstream_that_leaves_out_the_question_fails_at_once(loop: str) -> None:
    """Over TCP, which is hard to forge, a reply without a question is the upstream's, and no use."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        started_s = time.monotonic()
        assert isinstance(await asker.ask("www.example.test"), UpstreamFailure)
        assert time.monotonic() - started_s < PATIENCE_S
        assert [query.transport for query in upstream.queries] == ["udp", "tcp"]

    with_one(loop, no_question, test)


@on_both_loops
@pytest.mark.parametrize("behind", [b"\0", bytes(40), b"\0\0\x29\4\xd0\0\0\0\0\0\0"], ids=["one", "many", "a second OPT"])
def test_bytes_behind_the_message_do_no_harm(loop: str, behind: bytes) -> None:
    """They are ignored, as all resolvers do."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses("www.example.test") == ["192.0.2.7"]
        assert len(upstream.queries) == 1
        assert asker.stats.results == {"ok": 1}

    with_one(loop, changed(answer(), lambda wire: wire + behind), test)


@on_both_loops
def test_another_port_of_the_upstream_is_not_heard(loop: str) -> None:
    """Sockets are connected: the kernel drops a perfect answer from a port that was not asked before we see it."""

    async def test(_upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses("www.example.test") == ["192.0.2.7"]
        assert asker.stats.results == {"ok": 1}

    with_one(loop, then(other_port(FORGED), delayed(answer(), 0.03)), test)


@on_both_loops
def test_an_answer_on_another_socket_is_not_taken(loop: str) -> None:
    """CVE-2020-25684: the answer to one query, sent to the port of another, is not accepted there."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        pending = [asker.start("one.test"), asker.start("two.test")]
        await until(lambda: len(upstream.queries) == 2)
        one, two = upstream.queries
        assert one.source != two.source
        for query, port_of in ((one, two), (two, one)):
            await upstream.answer_late(FORGED, query, port_of.source)
        await until(lambda: asker.stats.results["unmatched"] == 2)
        assert not any(future.done() for future in pending)
        for query in (one, two):
            await upstream.answer_late(answer(), query)
        outcomes = [await future for future in pending]
        assert all(isinstance(outcome, UpstreamAnswer) for outcome in outcomes)

    with_one(loop, drop, test)


@on_both_loops
def test_garbage_starts_no_storm(loop: str) -> None:
    """TuDoor: two hundred malformed packets under the right id cause one query over TCP, and close no socket."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses("www.example.test") == ["192.0.2.7"]
        assert [query.transport for query in upstream.queries] == ["udp", "tcp"]
        assert asker.stats.results["ok"] == 1

    with_one(loop, by_transport(then(*[garbage] * 30), delayed(answer(), 0.1)), test)


@on_both_loops
def test_garbage_alone_ends_in_a_bounded_failure(loop: str) -> None:
    """An upstream that says nothing sound is asked at most once in each way, then the question fails."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        assert isinstance(await asker.ask("www.example.test"), UpstreamFailure)
        assert len(upstream.asked()) <= 4

    with_one(loop, by_transport(garbage, drop), test, timeout_s=0.5, impatient=True)


@on_both_loops
def test_noise_without_a_query_is_counted_and_harmless(loop: str) -> None:
    """Datagrams of any length from the upstream's own port, while a query is out, change nothing."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        pending = asker.start("www.example.test")
        await until(lambda: len(upstream.queries) == 1)
        query = upstream.queries[0]
        for size in (1, 2, 11, 12, 13, 511, 1232, 4096, 9000):
            await upstream.send(bytes(size), query.source)
        await until(lambda: asker.stats.results == {"malformed": 3, "unmatched": 6})
        await upstream.answer_late(answer(), query)
        assert isinstance(await pending, UpstreamAnswer)

    with_one(loop, drop, test)


@on_both_loops
def test_an_icmp_error_ends_no_wait_and_closes_no_socket(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SAD DNS, TuDoor: after "port unreachable" on the socket of a query, its answer on that very socket still counts."""
    monkeypatch.setattr(udp, "MAX_SOCKETS", 1)  # so that the second query draws the error onto the first one's socket

    async def main() -> None:
        async with FakeUpstream(drop) as upstream, forwarding(upstream, timeout_s=3, repeats=True) as asker:
            first = asker.start("first.test")
            await until(lambda: len(upstream.queries) == 1)
            query = upstream.queries[0]
            await upstream.stop()
            second = asker.start("second.test")
            await until(lambda: asker.stats.results["error"] > 0)
            await upstream.start()
            await upstream.answer_late(answer(), query)
            assert isinstance(await first, UpstreamAnswer)
            assert not second.done()
            upstream.handler = answer()
            assert isinstance(await second, UpstreamAnswer), "asked again when its time had come"

    run_on(loop, main())


@pytest.mark.realtime
@on_both_loops
def test_an_icmp_error_brings_the_next_upstream_forward(loop: str) -> None:
    """A refused query goes to another upstream at once, well before a retransmission would be due."""

    async def main() -> None:
        async with FakeUpstream() as dead, FakeUpstream() as alive, forwarding(dead, alive) as asker:
            await dead.stop()
            started_s = time.monotonic()
            assert await asker.addresses("www.example.test") == ["192.0.2.7"]
            assert time.monotonic() - started_s < PATIENCE_S  # a retransmission would have waited longer
            assert asker.stats.results == {"error": 1, "retransmit": 1, "ok": 1}

    run_on(loop, main())


@on_both_loops
def test_one_question_is_a_bounded_number_of_queries(loop: str) -> None:
    """Birthday attack, RebirthDay: silence leads to four queries at most, each with its own id and its own port."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        await asker.ask("www.example.test")
        queries = upstream.asked()
        assert 2 <= len(queries) <= 4
        assert len({query.id for query in queries}) == len(queries)
        assert len({query.source for query in queries}) == len(queries)

    with_one(loop, drop, test, timeout_s=0.5, impatient=True)


@on_both_loops
def test_every_outstanding_query_stays_good(loop: str) -> None:
    """The answer to the first query counts although others were sent since."""

    async def test(upstream: FakeUpstream, asker: Asker) -> None:
        pending = asker.start("www.example.test")
        await until(lambda: len(upstream.asked()) >= 2)
        first = upstream.asked()[0]
        await upstream.answer_late(answer(), first)
        assert isinstance(await pending, UpstreamAnswer)

    with_one(loop, drop, test, impatient=True)


@on_both_loops
def test_a_late_answer_is_known_for_one(loop: str) -> None:
    """The answer to a query whose question was answered otherwise is no sign of an attack, and not counted as one."""
    slow_first = iter((0.2, 0.0))

    def handler(query: SeenQuery) -> list[Action]:
        return [action._replace(delay_s=next(slow_first, 0.0)) for action in answer()(query) if isinstance(action, Send)]

    async def test(_upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses("www.example.test") == ["192.0.2.7"]
        await until(lambda: asker.stats.results["ok"] == 2)
        assert asker.stats.results["unmatched"] == 0

    with_one(loop, handler, test, impatient=True)


@on_both_loops
def test_records_of_two_answers_are_never_merged(loop: str) -> None:
    """The first matching answer is the answer; a second one to the same query is ignored."""

    async def test(_upstream: FakeUpstream, asker: Asker) -> None:
        assert await asker.addresses("www.example.test") == ["192.0.2.1"]

    with_one(loop, then(answer("192.0.2.1"), answer("192.0.2.2")), test)


@on_both_loops
def test_shutting_down_answers_everyone(loop: str) -> None:
    """close() ends every wait at once with an outcome, and a question after it fails the same way."""

    async def main() -> None:
        async with FakeUpstream(drop) as upstream, forwarding(upstream, f"tcp://127.0.0.1:{upstream.port}") as asker:
            pending = [asker.start(f"{number}.test") for number in range(50)]
            await until(lambda: len(upstream.queries) >= 50)
            asker.forwarder.close()
            shutting_down = UpstreamFailure(23, "shutting down")
            assert await asyncio.gather(*pending) == [shutting_down] * 50
            assert await asker.ask("late.test") == shutting_down
            assert asker.forwarder.in_flight == 0

    run_on(loop, main())
