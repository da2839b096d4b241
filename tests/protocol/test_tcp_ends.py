"""How a TCP connection ends: closed by the peer, in the middle of a message, or because the listener stops."""

from __future__ import annotations

import asyncio

import pytest

from pdns.net.tcp import TcpListener
from pdns.wire.framing import frame
from tests.fakes.edges import FakeService, Held, drop, echo, message, until
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.tcp import PATIENCE_S, ROOMY, TcpServer, listening


@on_both_loops
def test_a_peer_that_has_said_all_still_gets_its_answers(loop: str) -> None:
    """Half-closed (RFC 7766, 6.2.4 and RFC 9210): every query before the end is answered, then the connection is closed."""

    async def main() -> None:
        held = Held()
        async with listening(held) as running:
            peer = await running.connect()
            peer.send(message(1), message(2))
            peer.writer.write_eof()
            await until(lambda: len(held.replies) == 2)
            await asyncio.sleep(0.01)
            for wire, reply in held.replies:
                reply(wire)
            assert await peer.rest() == frame(message(1)) + frame(message(2))
            assert len(running.connections) == 0
            assert not running.stats.drops

    run_on(loop, main())


@on_both_loops
def test_a_half_closed_connection_with_waiting_queries_answers_those_too(loop: str) -> None:
    """What was read before the end but not handed over yet counts as asked."""

    async def main() -> None:
        held = Held()
        async with listening(held, ROOMY._replace(max_outstanding=2)) as running:
            peer = await running.connect()
            peer.send(*(message(number) for number in range(10)))
            peer.writer.write_eof()
            for _ in range(10):
                await until(lambda: bool(held.replies))
                wire, reply = held.replies.pop(0)
                reply(wire)
            assert await peer.rest() == b"".join(frame(message(number)) for number in range(10))

    run_on(loop, main())


@on_both_loops
def test_a_peer_that_says_nothing_and_leaves_is_forgotten_at_once(loop: str) -> None:
    """Both ways of leaving, and in the middle of a message."""

    async def main() -> None:
        async with listening(echo) as running:
            for way in range(3):
                peer = await running.connect()
                peer.writer.write(b"\0")
                (peer.writer.write_eof, peer.close, peer.writer.close)[way]()
                await until(lambda: len(running.connections) == 0)
                await peer.rest()
            assert running.stats.gauges == {"tcp_connections": 0}

    run_on(loop, main())


@on_both_loops
def test_a_half_closed_connection_does_not_wait_forever(loop: str) -> None:
    """A query that is never answered holds its connection until the answer deadline and no longer."""

    async def main() -> None:
        held = Held()
        async with listening(held, ROOMY._replace(answer_deadline_s=0.1, idle_timeout_s=0.2)) as running:
            peer = await running.connect()
            peer.send(message(1))
            peer.writer.write_eof()
            assert await peer.rest() == b""
            assert running.stats.drops == {"tcp_unanswered": 1}
            held.replies[0][1](message(1))  # too late, and harmless

    run_on(loop, main())


@on_both_loops
def test_a_reply_to_a_peer_that_has_gone_is_lost_quietly(loop: str) -> None:
    """However the connection ended, a late reply raises nothing."""

    async def main() -> None:
        held = Held()
        async with listening(held) as running:
            peer = await running.connect()
            peer.send(message(1), message(2))
            await until(lambda: len(held.replies) == 2)
            peer.close()
            for wire, reply in held.replies:
                reply(wire)
            await until(lambda: len(running.connections) == 0)
            assert not running.stats.drops

    run_on(loop, main())


@pytest.mark.parametrize("nonsense", [b"\0\0", b"\0\x0bshort query", b"\0\1x"], ids=["empty", "eleven bytes", "one byte"])
@on_both_loops
def test_a_message_without_room_for_a_header_ends_the_connection(loop: str, nonsense: bytes) -> None:
    """What follows it cannot be trusted either; what was asked before it is answered."""

    async def main() -> None:
        held = Held()
        async with listening(held) as running:
            peer = await running.connect()
            peer.writer.write(frame(message(1)) + nonsense + frame(message(2)))
            await until(lambda: len(held.replies) == 1)
            held.replies[0][1](message(1))
            assert await peer.rest() == frame(message(1))
            assert running.stats.drops == {"tcp_no_header": 1}
            assert len(running.service.asked) == 1

    run_on(loop, main())


# shutdown


@on_both_loops
def test_draining_answers_what_was_asked_and_closes(loop: str) -> None:
    """Idle connections end at once, busy ones with their last answer, new ones do not begin."""

    async def main() -> None:
        held = Held()
        async with listening(held) as running:
            idle, busy = await running.connect(), await running.connect()
            idle.send(message(9))
            await until(lambda: len(held.replies) == 1)
            held.replies.pop()[1](message(9))
            assert await idle.receive() == message(9)
            busy.send(message(1))
            await until(lambda: len(held.replies) == 1)
            running.listener.close()
            running.connections.drain()
            assert await idle.rest() == b""
            busy.send(message(2))  # not read any more
            with pytest.raises(ConnectionError):
                await running.connect(counted=False)
            drained = asyncio.ensure_future(running.connections.drained())
            await asyncio.sleep(0.02)
            assert not drained.done()
            held.replies[0][1](message(1))
            assert await busy.rest() == frame(message(1))
            await asyncio.wait_for(drained, PATIENCE_S)
            assert len(held.replies) == 1

    run_on(loop, main())


@on_both_loops
def test_a_first_query_on_its_way_is_answered_while_draining(loop: str) -> None:
    """A connection that was accepted and has asked nothing yet is closed behind its first query, or a second later."""

    async def main() -> None:
        async with listening(echo) as running:
            late, silent = await running.connect(), await running.connect()
            running.connections.drain()
            late.send(message(1), message(2))
            assert await late.rest() == frame(message(1)) + frame(message(2))
            assert silent.is_open
            assert await silent.rest() == b""
            await asyncio.wait_for(running.connections.drained(), PATIENCE_S)

    run_on(loop, main())


@on_both_loops
def test_who_connects_while_the_queue_of_the_kernel_is_kept_waits_for_the_next_worker(loop: str) -> None:
    """Closing one worker's listener loses no connection as long as another process holds the socket."""

    async def main() -> None:
        async with listening(drop) as running:
            kept = running.sock.dup()
            running.listener.close()
            await asyncio.sleep(0.01)
            peer = await running.connect(counted=False)
            successor = TcpListener(kept, FakeService(echo), running.connections)
            successor.start()
            assert await peer.ask(message(1)) == message(1)
            successor.close()

    run_on(loop, main())


@on_both_loops
def test_no_new_connection_is_accepted_while_draining(loop: str) -> None:
    """Who connects between the decision to stop and the end of listening is turned away."""

    async def main() -> None:
        async with listening(echo) as running:
            running.connections.drain()
            peer = await running.connect(counted=False)
            assert await peer.rest() == b""
            assert len(running.connections) == 0

    run_on(loop, main())


@on_both_loops
def test_a_listener_may_be_closed_before_it_starts(loop: str) -> None:
    """Nothing is left open."""

    async def main() -> None:
        running = TcpServer(echo, ROOMY)
        running.listener.close()
        running.connections.close()
        assert running.sock.fileno() == -1

    run_on(loop, main())
