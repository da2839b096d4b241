"""DNS over UDP: datagrams in, datagrams out, on both event loops."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.addresses import Endpoint
from pdns.net.edge import Reply
from pdns.net.sockets import bind_udp
from pdns.net.udp import MAX_QUERY_BYTES
from tests.effort import examples
from tests.fakes.edges import FakeService, Held, ReceivedMessage, drop, echo, fail, message, until
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.udp import LISTENERS, UdpServer, answer, client, listening, on_both_binds


@pytest.fixture(params=LISTENERS, autouse=True)
def twin(request: pytest.FixtureRequest) -> str:
    """Every test here runs on both twins."""
    UdpServer.twin = LISTENERS[request.param]
    return str(request.param)


@on_both_binds
@on_both_loops
def test_the_service_gets_the_datagram_and_who_sent_it(loop: str, host: str) -> None:
    """Bytes arrive unchanged, with the client's address and port, and the answer finds its way back."""

    async def main() -> None:
        async with listening(echo, host) as running:
            with client("127.0.0.1", running.port) as sock:
                sock.send(message(7, b"query"))
                assert await answer(sock) == message(7, b"query")
                assert running.service.asked == [ReceivedMessage(message(7, b"query"), "127.0.0.1", sock.getsockname()[1], "udp")]
            assert not running.stats.drops

    run_on(loop, main())


@on_both_loops
def test_a_wildcard_listener_answers_from_the_address_that_was_asked(loop: str) -> None:
    """A client that asked 127.0.0.2 takes an answer from 127.0.0.2 only, and gets it."""

    async def main() -> None:
        async with listening(echo, "0.0.0.0") as running:
            for server in ("127.0.0.2", "127.0.0.3", "127.0.0.2", "127.255.255.254"):
                assert await running.ask(message(1), server) == message(1)

    run_on(loop, main())


def ipv6_addresses() -> list[str]:
    """The IPv6 addresses of this machine that can be used, link-local ones with their interface."""
    found = []
    with suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            digits, *_, interface = line.split()
            address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
            if address.startswith("fe80:"):
                address += f"%{interface}"
            with suppress(OSError):
                bind_udp(Endpoint(address, 0)).close()
                found.append(address)
    return found


@on_both_loops
def test_an_ipv6_wildcard_listener_answers_from_the_address_that_was_asked(loop: str) -> None:
    """Loopback, global and link-local alike; the service gets addresses without scope."""
    addresses = ipv6_addresses()
    if not addresses:
        pytest.skip("this machine has no IPv6 address")

    async def main() -> None:
        async with listening(echo, "::") as running:
            for server in addresses:
                assert await running.ask(message(1), server) == message(1)
                assert running.service.asked[-1].client == server.partition("%")[0]

    run_on(loop, main())


@on_both_loops
def test_an_ipv6_listener_answers(loop: str) -> None:
    """Bound to one IPv6 address, link-local included."""
    addresses = ipv6_addresses()
    if not addresses:
        pytest.skip("this machine has no IPv6 address")

    async def main() -> None:
        for server in addresses:
            async with listening(echo, server) as running:
                assert await running.ask(message(1), server) == message(1)

    run_on(loop, main())


@on_both_binds
@on_both_loops
def test_more_datagrams_than_one_wake_takes_are_all_answered(loop: str, host: str) -> None:
    """What waits is read until nothing waits."""

    async def main() -> None:
        async with listening(echo, host) as running:
            with client("127.0.0.1", running.port) as sock:
                for number in range(150):
                    sock.send(message(number))
                assert [await answer(sock) for _ in range(150)] == [message(number) for number in range(150)]

    run_on(loop, main())


@on_both_binds
@on_both_loops
def test_answers_come_in_any_order_and_as_late_as_they_like(loop: str, host: str) -> None:
    """Replies are independent of one another; after `pause` they still go out, and nothing more is read."""

    async def main() -> None:
        held = Held()
        async with listening(held, host) as running:
            with client("127.0.0.1", running.port) as sock:
                sock.send(message(1))
                sock.send(message(2))
                await until(lambda: len(held.replies) == 2)
                running.listener.pause()
                sock.send(message(3))
                for wire, reply in reversed(held.replies):
                    reply(wire)
                assert [await answer(sock), await answer(sock)] == [message(2), message(1)]
                await asyncio.sleep(0.02)
                assert len(running.service.asked) == 2
                running.listener.resume()
                await until(lambda: len(held.replies) == 3)

    run_on(loop, main())


@on_both_binds
@on_both_loops
def test_what_has_arrived_can_be_taken_before_the_end(loop: str, host: str) -> None:
    """`read_now` hands over what waits, without the loop; after `close` there is nothing to take."""

    async def main() -> None:
        async with listening(echo, host) as running:
            with client("127.0.0.1", running.port) as sock:
                sock.send(message(1))
                running.listener.read_now()
                running.listener.pause()
                assert [asked.wire for asked in running.service.asked] == [message(1)]
                assert await answer(sock) == message(1)
            running.listener.close()
            running.listener.read_now()

    run_on(loop, main())


@on_both_loops
def test_what_arrives_after_a_pause_waits_for_the_next_reader(loop: str) -> None:
    """One worker stops reading, another that has the socket too answers: nothing is lost between them."""

    async def main() -> None:
        async with listening(drop) as running:
            running.listener.pause()
            with client("127.0.0.1", running.port) as sock:
                sock.send(message(1))
                successor = UdpServer(running.sock.dup(), FakeService(echo))
                running.listener.close()
                assert await answer(sock) == message(1)
                successor.listener.close()

    run_on(loop, main())


@on_both_binds
@on_both_loops
def test_a_reply_after_the_end_is_lost_quietly(loop: str, host: str) -> None:
    """A closed listener swallows late replies; closing twice is no matter."""

    async def main() -> None:
        held = Held()
        async with listening(held, host) as running:
            with client("127.0.0.1", running.port) as sock:
                sock.send(message(1))
                await until(lambda: bool(held.replies))
            running.listener.close()
            running.listener.close()
            running.listener.resume()
            held.replies[0][1](message(1))
            assert not running.stats.drops

    run_on(loop, main())


@on_both_binds
@on_both_loops
def test_a_service_that_raises_stops_nothing(loop: str, host: str, caplog: pytest.LogCaptureFixture) -> None:
    """The bug is logged, once however often it is hit, and the next datagram is read."""

    async def main() -> None:
        async with listening(fail, host) as running:
            with client("127.0.0.1", running.port) as sock:
                for _ in range(200):
                    sock.send(message(1))
                await until(lambda: len(running.service.asked) == 200)
                running.service.act = echo
                sock.send(message(2))
                assert await answer(sock) == message(2)

    run_on(loop, main())
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info and record.exc_info[1]] == [("a bug",)]


@on_both_binds
@on_both_loops
def test_an_answer_that_cannot_be_sent_is_counted(loop: str, host: str) -> None:
    """Errors of the network end with the one answer they belong to."""

    async def main() -> None:
        def huge(wire: bytes, reply: Reply) -> None:
            reply(bytes(70_000))
            reply(wire)

        async with listening(huge, host) as running:
            assert await running.ask(message(1)) == message(1)
            assert running.stats.drops == {"udp_send_error": 1}

    run_on(loop, main())


class FullSocket(socket.socket):
    """A socket whose send buffer has no room, which no test can bring about on a loopback interface."""

    def sendto(self, *args: object) -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")


@on_both_loops
def test_an_answer_that_finds_the_send_buffer_full_is_dropped(loop: str, twin: str) -> None:
    """UDP promises nothing: the client asks again, and the listener does not wait."""
    if twin == "compiled":
        pytest.skip("it does not send by the methods of a Python socket")

    async def main() -> None:
        running = UdpServer(FullSocket(fileno=bind_udp(Endpoint("127.0.0.1", 0)).detach()), FakeService(echo))
        with closing(running.listener), client("127.0.0.1", running.port) as sock:
            sock.send(message(1))
            await until(lambda: running.stats.drops == {"udp_send_buffer_full": 1})

    run_on(loop, main())


@on_both_loops
def test_a_client_that_has_gone_harms_no_other(loop: str) -> None:
    """The ICMP message that an answer to a closed port brings is not the next client's trouble."""

    async def main() -> None:
        held = Held()
        async with listening(held) as running:
            with client("127.0.0.1", running.port) as sock:
                sock.send(message(1))
                await until(lambda: bool(held.replies))
            for _ in range(3):
                held.replies[0][1](message(1))
            running.service.act = echo
            assert await running.ask(message(2)) == message(2)

    run_on(loop, main())


def test_what_the_kernel_drops_can_be_read() -> None:
    """The number of datagrams that the kernel dropped because they were not read in time is known."""

    async def main() -> None:
        async with listening(drop) as running:
            running.listener.pause()
            running.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            with client("127.0.0.1", running.port) as sock:
                for _ in range(50):
                    sock.send(bytes(500))
            assert running.listener.kernel_drops > 0

    run_on("asyncio", main())


@on_both_binds
@on_both_loops
@examples(15)
@given(junk=st.lists(st.binary(max_size=5000), max_size=20))
def test_whatever_was_sent_before_the_next_query_is_answered(loop: str, host: str, junk: Iterable[bytes]) -> None:
    """Random bytes, nothing at all included, reach the service as they are or are counted; none stops the reader."""

    async def main() -> None:
        async with listening(drop, host) as running:
            with client("127.0.0.1", running.port) as sock:
                for datagram in junk:
                    sock.send(datagram)
                    await asyncio.sleep(0)
                await until(lambda: len(running.service.asked) + running.stats.drops["udp_too_long"] == len(list(junk)))
                assert [asked.wire for asked in running.service.asked] == [each for each in junk if len(each) <= MAX_QUERY_BYTES]
                running.service.act = echo
                sock.send(message(1))
                assert await answer(sock) == message(1)

    run_on(loop, main())
