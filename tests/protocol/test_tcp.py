"""DNS over TCP: octets in, octets out, on both event loops, with peers that are slow, gone, greedy or hostile."""

from __future__ import annotations

import asyncio
import errno
import gc
import resource
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Final, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.addresses import Endpoint
from pdns.net.edge import Reply
from pdns.net.sockets import TCP_BACKLOG, bind_tcp
from pdns.net.stream import MAX_UNSENT_BYTES, client_key
from pdns.net.tcp import TcpConnections, TcpListener
from pdns.net.tcp_limits import TcpLimits
from pdns.net.turns import MAX_REFUSALS
from pdns.wire.framing import MAX_MESSAGE_BYTES, frame
from tests.effort import examples
from tests.fakes.edges import FakeService, Held, Tally, drop, echo, fail, message, until
from tests.fakes.loops import LOOPS, run_on

on_both_loops = pytest.mark.parametrize("loop", LOOPS)
ROOMY: Final = TcpLimits()


class Peer:
    """A client's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.port: int = writer.get_extra_info("sockname")[1]

    def send(self, *messages: bytes) -> None:
        self.writer.write(b"".join(map(frame, messages)))

    async def receive(self) -> bytes:
        """The next message."""
        async with asyncio.timeout(3):
            return await self.reader.readexactly(int.from_bytes(await self.reader.readexactly(2)))

    async def ask(self, wire: bytes) -> bytes:
        self.send(wire)
        return await self.receive()

    async def rest(self, timeout_s: float = 3.0) -> bytes:
        """What comes until the other side ends the connection, one way or the other."""
        octets = b""
        async with asyncio.timeout(timeout_s):
            try:
                while more := await self.reader.read(65536):
                    octets += more
            except ConnectionError:
                pass
        return octets

    @property
    def is_open(self) -> bool:
        return not self.reader.at_eof() and self.reader.exception() is None

    def stop_reading(self) -> None:
        """From now on let what comes pile up."""
        cast("asyncio.Transport", self.writer.transport).pause_reading()

    def read_on(self) -> None:
        cast("asyncio.Transport", self.writer.transport).resume_reading()

    def close(self) -> None:
        self.writer.transport.abort()


class Running:
    """A listener with its connections, and clients that come from any loopback address."""

    def __init__(self, act: Callable[[bytes, Reply], None], limits: TcpLimits) -> None:
        self.sock = bind_tcp(Endpoint("127.0.0.1", 0))
        self.port: int = self.sock.getsockname()[1]
        self.service = FakeService(act)
        self.tally = Tally()
        self.connections = TcpConnections(limits, asyncio.get_running_loop(), self.tally)
        self.listener = TcpListener(self.sock, self.service, self.connections)
        self.peers: list[Peer] = []

    async def connect(self, client: str = "127.0.0.1", *, counted: bool = True) -> Peer:
        """A new connection; `counted`: that the listener has taken up."""
        before = self.tally.drops["tcp_made_room"] + len(self.connections)
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port, local_addr=(client, 0)))
        self.peers.append(peer)
        if counted:
            await until(lambda: self.tally.drops["tcp_made_room"] + len(self.connections) > before)
        return peer


@asynccontextmanager
async def listening(act: Callable[[bytes, Reply], None], limits: TcpLimits = ROOMY) -> AsyncIterator[Running]:
    running = Running(act, limits)
    running.listener.start()
    try:
        yield running
    finally:
        running.listener.close()
        running.connections.close()
        for peer in running.peers:
            peer.close()
        await asyncio.sleep(0.01)  # the loops close what was aborted in their next turn


# RFC 7766: messages and how they are cut


def whole(stream: bytes) -> list[bytes]:
    return [stream]


def octet_by_octet(stream: bytes) -> list[bytes]:
    return [stream[at : at + 1] for at in range(len(stream))]


def length_apart(stream: bytes) -> list[bytes]:
    return [stream[:1], stream[1:2], stream[2:20], stream[20:]]


@pytest.mark.parametrize("cut", [whole, octet_by_octet, length_apart])
@on_both_loops
def test_however_the_octets_arrive_every_message_is_answered(loop: str, cut: Callable[[bytes], list[bytes]]) -> None:
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
            assert not running.tally.drops

    run_on(loop, main())


@on_both_loops
def test_the_longest_message_goes_both_ways(loop: str) -> None:
    """65,535 octets in, 65,535 octets out."""

    async def main() -> None:
        async with listening(echo) as running:
            peer = await running.connect()
            longest = bytes(range(256)) * 256
            assert await peer.ask(longest[:MAX_MESSAGE_BYTES]) == longest[:MAX_MESSAGE_BYTES]

    run_on(loop, main())


@on_both_loops
def test_answers_are_sent_as_they_come(loop: str) -> None:
    """A slow first query holds up nobody behind it (RFC 7766, 7)."""

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


@pytest.mark.parametrize("text_bytes", [0, 100])
@on_both_loops
def test_a_flood_of_pipelined_queries_is_answered_and_others_have_their_turn(loop: str, text_bytes: int) -> None:
    """Of thousands that wait to be read from one connection, only some go before another connection's only one."""

    async def main() -> None:
        async with listening(lambda wire, reply: reply(wire[:12])) as running:
            with (
                closing(socket.create_connection(("127.0.0.1", running.port))) as greedy,
                closing(socket.create_connection(("127.0.0.1", running.port))) as modest,
            ):
                await until(lambda: len(running.connections) == 2)
                greedy.setblocking(False)
                sent = greedy.send(frame(message(1, bytes(text_bytes))) * 3000) // (14 + text_bytes)
                assert sent > 500
                modest.send(frame(message(7)))
                await until(lambda: len(running.service.asked) == sent + 1)
                clients = [asked.port for asked in running.service.asked]
                assert clients.index(modest.getsockname()[1]) <= 150

    run_on(loop, main())


@on_both_loops
def test_one_client_with_much_to_ask_does_not_hold_up_another(loop: str) -> None:
    """Twenty connections with a hundred queries each, and then one with a single one of another client: that is among the first
    that are answered.
    """

    async def main() -> None:
        def slowly(wire: bytes, reply: Reply) -> None:
            until_s = time.perf_counter() + 0.0005  # as a query that is forwarded
            while time.perf_counter() < until_s:
                pass
            reply(wire)

        async with listening(slowly) as running:
            greedy = [await running.connect() for _ in range(20)]
            modest = await running.connect("127.0.0.2")
            for peer in greedy:
                peer.send(*(message(number) for number in range(100)))
            modest.send(message(7))
            assert await modest.receive() == message(7)
            assert [one.client for one in running.service.asked].index("127.0.0.2") < 200
            for peer in greedy:
                assert [await peer.receive() for _ in range(100)] == [message(number) for number in range(100)]

    run_on(loop, main())


def knock(port: int, client: str, count: int = 1) -> list[socket.socket]:
    """So many connections of `client`, which wait in the kernel."""
    knocking = []
    for _ in range(count):
        sock = socket.socket()
        sock.bind((client, 0))
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        knocking.append(sock)
    return knocking


@on_both_loops
def test_a_new_connection_does_not_wait_for_those_of_another_client(loop: str) -> None:
    """Three hundred connections of one client wait, and behind them one of another: that is opened when few of them are."""

    async def main() -> None:
        async with listening(echo, ROOMY._replace(max_per_client=400)) as running:
            opened: list[int] = []

            def note(wire: bytes, reply: Reply) -> None:
                opened.append(len(running.connections))
                reply(wire)

            running.service.act = note
            many = knock(running.port, "127.0.0.3", 300)
            modest = knock(running.port, "127.0.0.2")[0]
            modest.send(frame(message(7)))
            await until(lambda: bool(opened))
            assert opened[0] < 200
            await until(lambda: len(running.connections) + running.tally.drops["tcp_refused"] == 301)
            assert set(running.tally.drops) <= {"tcp_refused"}
            for sock in (*many, modest):
                sock.close()

    run_on(loop, main())


@on_both_loops
def test_many_clients_that_connect_at_once_are_all_served(loop: str) -> None:
    """As after a restart: none is turned away for another."""

    async def main() -> None:
        async with listening(echo) as running:
            knocking = [knock(running.port, f"127.0.3.{1 + number % 200}")[0] for number in range(600)]
            for number, sock in enumerate(knocking):
                sock.send(frame(message(number)))
            await until(lambda: len(running.service.asked) == 600)
            await until(lambda: len(running.connections) == 600)
            assert not running.tally.drops
            for number, sock in enumerate(knocking):
                assert sock.recv(512) == frame(message(number))
                sock.close()

    run_on(loop, main())


@on_both_loops
def test_a_lack_of_descriptors_makes_room_and_passes(loop: str) -> None:
    """Who connects meanwhile is served when there are descriptors again, or an idle connection has made room."""

    async def main() -> None:
        async with listening(echo) as running:
            idle = [await running.connect() for _ in range(2)]
            waiting = knock(running.port, "127.0.0.2")[0]
            waiting.send(frame(message(1)))
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (waiting.fileno(), hard))
            try:
                await until(lambda: running.tally.drops["tcp_made_room"] == 1)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await until(lambda: len(running.service.asked) == 1)
            await until(lambda: sum(peer.is_open for peer in idle) == 1)
            waiting.close()

    run_on(loop, main())


@on_both_loops
def test_a_client_that_is_refused_is_not_read_for_a_while(loop: str) -> None:
    """Of a flood that is refused only so many queries a second are taken up, over however many connections; none is lost, and the
    client is served at once when it is not refused any more.
    """

    async def main() -> None:
        async with listening(echo) as running:
            running.service.refuses = True
            peers = [await running.connect() for _ in range(4)]
            began_s = time.monotonic()
            for peer in peers:
                peer.send(*(message(number) for number in range(1000)))
            await until(lambda: len(running.service.asked) >= 5 * MAX_REFUSALS)
            rests = 1 + (time.monotonic() - began_s) / 0.02
            assert len(running.service.asked) <= MAX_REFUSALS * (rests + 1)
            running.service.refuses = False
            for peer in peers:
                assert [await peer.receive() for _ in range(1000)] == [message(number) for number in range(1000)]

    run_on(loop, main())


@on_both_loops
def test_a_client_that_leaves_while_it_rests_is_forgotten(loop: str) -> None:
    """What it still had to ask is not taken up."""

    async def main() -> None:
        async with listening(echo) as running:
            running.service.refuses = True
            peer = await running.connect()
            peer.send(*(message(number) for number in range(MAX_REFUSALS + 20)))
            await until(lambda: len(running.service.asked) >= MAX_REFUSALS)
            running.connections.close()
            asked = len(running.service.asked)
            await asyncio.sleep(0.1)
            assert len(running.service.asked) == asked

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
    """Over 65,535 octets: counted, and the connection goes on."""

    async def main() -> None:
        async with listening(lambda _wire, reply: reply(bytes(MAX_MESSAGE_BYTES + 1))) as running:
            peer = await running.connect()
            peer.send(message(1))
            await until(lambda: running.tally.drops["tcp_answer_too_long"] == 1)
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


# how it ends


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
            assert not running.tally.drops

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
            assert running.tally.gauges == {"tcp_connections": 0}

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
            assert running.tally.drops == {"tcp_unanswered": 1}
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
            assert not running.tally.drops

    run_on(loop, main())


@pytest.mark.parametrize("nonsense", [b"\0\0", b"\0\x0bshort query", b"\0\1x"], ids=["empty", "eleven octets", "one octet"])
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
            assert running.tally.drops == {"tcp_no_header": 1}
            assert len(running.service.asked) == 1

    run_on(loop, main())


# who overstays


@on_both_loops
def test_an_idle_connection_is_closed_and_a_used_one_is_not(loop: str) -> None:
    """The idle time counts from the last message."""

    async def main() -> None:
        async with listening(echo, ROOMY._replace(idle_timeout_s=0.2)) as running:
            idle, used = await running.connect(), await running.connect()
            for number in range(8):
                assert await used.ask(message(number)) == message(number)
                await asyncio.sleep(0.05)
            assert await idle.rest() == b""
            assert used.is_open
            assert await used.ask(message(9)) == message(9)
            assert await used.rest() == b""
            assert not running.tally.drops

    run_on(loop, main())


@on_both_loops
def test_one_octet_at_a_time_does_not_keep_a_connection(loop: str) -> None:
    """A message that does not get finished is no sign of life (slowloris)."""

    async def main() -> None:
        async with listening(echo, ROOMY._replace(idle_timeout_s=0.2)) as running:
            peer = await running.connect()
            assert await peer.ask(message(1)) == message(1)
            started = asyncio.get_running_loop().time()
            while running.connections:
                peer.writer.write(b"\xff")
                await asyncio.sleep(0.02)
            assert asyncio.get_running_loop().time() - started < 0.5
            assert running.tally.drops == {"tcp_unfinished_message": 1}

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
        async with listening(lambda wire, reply: reply(wire + bytes(30_000)), ROOMY._replace(idle_timeout_s=0.3)) as running:
            with closing(socket.create_connection(("127.0.0.1", running.port))) as deaf:
                deaf.setblocking(False)
                with suppress(BlockingIOError):
                    while True:  # until nobody takes any more
                        deaf.send(frame(message(1)) * 50)
                        await asyncio.sleep(0)
                await asyncio.sleep(0.05)
                asked = len(running.service.asked)
                await asyncio.sleep(0.05)
                assert 0 < len(running.service.asked) == asked
                other = await running.connect()
                assert await other.ask(message(2)) == message(2) + bytes(30_000)
                await until(lambda: running.tally.drops == {"tcp_slow_reader": 1})
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
            assert running.tally.drops == {"tcp_slow_reader": 1}
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
            assert running.tally.drops == {"tcp_no_header": 1}

    run_on(loop, main())


@pytest.mark.parametrize("answers", [2, 5], ids=["a few octets", "more than a buffer"])
@on_both_loops
def test_unread_octets_do_not_keep_a_connection_open(loop: str, answers: int) -> None:
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
                await until(lambda: running.tally.drops == {"tcp_slow_reader": 1})
                assert len(running.connections) == 0

    run_on(loop, main())


# too many


@on_both_loops
def test_half_open_connections_from_one_address_stop_nobody(loop: str) -> None:
    """A thousand connections that say nothing: new ones from the same address and from others are served at once."""

    async def main() -> None:
        async with listening(echo, ROOMY._replace(max_connections=60, max_per_client=20)) as running:
            flood = []
            for _ in range(1000):
                sock = socket.socket()
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", running.port))
                flood.append(sock)
            await until(lambda: running.tally.drops["tcp_made_room"] == 980)
            assert len(running.connections) == 20
            for client in ("127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.3"):
                peer = await running.connect(client)
                assert await peer.ask(message(1)) == message(1)
            assert running.tally.drops == {"tcp_made_room": 982}
            assert running.tally.gauges == {"tcp_connections": 22}
            with pytest.raises(ConnectionResetError):  # not a polite end, which would leave a minute of kernel state for each
                flood[0].recv(1)
            for sock in flood:
                sock.close()

    run_on(loop, main())


@on_both_loops
def test_at_its_own_bound_a_client_makes_room_itself(loop: str) -> None:
    """Its longest idle connection goes; the one it has just used, and everybody else's, stay."""

    async def main() -> None:
        async with listening(echo, ROOMY._replace(max_per_client=2)) as running:
            bystander = await running.connect("127.0.0.2")
            first, second = await running.connect(), await running.connect()
            assert await first.ask(message(1)) == message(1)
            third = await running.connect()
            assert await second.rest() == b""
            for peer in (bystander, first, third):
                assert await peer.ask(message(2)) == message(2)

    run_on(loop, main())


@on_both_loops
def test_in_a_full_house_the_client_with_most_connections_makes_room(loop: str) -> None:
    """Many connections from one address displace each other, not somebody's only one."""

    async def main() -> None:
        async with listening(echo, ROOMY._replace(max_connections=5, idle_timeout_s=5.0)) as running:
            modest = await running.connect("127.0.0.2")
            greedy = [await running.connect("127.0.0.3") for _ in range(4)]
            newcomers = [await running.connect(f"127.0.0.{last}") for last in (4, 5)]
            assert await greedy[0].rest() == b""
            assert await greedy[1].rest() == b""
            for peer in (modest, greedy[2], greedy[3], *newcomers):
                assert await peer.ask(message(1)) == message(1)

    run_on(loop, main())


@on_both_loops
def test_a_client_that_keeps_many_connections_busy_makes_room(loop: str) -> None:
    """Who has one connection, or none, does not wait until somebody with three has his answers."""

    async def main() -> None:
        held = Held()
        async with listening(held, ROOMY._replace(max_connections=3)) as running:
            busy = [await running.connect() for _ in range(3)]
            for count, peer in enumerate(busy, 1):
                peer.send(message(1))
                await until(lambda count=count: len(held.replies) == count)  # type: ignore[misc]  # a lambda's default
            running.service.act = echo
            assert await (await running.connect("127.0.0.2", counted=False)).ask(message(2)) == message(2)
            assert await busy[0].rest() == b""
            assert running.tally.drops == {"tcp_busy_made_room": 1}

    run_on(loop, main())


@on_both_loops
def test_when_everybody_waits_for_an_answer_the_new_one_is_turned_away(loop: str) -> None:
    """Who was promised an answer is not cut off for one who has no fewer; as soon as one has it there is room again."""

    async def main() -> None:
        held = Held()
        async with listening(held, ROOMY._replace(max_connections=2)) as running:
            busy = [await running.connect(address) for address in ("127.0.0.1", "127.0.0.3")]
            for peer in busy:
                peer.send(message(1))
            await until(lambda: len(held.replies) == 2)
            refused = await running.connect("127.0.0.2", counted=False)
            assert await refused.rest() == b""
            assert running.tally.drops == {"tcp_refused": 1}
            held.replies[0][1](message(1))
            running.service.act = echo
            assert await (await running.connect("127.0.0.2")).ask(message(2)) == message(2)

    run_on(loop, main())


@pytest.mark.parametrize("trick", ["dropped queries", "unread answers", "unfinished message"])
@on_both_loops
def test_looking_busy_keeps_nobody_out(loop: str, trick: str) -> None:
    """Queries that are never answered, answers never read and messages never finished make a connection no less idle."""

    async def main() -> None:
        def act(wire: bytes, reply: Reply) -> None:
            if wire == message(1):
                return
            reply(bytes(60_000) if wire == message(2) else wire)

        async with listening(act, ROOMY._replace(max_connections=3, idle_timeout_s=30.0)) as running:
            for _ in range(3):
                peer = await running.connect()
                match trick:
                    case "dropped queries":
                        peer.send(message(1))
                        await until(lambda: bool(running.service.asked))
                    case "unread answers":
                        peer.stop_reading()
                        peer.send(*[message(2)] * 300)
                        await until(lambda: bool(running.service.asked))
                        await asyncio.sleep(0.05)
                    case "unfinished message":
                        peer.writer.write(b"\0")
                running.service.asked.clear()
            await asyncio.sleep(0.01)
            for client in ("127.0.0.1", "127.0.0.2"):
                assert await (await running.connect(client)).ask(message(3)) == message(3)
            assert running.tally.drops == {"tcp_made_room": 2}

    run_on(loop, main())


@on_both_loops
def test_the_fuller_it_gets_the_shorter_anybody_may_be_idle(loop: str) -> None:
    """The idle time shrinks in a straight line from half full to full, where it is 0.2 s."""

    async def main() -> None:
        async with listening(echo, ROOMY._replace(max_connections=4)) as running:
            expected = [10.0, 10.0, 10.0, 5.1, 0.2]
            for count in range(4):
                assert running.connections.idle_limit_s == pytest.approx(expected[count])
                await running.connect()
            assert running.connections.idle_limit_s == pytest.approx(expected[4])
            running.connections.apply(ROOMY._replace(max_connections=4, idle_timeout_s=0.1))
            assert running.connections.idle_limit_s == pytest.approx(0.1)

    run_on(loop, main())


@on_both_loops
def test_a_full_house_empties_within_a_moment(loop: str) -> None:
    """Connections that would have ten seconds get 0.2 s while there is no room."""

    async def main() -> None:
        async with listening(echo, ROOMY._replace(max_connections=1)) as running:
            peer = await running.connect()
            started = asyncio.get_running_loop().time()
            assert await peer.rest() == b""
            assert 0.15 < asyncio.get_running_loop().time() - started < 1.5

    run_on(loop, main())


@on_both_loops
def test_new_limits_hold_from_now_on(loop: str) -> None:
    """After a lower bound the next connection makes the surplus go, not only one."""

    async def main() -> None:
        async with listening(echo) as running:
            peers = [await running.connect() for _ in range(5)]
            running.connections.apply(ROOMY._replace(max_connections=2))
            last = await running.connect("127.0.0.2", counted=False)
            assert await last.ask(message(1)) == message(1)
            assert len(running.connections) == 2
            assert running.tally.drops == {"tcp_made_room": 4}
            assert await peers[-1].ask(message(2)) == message(2)

    run_on(loop, main())


def test_a_client_with_a_whole_ipv6_network_is_one_client() -> None:
    """Bounds for each client would mean nothing to who has 2^64 addresses."""
    assert client_key("2001:db8::1") == client_key("2001:db8::ffff:ffff:ffff:ffff")
    assert client_key("2001:db8::1") != client_key("2001:db8:0:1::1")
    assert client_key("192.0.2.1") != client_key("192.0.2.2")


# shutdown


@on_both_loops
def test_draining_answers_what_was_asked_and_closes(loop: str) -> None:
    """Idle connections end at once, busy ones with their last answer, new ones do not begin."""

    async def main() -> None:
        held = Held()
        async with listening(held) as running:
            idle, busy = await running.connect(), await running.connect()
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
            await asyncio.wait_for(drained, 1)
            assert len(held.replies) == 1

    run_on(loop, main())


@on_both_loops
def test_who_connects_while_the_queue_of_the_kernel_is_kept_waits_for_the_next_worker(loop: str) -> None:
    """Closing one worker's listener loses no connection as long as somebody holds the socket."""

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
def test_nobody_new_is_let_in_while_draining(loop: str) -> None:
    """Who connects between the decision to stop and the end of listening is turned away."""

    async def main() -> None:
        async with listening(echo) as running:
            running.connections.drain()
            peer = await running.connect(counted=False)
            assert await peer.rest() == b""
            assert len(running.connections) == 0

    run_on(loop, main())


@on_both_loops
def test_many_may_wait_to_be_accepted(loop: str) -> None:
    """The queue of the kernel stays as long as it was made, though few are accepted at a time."""
    longest = int(Path("/proc/sys/net/core/somaxconn").read_text())

    async def main() -> None:
        async with listening(echo) as running:
            tcp_info = running.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            assert struct.unpack_from("I", tcp_info, 28)[0] == min(TCP_BACKLOG, longest)  # tcpi_sacked of a listening socket

    run_on(loop, main())


@on_both_loops
def test_a_listener_may_be_closed_before_it_starts(loop: str) -> None:
    """Nothing is left open."""

    async def main() -> None:
        running = Running(echo, ROOMY)
        running.listener.close()
        running.connections.close()
        assert running.sock.fileno() == -1

    run_on(loop, main())


# anything


@on_both_loops
@examples(25)
@given(junk=st.lists(st.binary(max_size=200), max_size=8))
def test_whatever_one_peer_sends_another_is_answered(loop: str, junk: Iterable[bytes]) -> None:
    """Random octets in random segments end with nothing worse than the end of their own connection."""

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
