"""More TCP connections than there is room for: which of them make room."""

from __future__ import annotations

import asyncio
import socket

import pytest

from pdns.net.edge import Reply
from pdns.net.stream import client_key
from tests.fakes.edges import Held, echo, message, until
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.tcp import ROOMY, Clock, listening


@on_both_loops
def test_half_open_connections_from_one_address_keep_no_client_out(loop: str) -> None:
    """A thousand connections that say nothing: new ones from the same address and from others are served at once."""

    async def main() -> None:
        async with listening(echo, ROOMY._replace(max_connections=60, max_per_client=20)) as running:
            flood = []
            for _ in range(1000):
                sock = socket.socket()
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", running.port))
                flood.append(sock)
            await until(lambda: running.stats.drops["tcp_made_room"] == 980)
            assert len(running.connections) == 20
            for client in ("127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.3"):
                peer = await running.connect(client)
                assert await peer.ask(message(1)) == message(1)
            assert running.stats.drops == {"tcp_made_room": 982}
            assert running.stats.gauges == {"tcp_connections": 22}
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
            assert running.stats.drops == {"tcp_busy_made_room": 1}

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
            assert running.stats.drops == {"tcp_refused": 1}
            held.replies[0][1](message(1))
            running.service.act = echo
            assert await (await running.connect("127.0.0.2")).ask(message(2)) == message(2)

    run_on(loop, main())


@pytest.mark.parametrize("trick", ["dropped queries", "unread answers", "unfinished message"])
@on_both_loops
def test_looking_busy_keeps_no_client_out(loop: str, trick: str) -> None:
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
            assert running.stats.drops == {"tcp_made_room": 2}

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
        clock = Clock()
        async with listening(echo, ROOMY._replace(max_connections=1), clock) as running:
            peer = await running.connect()
            clock.now_s += 0.19
            await asyncio.sleep(0.2)  # some sweeps
            assert peer.is_open
            clock.now_s += 0.02
            assert await peer.rest() == b""

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
            assert running.stats.drops == {"tcp_made_room": 4}
            assert await peers[-1].ask(message(2)) == message(2)

    run_on(loop, main())


def test_a_client_with_a_whole_ipv6_network_is_one_client() -> None:
    """Bounds for each client would mean nothing to who has 2^64 addresses."""
    assert client_key("2001:db8::1") == client_key("2001:db8::ffff:ffff:ffff:ffff")
    assert client_key("2001:db8::1") != client_key("2001:db8:0:1::1")
    assert client_key("192.0.2.1") != client_key("192.0.2.2")
