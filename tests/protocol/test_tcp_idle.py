"""TCP connections that are idle, slow to send or slow to read."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import closing, suppress

import pytest

from pdns.net.stream import MAX_UNSENT_BYTES
from pdns.wire.framing import MAX_MESSAGE_BYTES, frame
from tests.fakes.edges import Held, echo, message, until
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.tcp import ROOMY, Clock, listening


@on_both_loops
def test_an_idle_connection_is_closed_and_a_used_one_is_not(loop: str) -> None:
    """The idle time counts from the last message."""

    async def main() -> None:
        clock = Clock()
        async with listening(echo, ROOMY._replace(idle_timeout_s=0.2), clock) as running:
            idle, used = await running.connect(), await running.connect()
            for number in range(8):
                assert await used.ask(message(number)) == message(number)
                clock.now_s += 0.05
                await asyncio.sleep(0.05)
            assert await idle.rest() == b""
            assert used.is_open
            assert await used.ask(message(9)) == message(9)
            clock.now_s += 0.2
            assert await used.rest() == b""
            assert not running.stats.drops

    run_on(loop, main())


@on_both_loops
def test_one_byte_at_a_time_does_not_keep_a_connection(loop: str) -> None:
    """A message that does not get finished is no sign of life (slowloris)."""

    async def main() -> None:
        clock = Clock()
        async with listening(echo, ROOMY._replace(idle_timeout_s=0.2), clock) as running:
            peer = await running.connect()
            assert await peer.ask(message(1)) == message(1)
            while running.connections:
                peer.writer.write(b"\xff")
                await asyncio.sleep(0.02)
                clock.now_s += 0.02
            assert clock.now_s < 0.5
            assert running.stats.drops == {"tcp_unfinished_message": 1}

    run_on(loop, main())


@on_both_loops
def test_who_waits_for_an_answer_is_not_idle(loop: str) -> None:
    """A query may take longer than the idle time."""

    async def main() -> None:
        held = Held()
        async with listening(held, ROOMY._replace(idle_timeout_s=0.05)) as running:
            peer = await running.connect()
            peer.send(message(1))
            await asyncio.sleep(0.2)
            held.replies[0][1](message(1))
            assert await peer.receive() == message(1)
            assert await peer.rest() == b""
            assert len(running.connections) == 0

    run_on(loop, main())


@on_both_loops
def test_a_peer_that_does_not_read_is_not_read_and_then_reset(loop: str) -> None:
    """Its answers do not pile up, it gets `idle_timeout_s` to read them, and others are served meanwhile."""

    async def main() -> None:
        clock = Clock()
        limits = ROOMY._replace(idle_timeout_s=0.3)
        async with listening(lambda wire, reply: reply(wire + bytes(30_000)), limits, clock) as running:
            with closing(socket.create_connection(("127.0.0.1", running.port))) as deaf:
                deaf.setblocking(False)
                with suppress(BlockingIOError):
                    while True:  # until the socket accepts no more
                        deaf.send(frame(message(1)) * 50)
                        await asyncio.sleep(0)
                await asyncio.sleep(0.05)
                asked = len(running.service.asked)
                await asyncio.sleep(0.05)
                assert 0 < len(running.service.asked) == asked
                other = await running.connect()
                assert await other.ask(message(2)) == message(2) + bytes(30_000)
                clock.now_s += 0.3
                await until(lambda: running.stats.drops == {"tcp_slow_reader": 1})
                await until(lambda: deaf.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET)

    run_on(loop, main())


@on_both_loops
def test_a_peer_that_reads_slowly_gets_everything(loop: str) -> None:
    """Backpressure ends when the peer reads on: every answer arrives, in order."""

    async def main() -> None:
        async with listening(lambda wire, reply: reply(wire + bytes(60_000))) as running:
            peer = await running.connect()
            peer.send(*(message(number) for number in range(200)))
            await asyncio.sleep(0.05)
            assert len(running.service.asked) < 200
            for number in range(200):
                assert await peer.receive() == message(number) + bytes(60_000)

    run_on(loop, main())


@on_both_loops
def test_answers_that_pile_up_end_the_connection(loop: str) -> None:
    """Late answers to a peer that does not read take `MAX_UNSENT_BYTES` and no more."""

    async def main() -> None:
        held = Held()
        async with listening(held) as running:
            peer = await running.connect()
            peer.stop_reading()
            peer.send(*(message(number) for number in range(128)))
            await until(lambda: len(held.replies) == 128)
            for _, reply in held.replies:
                reply(bytes(MAX_MESSAGE_BYTES))
            assert running.stats.drops == {"tcp_slow_reader": 1}
            assert len(running.connections) == 0
            assert 128 * MAX_MESSAGE_BYTES > MAX_UNSENT_BYTES

    run_on(loop, main())


@pytest.mark.parametrize("answer_bytes", [50_000, 60_000, MAX_MESSAGE_BYTES])
@on_both_loops
def test_a_connection_that_ends_when_the_peer_reads_on_ends_well(loop: str, answer_bytes: int) -> None:
    """The last queries had to wait for the peer to read; then they are answered and the connection is closed at once."""

    async def main() -> None:
        held = Held()
        async with listening(held, ROOMY._replace(max_outstanding=3)) as running:
            peer = await running.connect()
            peer.stop_reading()
            peer.writer.write(frame(message(1)) * 30 + b"\0\0")
            await until(lambda: bool(held.replies))
            while held.replies:  # each answer lets a query in, until the peer has more than it takes
                held.replies.pop(0)[1](bytes(answer_bytes))
            big = len(running.service.asked)
            assert big < 30
            running.service.act = echo
            peer.read_on()
            assert len(await peer.rest()) == big * (2 + answer_bytes) + (30 - big) * len(frame(message(1)))
            assert running.stats.drops == {"tcp_no_header": 1}

    run_on(loop, main())


@pytest.mark.parametrize("answers", [2, 5], ids=["a few bytes", "more than a buffer"])
@on_both_loops
def test_unread_bytes_do_not_keep_a_connection_open(loop: str, answers: int) -> None:
    """A peer that says all, reads nothing and stays is reset after `idle_timeout_s`, however little is left to send."""

    async def main() -> None:
        held = Held()
        async with listening(held, ROOMY._replace(idle_timeout_s=0.2)) as running:
            with closing(socket.socket()) as deaf:
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                deaf.connect(("127.0.0.1", running.port))
                deaf.sendall(frame(message(1)) * answers)
                deaf.shutdown(socket.SHUT_WR)
                await until(lambda: len(held.replies) == answers)
                for _, reply in held.replies:
                    reply(bytes(50_000))
                assert len(running.connections) == 1
                await until(lambda: running.stats.drops == {"tcp_slow_reader": 1})
                assert len(running.connections) == 0

    run_on(loop, main())
