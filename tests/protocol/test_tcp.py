"""DNS over TCP: bytes in, bytes out, on both event loops."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.schema import Server
from pdns.net.edge import Reply
from pdns.net.tcp_limits import TcpLimits
from pdns.wire.framing import MAX_MESSAGE_BYTES, frame
from tests.effort import examples
from tests.fakes.edges import Held, drop, echo, fail, message, until
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.tcp import ROOMY, listening

# RFC 7766: messages and how they are cut


def whole(stream: bytes) -> list[bytes]:
    return [stream]


def byte_by_byte(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


def length_apart(stream: bytes) -> list[bytes]:
    return [stream[:1], stream[1:2], stream[2:20], stream[20:]]


@pytest.mark.parametrize("cut", [whole, byte_by_byte, length_apart])
@on_both_loops
def test_however_the_bytes_arrive_every_message_is_answered(loop: str, cut: Callable[[bytes], list[bytes]]) -> None:
    """Many messages in a segment, one in many: the answers are the same, and the service knows who asked."""

    async def main() -> None:
        async with listening(echo) as running:
            peer = await running.connect()
            asked = [message(number, b"x" * number) for number in range(6)]
            for segment in cut(b"".join(map(frame, asked))):
                peer.writer.write(segment)
                await asyncio.sleep(0.001)
            assert [await peer.receive() for _ in asked] == asked
            who = {(each.client, each.port, each.transport) for each in running.service.asked}
            assert who == {("127.0.0.1", peer.port, "tcp")}
            assert not running.stats.drops

    run_on(loop, main())


@on_both_loops
def test_the_longest_message_goes_both_ways(loop: str) -> None:
    """65,535 bytes in, 65,535 bytes out."""

    async def main() -> None:
        async with listening(echo) as running:
            peer = await running.connect()
            longest = bytes(range(256)) * 256
            assert await peer.ask(longest[:MAX_MESSAGE_BYTES]) == longest[:MAX_MESSAGE_BYTES]

    run_on(loop, main())


@on_both_loops
def test_answers_are_sent_as_they_come(loop: str) -> None:
    """A slow first query delays no query behind it (RFC 7766, 7)."""

    async def main() -> None:
        held = Held()
        async with listening(held) as running:
            peer = await running.connect()
            peer.send(message(1), message(2), message(3))
            await until(lambda: len(held.replies) == 3)
            for place in (2, 0, 1):
                wire, reply = held.replies[place]
                reply(wire)
                assert await peer.receive() == message(place + 1)

    run_on(loop, main())


@on_both_loops
def test_queries_beyond_the_bound_wait_for_answers(loop: str) -> None:
    """No more than `max_outstanding` are in the service's hands; each answer lets the next one in."""

    async def main() -> None:
        held = Held()
        async with listening(held, ROOMY._replace(max_outstanding=4)) as running:
            peer = await running.connect()
            peer.send(*(message(number) for number in range(200)))
            for number in range(200):
                await until(lambda: bool(held.replies))
                assert len(held.replies) <= 4
                wire, reply = held.replies.pop(0)
                reply(wire)
                assert await peer.receive() == message(number)

    run_on(loop, main())


@on_both_loops
def test_queries_that_the_service_drops_do_not_count_as_outstanding(loop: str) -> None:
    """A reply that is thrown away is noticed: the connection is not held up by what will never come."""

    async def main() -> None:
        async with listening(drop, ROOMY._replace(max_outstanding=2)) as running:
            peer = await running.connect()
            peer.send(*(message(number) for number in range(20)))
            await until(lambda: len(running.service.asked) == 20)
            running.service.act = echo
            assert await peer.ask(message(21)) == message(21)

    run_on(loop, main())


@on_both_loops
def test_a_reply_may_be_thrown_away_in_another_thread(loop: str) -> None:
    """A garbage collector runs where it likes."""

    async def main() -> None:
        held = Held()
        async with listening(held, ROOMY._replace(max_outstanding=1)) as running:
            peer = await running.connect()
            peer.send(message(1), message(2))
            await until(lambda: len(held.replies) == 1)
            thread = threading.Thread(target=held.replies.clear)
            thread.start()
            await asyncio.to_thread(thread.join)
            await until(lambda: len(held.replies) == 1)
            assert held.replies[0][0] == message(2)

    run_on(loop, main())


@on_both_loops
def test_only_the_first_answer_counts(loop: str) -> None:
    """A reply that is called twice sends once."""

    async def main() -> None:
        def twice(wire: bytes, reply: Reply) -> None:
            reply(wire)
            reply(b"again" + wire)

        async with listening(twice) as running:
            peer = await running.connect()
            assert await peer.ask(message(1)) == message(1)
            assert await peer.ask(message(2)) == message(2)

    run_on(loop, main())


@on_both_loops
def test_an_answer_that_no_length_can_say_is_not_sent(loop: str) -> None:
    """Over 65,535 bytes: counted, and the connection goes on."""

    async def main() -> None:
        async with listening(lambda _wire, reply: reply(bytes(MAX_MESSAGE_BYTES + 1))) as running:
            peer = await running.connect()
            peer.send(message(1))
            await until(lambda: running.stats.drops["tcp_answer_too_long"] == 1)
            running.service.act = echo
            assert await peer.ask(message(2)) == message(2)

    run_on(loop, main())


@on_both_loops
def test_a_service_that_raises_stops_nothing(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    """The bug is logged once, and the next message on the same connection is answered."""

    async def main() -> None:
        async with listening(fail) as running:
            peer = await running.connect()
            peer.send(*(message(number) for number in range(150)))
            await until(lambda: len(running.service.asked) == 150)
            running.service.act = echo
            assert await peer.ask(message(1)) == message(1)

    run_on(loop, main())
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info and record.exc_info[1]] == [("a bug",)]
    gc.collect()


def test_limits_are_those_of_the_configuration() -> None:
    """Every key of [server] that concerns TCP has an effect."""
    server = Server(tcp_max_connections=7, tcp_max_connections_per_client=3, tcp_idle_timeout_s=2.5)
    assert TcpLimits.of(server, answer_deadline_s=6.0) == TcpLimits(7, 3, 2.5, 6.0, 128)


# anything


@on_both_loops
@examples(25)
@given(junk=st.lists(st.binary(max_size=200), max_size=8))
def test_whatever_one_peer_sends_another_is_answered(loop: str, junk: Iterable[bytes]) -> None:
    """Random bytes in random segments end with nothing worse than the end of their own connection."""

    async def main() -> None:
        async with listening(echo) as running:
            noisy, quiet = await running.connect(), await running.connect()
            with suppress(OSError, RuntimeError):  # the connection may have ended before
                for segment in junk:
                    noisy.writer.write(segment)
                    await asyncio.sleep(0)
                noisy.writer.write_eof()
            await noisy.rest()
            assert await quiet.ask(message(1)) == message(1)
            assert len(running.connections) == 1

    run_on(loop, main())
