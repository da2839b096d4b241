"""Connections of load balancers: one header, then the client that it names."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from pdns.net.edge import Reply
from pdns.net.tcp_limits import TcpLimits
from pdns.wire.framing import frame
from pdns.wire.proxy_header import (
    MALFORMED,
    MAX_BLOCK_BYTES,
    NO_CLIENT,
    NO_HEADER,
    TOO_LONG,
    UNFINISHED,
    VERSION,
)
from tests.fakes.edges import Held, ReceivedMessage, echo, message, until
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.tcp import ROOMY, Clock, Peer, TcpServer, knock, listening
from tests.proxied import DATAGRAM, PROXY, STREAM, header, raw, tlv

BALANCER, OTHER, STRANGER = "127.0.0.2", "127.0.0.3", "127.0.0.4"
NAMED = "198.51.100.7"


@asynccontextmanager
async def balanced(
    act: Callable[[bytes, Reply], None] = echo,
    limits: TcpLimits = ROOMY,
    clock: Callable[[], float] | None = None,
    networks: Sequence[str] = (f"{BALANCER}/32", f"{OTHER}/32"),
) -> AsyncIterator[TcpServer]:
    async with listening(act, limits, clock) as running:
        running.connections.trust(networks)
        yield running


async def connected(running: TcpServer, client: str = NAMED, by: str = BALANCER, means: int = STREAM) -> Peer:
    """A connection of `client`, by a load balancer, that has been served."""
    peer = await running.connect(by)
    peer.writer.write(header(client, means=means))
    assert await peer.ask(message(1)) == message(1)
    return peer


@on_both_loops
def test_the_service_sees_the_client(loop: str) -> None:
    """In each message of the connection, with header and messages in one piece; the answers have no header."""

    async def main() -> None:
        async with balanced() as running:
            for named, seen in ((NAMED, NAMED), ("2001:db8::7", "2001:db8::7"), ("::ffff:203.0.113.9", "203.0.113.9")):
                peer = await running.connect(BALANCER)
                head = header(named, means=STREAM, tlvs=tlv(1, b"dns"), checksum=True)
                peer.writer.write(head + frame(message(1)) + frame(message(2)))
                assert [await peer.receive(), await peer.receive()] == [message(1), message(2)]
                assert await peer.ask(message(3)) == message(3)
                expected = [ReceivedMessage(message(number), seen, peer.port, "tcp") for number in (1, 2, 3)]
                assert running.service.asked[-3:] == expected
            assert not running.stats.drops

    run_on(loop, main())


@on_both_loops
def test_byte_by_byte(loop: str) -> None:
    """However the header is cut, and also where it ends within a piece."""

    async def main() -> None:
        async with balanced() as running:
            peer = await running.connect(BALANCER)
            for byte in header(NAMED, means=STREAM, tlvs=tlv(4, bytes(20)), checksum=True) + frame(message(1)):
                peer.writer.write(bytes([byte]))
                await asyncio.sleep(0)
            assert await peer.receive() == message(1)
            peer = await running.connect(BALANCER)
            wire = header(NAMED, means=STREAM) + frame(message(2))
            peer.writer.write(wire[:20])
            await asyncio.sleep(0.02)
            peer.writer.write(wire[20:31])
            await asyncio.sleep(0.02)
            peer.writer.write(wire[31:])
            assert await peer.receive() == message(2)
            assert {asked.client for asked in running.service.asked} == {NAMED}

    run_on(loop, main())


@on_both_loops
def test_the_longest_header_and_one_that_is_longer(loop: str) -> None:
    """536 bytes behind the first 16 are read; one more closes the connection as soon as that is said."""

    async def main() -> None:
        async with balanced() as running:
            peer = await running.connect(BALANCER)
            peer.writer.write(header(NAMED, means=STREAM, tlvs=tlv(4, bytes(MAX_BLOCK_BYTES - 12 - 3))))
            assert await peer.ask(message(1)) == message(1)
            peer = await running.connect(BALANCER)
            peer.writer.write(raw(PROXY, 0x11, size=MAX_BLOCK_BYTES + 1))
            assert await peer.rest() == b""
            assert running.stats.drops == {TOO_LONG: 1}

    run_on(loop, main())


@on_both_loops
@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (frame(message(1)), NO_HEADER),
        (b"PROXY TCP4 198.51.100.7 192.0.2.53 40000 53\r\n" + frame(message(1)), VERSION),
        (raw(0x31, 0x11, bytes(12)), VERSION),
        (raw(PROXY, 0x41, bytes(12)), MALFORMED),
        (header(NAMED, tlvs=b"\1\xff\xff") + frame(message(1)), MALFORMED),
        (header("224.0.0.1") + frame(message(1)), NO_CLIENT),
        (raw(PROXY, 0x31, bytes(216)) + frame(message(1)), NO_CLIENT),
        (raw(PROXY, 0) + frame(message(1)), NO_CLIENT),
    ],
)
def test_without_a_sound_header_the_connection_is_closed(loop: str, wire: bytes, reason: str) -> None:
    """At once, counted, and the service hears nothing."""

    async def main() -> None:
        async with balanced() as running:
            peer = await running.connect(BALANCER)
            peer.writer.write(wire)
            assert await peer.rest() == b""
            await until(lambda: not len(running.connections))
            assert running.stats.drops == {reason: 1}
            assert running.stats.gauges["tcp_connections"] == 0
            assert not running.service.asked

    run_on(loop, main())


@on_both_loops
def test_a_header_that_does_not_come_to_its_end(loop: str) -> None:
    """It has as long as a first message, and bytes of it do not count as activity. One that never began is not counted."""

    async def main() -> None:
        clock = Clock()
        async with balanced(limits=ROOMY._replace(idle_timeout_s=8.0), clock=clock) as running:
            slow, silent, whole = [await running.connect(BALANCER) for _ in range(3)]
            whole.writer.write(header(NAMED))
            for at, byte in enumerate(header(NAMED)[:6]):
                slow.writer.write(bytes([byte]))
                await asyncio.sleep(0.01)
                clock.now_s = at + 1.0
            assert len(running.connections) == 3
            clock.now_s = 8.0
            assert await slow.rest() == await silent.rest() == await whole.rest() == b""
            assert running.stats.drops == {UNFINISHED: 1}

    run_on(loop, main())


@on_both_loops
def test_the_end_of_the_connection_within_the_header(loop: str) -> None:
    """It is counted; a connection that ends before its first byte is a check that the port is open."""

    async def main() -> None:
        async with balanced() as running:
            checking, cut = await running.connect(BALANCER), await running.connect(BALANCER)
            checking.writer.write_eof()
            assert await checking.rest() == b""
            cut.writer.write(header(NAMED)[:-1])
            cut.writer.write_eof()
            assert await cut.rest() == b""
            await until(lambda: not len(running.connections))
            assert running.stats.drops == {UNFINISHED: 1}

    run_on(loop, main())


@on_both_loops
def test_local_is_the_balancer_itself(loop: str) -> None:
    """A health check asks under the address of its connection, and counts as that."""

    async def main() -> None:
        async with balanced(limits=ROOMY._replace(max_per_client=1)) as running:
            peer = await running.connect(BALANCER)
            peer.writer.write(header(tlvs=b"\xff"))
            assert await peer.ask(message(1)) == message(1)
            assert running.service.asked == [ReceivedMessage(message(1), BALANCER, peer.port, "tcp")]
            again = await running.connect(BALANCER)
            assert await peer.ask(message(2)) == message(2)
            again.writer.write(header())
            assert await again.ask(message(3)) == message(3)
            assert await peer.rest() == b""
            assert running.stats.drops == {"tcp_made_room": 1}

    run_on(loop, main())


@on_both_loops
def test_a_header_of_another_peer_is_no_message(loop: str) -> None:
    """A stranger's header is read as a length and a message of that length, as ever; without one, a client is served."""

    async def main() -> None:
        async with balanced() as running:
            peer = await running.connect(STRANGER)
            assert await peer.ask(message(1)) == message(1)
            peer.writer.write(header(NAMED) + bytes(0x0D0A))  # its first two bytes
            assert (await peer.receive()).startswith(header(NAMED)[2:])
            assert {asked.client for asked in running.service.asked} == {STRANGER}

    run_on(loop, main())


@on_both_loops
def test_a_client_that_asked_over_udp_is_answered_as_over_udp(loop: str) -> None:
    """The load balancer has turned datagrams into a stream: the address is not proven, and the answer has to fit."""

    async def main() -> None:
        async with balanced() as running:
            peer = await connected(running, means=DATAGRAM)
            assert running.service.asked == [ReceivedMessage(message(1), NAMED, peer.port, "udp")]

    run_on(loop, main())


@on_both_loops
def test_the_bound_for_a_client_is_the_clients(loop: str) -> None:
    """Two of each client, whatever load balancers they come by and directly as well; a third one makes an idle one close."""

    async def main() -> None:
        async with balanced(limits=ROOMY._replace(max_per_client=2)) as running:
            many = [await connected(running, f"198.51.100.{number}", by) for number in range(1, 9) for by in (BALANCER, OTHER)]
            assert len(running.connections) == 16
            assert not running.stats.drops
            third = await connected(running, "198.51.100.1")
            assert await many[0].rest() == b""
            assert running.stats.drops == {"tcp_made_room": 1}
            assert await third.ask(message(9)) == message(9)
            assert await many[1].ask(message(9)) == message(9)

            direct = [await running.connect(STRANGER) for _ in range(2)]
            for peer in direct:
                assert await peer.ask(message(9)) == message(9)
            await connected(running, STRANGER)
            assert await direct[0].rest() == b""

    run_on(loop, main())


@on_both_loops
def test_a_client_at_its_bound_with_busy_connections_is_refused(loop: str) -> None:
    """As soon as its header says who it is; the others of the load balancer are not touched."""

    async def main() -> None:
        held = Held()
        async with balanced(held, ROOMY._replace(max_per_client=1)) as running:
            busy = await running.connect(BALANCER)
            busy.writer.write(header(NAMED) + frame(message(1)))
            await until(lambda: len(held.replies) == 1)
            refused = await running.connect(BALANCER)
            refused.writer.write(header(NAMED) + frame(message(2)))
            assert await refused.rest() == b""
            assert running.stats.drops == {"tcp_refused": 1}
            assert len(running.connections) == running.stats.gauges["tcp_connections"] == 1
            other = await running.connect(BALANCER)
            other.writer.write(header("2001:db8::1") + frame(message(3)))
            await until(lambda: len(held.replies) == 2)
            for _, reply in held.replies:
                reply(message(4))
            assert await busy.receive() == await other.receive() == message(4)

    run_on(loop, main())


@on_both_loops
def test_until_its_header_has_come_a_connection_is_the_balancers(loop: str) -> None:
    """Those without a header are at most half of all, for each load balancer; those with one are not its own any more."""

    async def main() -> None:
        async with balanced(limits=ROOMY._replace(max_connections=40, max_per_client=1)) as running:
            known = [await connected(running, f"198.51.100.{number}") for number in range(1, 7)]
            waiting = [await running.connect(BALANCER) for _ in range(20)]
            assert not running.stats.drops
            await running.connect(BALANCER)
            assert await waiting[0].rest() == b""
            assert running.stats.drops == {"tcp_made_room": 1}
            await running.connect(OTHER)
            assert running.stats.drops == {"tcp_made_room": 1}
            for peer in known:
                assert await peer.ask(message(2)) == message(2)

    run_on(loop, main())


@on_both_loops
def test_the_last_place_is_for_the_connection_that_has_it(loop: str) -> None:
    """It does not make room for itself when its client becomes known, and drains like any other."""

    async def main() -> None:
        async with balanced(limits=ROOMY._replace(max_connections=1)) as running:
            peer = await connected(running)
            assert await peer.ask(message(2)) == message(2)
            assert not running.stats.drops
            running.connections.drain()
            async with asyncio.timeout(30):
                await running.connections.drained()

    run_on(loop, main())


@on_both_loops
def test_a_burst_of_a_balancer_is_not_that_of_one_client(loop: str) -> None:
    """300 connections at once, more than may wait for their turn: each client is served."""

    async def main() -> None:
        async with balanced() as running:
            knocking = await asyncio.to_thread(knock, running.port, BALANCER, 300)
            for number, sock in enumerate(knocking):
                sock.send(header(f"198.51.{number % 250}.{number // 250 + 1}") + frame(message(number)))
            events = asyncio.get_running_loop()
            for number, sock in enumerate(knocking):
                async with asyncio.timeout(30):
                    assert await events.sock_recv(sock, 100) == frame(message(number))
                sock.close()
            assert not running.stats.drops

    run_on(loop, main())


@on_both_loops
def test_a_client_that_is_refused_rests_alone(loop: str) -> None:
    """Whom the service refuses too often has to wait; another client of the same load balancer has not."""

    async def main() -> None:
        async with balanced() as running:
            calm = await connected(running, "198.51.100.8")
            running.service.refuses = True
            loud = await running.connect(BALANCER)
            loud.writer.write(header(NAMED) + frame(message(5)) * 40)
            await until(
                lambda: running.connections._turns._refusals.keys() == {NAMED}
            )  # forgotten now and then, and counted anew
            running.service.refuses = False
            assert await calm.ask(message(6)) == message(6)
            for _ in range(40):
                assert await loud.receive() == message(5)

    run_on(loop, main())


@on_both_loops
def test_a_reload_changes_who_is_believed(loop: str) -> None:
    """From one connection to the next; those that are there go on."""

    async def main() -> None:
        async with balanced() as running:
            old = await connected(running)
            running.connections.trust(())
            plain = await running.connect(BALANCER)
            assert await plain.ask(message(2)) == message(2)
            assert await old.ask(message(3)) == message(3)
            assert [asked.client for asked in running.service.asked] == [NAMED, BALANCER, NAMED]

    run_on(loop, main())
