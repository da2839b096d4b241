"""Datagrams of load balancers: the header names the client, and the answer goes back to where the datagram came from."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.errors import WireError
from pdns.wire.proxy_header import MALFORMED, NO_CLIENT, NO_HEADER, TOO_LONG, VERSION, parse_header
from tests.effort import examples
from tests.fakes.edges import Held, ReceivedMessage, drop, echo, message, until
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.udp import LISTENERS, UdpServer, answer, listening, on_both_binds
from tests.property.test_proxy_header import HOSTILE
from tests.proxied import DATAGRAM, PROXY, STREAM, header, raw, tlv

BALANCER, STRANGER = "127.0.0.2", "127.0.0.3"


@pytest.fixture(params=LISTENERS, autouse=True)
def twin(request: pytest.FixtureRequest) -> str:
    """Every test here that opens a listener runs on both twins."""
    UdpServer.twin = LISTENERS[request.param]
    return str(request.param)


@asynccontextmanager
async def balanced(host: str = "127.0.0.1", networks: Sequence[str] = (f"{BALANCER}/32",)) -> AsyncIterator[UdpServer]:
    async with listening(echo, host) as running:
        running.listener.trust(networks)
        yield running


def peer(running: UdpServer, address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind((address, 0))
    sock.connect(("127.0.0.1", running.port))
    return sock


@on_both_binds
@on_both_loops
def test_the_service_sees_the_client_and_the_balancer_gets_the_answer(loop: str, host: str) -> None:
    """IPv4, IPv6 and mapped, over whatever the client came; the answer has no header. The port is the one that is answered."""

    async def main() -> None:
        async with balanced(host) as running:
            with peer(running, BALANCER) as sock:
                for number, (named, seen) in enumerate(
                    [("198.51.100.7", "198.51.100.7"), ("2001:db8::7", "2001:db8::7"), ("::ffff:203.0.113.9", "203.0.113.9")]
                ):
                    for means in (STREAM, DATAGRAM):
                        sock.send(header(named, means=means, tlvs=tlv(4, b"pad"), checksum=True) + message(number, b"q"))
                        assert await answer(sock) == message(number, b"q")
                        port = sock.getsockname()[1]
                        assert running.service.asked[-1] == ReceivedMessage(message(number, b"q"), seen, port, "udp")
            assert not running.stats.drops

    run_on(loop, main())


@on_both_binds
@on_both_loops
def test_without_a_sound_header_a_balancer_gets_nothing(loop: str, host: str) -> None:
    """Each reason is counted, and the service hears of none of them."""
    wrong = [
        (message(1), NO_HEADER),
        (b"", NO_HEADER),
        (b"PROXY UDP4 198.51.100.7 192.0.2.53 40000 53\r\n" + message(1), VERSION),
        (header("198.51.100.7")[:-1], MALFORMED),
        (header("198.51.100.7", tlvs=b"\1\xff\xff") + message(1), MALFORMED),
        (raw(PROXY, 0x12, bytes(12), size=600) + message(1) + bytes(600), TOO_LONG),
        (header("0.0.0.0") + message(1), NO_CLIENT),
        (raw(PROXY, 0, b"") + message(1), NO_CLIENT),
        (raw(PROXY, 0x32, bytes(216)) + message(1), NO_CLIENT),
    ]

    async def main() -> None:
        async with balanced(host) as running:
            with peer(running, BALANCER) as sock:
                for count, (wire, _) in enumerate(wrong, 1):
                    sock.send(wire)
                    await until(lambda count=count: running.stats.drops.total() == count)  # type: ignore[misc]
                assert running.stats.drops == Counter(reason for _, reason in wrong)
                assert not running.service.asked
                sock.send(header("198.51.100.7") + message(2))
                assert await answer(sock) == message(2)

    run_on(loop, main())


@on_both_loops
def test_local_is_the_balancer_itself(loop: str) -> None:
    """A health check has the address that it came from."""

    async def main() -> None:
        async with balanced() as running:
            with peer(running, BALANCER) as sock:
                for head in (header(), raw(0x20, 0x12, bytes(12)), header(tlvs=b"\xff" * 9)):
                    sock.send(head + message(1))
                    assert await answer(sock) == message(1)
                    assert running.service.asked[-1] == ReceivedMessage(message(1), BALANCER, sock.getsockname()[1], "udp")

    run_on(loop, main())


@on_both_binds
@on_both_loops
def test_a_header_of_another_peer_is_part_of_the_message(loop: str, host: str) -> None:
    """A stranger names no client; without a header it is served as before."""

    async def main() -> None:
        async with balanced(host) as running:
            with peer(running, STRANGER) as sock:
                for wire in (header("198.51.100.7") + message(1), message(2)):
                    sock.send(wire)
                    assert await answer(sock) == wire
                    assert running.service.asked[-1] == ReceivedMessage(wire, STRANGER, sock.getsockname()[1], "udp")
            assert not running.stats.drops

    run_on(loop, main())


@on_both_loops
def test_a_reload_changes_who_is_believed(loop: str) -> None:
    """From one datagram to the next."""

    async def main() -> None:
        async with balanced(networks=()) as running:
            wire = header("198.51.100.7") + message(1)
            with peer(running, BALANCER) as sock:
                for networks, seen in (((), wire), ((f"{BALANCER}/32",), message(1)), (("127.0.0.3/32",), wire), ((), wire)):
                    running.listener.trust(networks)
                    sock.send(wire)
                    assert await answer(sock) == seen

    run_on(loop, main())


@on_both_loops
def test_one_batch_of_many_clients_and_a_stranger(loop: str) -> None:
    """Each message keeps its own client and its own way back, and a long message with a short one behind it stays what it is."""

    async def main() -> None:
        async with balanced() as running:
            with peer(running, BALANCER) as one, peer(running, BALANCER) as two, peer(running, STRANGER) as stranger:
                sent: dict[bytes, tuple[str, int]] = {}
                for number in range(60):
                    sock, named = ((one, f"198.51.100.{number}"), (two, f"2001:db8::{number + 1:x}"), (stranger, ""))[number % 3]
                    wire = message(number, bytes([number]) * (3000 if number % 7 == 0 else number))
                    sock.send((header(named) if named else b"") + wire)
                    sent[wire] = named or STRANGER, sock.getsockname()[1]
                await until(lambda: len(running.service.asked) == 60)
                assert {asked.wire: (asked.client, asked.port) for asked in running.service.asked} == sent
                for number in range(60):
                    wire = await answer((one, two, stranger)[number % 3])
                    assert sent[wire][1] == (one, two, stranger)[number % 3].getsockname()[1]

    run_on(loop, main())


@on_both_loops
def test_a_late_answer_goes_to_the_balancer(loop: str) -> None:
    """Also when the batch that it came in is long gone."""

    async def main() -> None:
        held = Held()
        async with balanced() as running:
            running.service.act = held
            with peer(running, BALANCER) as sock, peer(running, BALANCER) as other:
                sock.send(header("198.51.100.7") + message(1))
                await until(lambda: len(held.replies) == 1)
                other.send(header("198.51.100.8") + message(2))
                await until(lambda: len(held.replies) == 2)
                for _, reply in reversed(held.replies):
                    reply(b"late")
                assert await answer(sock) == await answer(other) == b"late"

    run_on(loop, main())


@examples(20)
@given(st.lists(HOSTILE, min_size=1, max_size=8))
def test_whatever_a_balancer_sends(wires: list[bytes]) -> None:
    """The twin listeners give the service the same messages of the same clients, and count the same."""

    async def main(wires: list[bytes]) -> None:
        expected, drops = [], 0
        for wire in wires:
            try:
                read = parse_header(wire)
            except WireError:
                drops += 1
            else:
                expected.append((wire[read.size :], read.client or BALANCER))
        async with balanced() as running:
            running.service.act = drop
            with peer(running, BALANCER) as sock:
                for wire in wires:
                    sock.send(wire)
                await until(lambda: len(running.service.asked) + running.stats.drops.total() == len(wires))
            assert [(asked.wire, asked.client) for asked in running.service.asked] == expected
            assert running.stats.drops.total() == drops

    asyncio.run(main(wires))
