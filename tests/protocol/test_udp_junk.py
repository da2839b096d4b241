"""Datagrams that no client has sent, or that can be no query: they are not answered."""

from __future__ import annotations

import os
import socket
import struct

import pytest

from loadtest.loopback import free_port
from pdns.net.udp import MAX_QUERY_BYTES
from tests.fakes.edges import echo, message, until
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.udp import LISTENERS, UdpServer, answer, client, listening, on_both_binds


@pytest.fixture(params=LISTENERS, autouse=True)
def twin(request: pytest.FixtureRequest) -> str:
    """Every test here runs on both twins."""
    UdpServer.twin = LISTENERS[request.param]
    return str(request.param)


@on_both_binds
@on_both_loops
def test_a_datagram_from_our_own_address_and_port_is_not_answered(loop: str, host: str) -> None:
    """A forged source cannot make us talk to ourselves."""

    async def main() -> None:
        async with listening(echo, host) as running:
            running.sock.sendto(message(1), ("127.0.0.1", running.port))
            await until(lambda: running.stats.drops["udp_own_address"] == 1)
            assert await running.ask(message(2)) == message(2)
            assert [asked.wire for asked in running.service.asked] == [message(2)]

    run_on(loop, main())


@on_both_loops
def test_our_own_port_number_at_another_address_is_a_client_like_any_other(loop: str) -> None:
    """Some forwarders ask from port 53."""

    async def main() -> None:
        async with listening(echo, port=free_port()) as running:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.bind(("127.0.0.2", running.port))
                sock.sendto(message(1), ("127.0.0.1", running.port))
                assert await answer(sock) == message(1)

    run_on(loop, main())


@on_both_binds
@on_both_loops
def test_a_datagram_from_port_zero_is_not_answered(loop: str, host: str) -> None:
    """No client can receive on port 0: such a query is counted and dropped."""
    if os.geteuid() != 0:
        pytest.skip("only root can forge a source port")

    async def main() -> None:
        async with listening(echo, host) as running:
            with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
                wire = message(1)
                raw.sendto(struct.pack("!HHHH", 0, running.port, 8 + len(wire), 0) + wire, ("127.0.0.1", 0))
            await until(lambda: running.stats.drops["udp_source_port_zero"] == 1)
            assert await running.ask(message(2)) == message(2)
            assert len(running.service.asked) == 1

    run_on(loop, main())


@on_both_loops
def test_a_datagram_to_everybody_is_not_answered(loop: str) -> None:
    """A query to a broadcast address would have many answers, to whoever the source was forged to be."""

    async def main() -> None:
        async with listening(echo, "0.0.0.0") as running:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                sock.sendto(message(1), ("127.255.255.255", running.port))
            await until(lambda: running.stats.drops["udp_not_unicast"] == 1)
            assert not running.service.asked

    run_on(loop, main())


@on_both_binds
@on_both_loops
def test_a_datagram_too_long_to_be_a_query_is_junk(loop: str, host: str) -> None:
    """4096 bytes reach the service whole; one more and nothing does."""

    async def main() -> None:
        async with listening(echo, host) as running:
            with client("127.0.0.1", running.port) as sock:
                sock.send(bytes(MAX_QUERY_BYTES + 1))
                sock.send(bytes(65507))
                sock.send(bytes(MAX_QUERY_BYTES))
                assert await answer(sock) == bytes(MAX_QUERY_BYTES)
            assert running.stats.drops == {"udp_too_long": 2}

    run_on(loop, main())
