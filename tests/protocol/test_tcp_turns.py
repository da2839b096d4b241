"""Many clients and connections over TCP at once: whose queries and connections are taken up when."""

from __future__ import annotations

import asyncio
import resource
import socket
import struct
import time
from contextlib import closing
from pathlib import Path

import pytest

from pdns.net.edge import Reply
from pdns.net.sockets import TCP_BACKLOG
from pdns.net.turns import MAX_REFUSALS
from pdns.wire.framing import frame
from tests.fakes.edges import echo, message, until
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.tcp import ROOMY, knock, listening


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
            await until(lambda: len(running.connections) + running.stats.drops["tcp_refused"] == 301)
            assert set(running.stats.drops) <= {"tcp_refused"}
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
            assert not running.stats.drops
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
                await until(lambda: running.stats.drops["tcp_made_room"] == 1)
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
def test_many_may_wait_to_be_accepted(loop: str) -> None:
    """The queue of the kernel stays as long as it was made, though few are accepted at a time."""
    longest = int(Path("/proc/sys/net/core/somaxconn").read_text())

    async def main() -> None:
        async with listening(echo) as running:
            tcp_info = running.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            assert struct.unpack_from("I", tcp_info, 28)[0] == min(TCP_BACKLOG, longest)  # tcpi_sacked of a listening socket

    run_on(loop, main())
