"""A TCP connection between its turn and its transport: it has its place already, and may lose it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from pdns.net.tcp import Arrival
from tests.fakes.edges import echo, message, until
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.tcp import ROOMY, TcpServer, listening


def opened(running: TcpServer, client: str) -> socket.socket:
    """A client's end of a connection whose turn has come, before the loop goes on."""
    ours = socket.create_connection(("127.0.0.1", running.port), source_address=(client, 0))
    running.sock.setblocking(True)
    theirs, _ = running.sock.accept()
    running.sock.setblocking(False)
    theirs.setblocking(False)
    Arrival(theirs, client, running.service, running.connections).go_on(1)
    ours.setblocking(False)
    return ours


@on_both_loops
def test_one_that_is_being_opened_makes_room(loop: str) -> None:
    """Three clients in one turn, with room for one: never more than one is counted, and the last one is served."""

    async def main() -> None:
        async with listening(echo, ROOMY._replace(max_connections=1)) as running:
            peers = []
            for number in (1, 2, 3):
                peers.append(opened(running, f"127.0.0.{number}"))
                assert len(running.connections) == 1
            await until(lambda: not running.connections._opening)
            assert running.stats.drops == {"tcp_made_room": 2}
            reader, writer = await asyncio.open_connection(sock=peers[2])
            writer.write(b"\0\x0c" + message(7))
            async with asyncio.timeout(3):
                assert await reader.readexactly(14) == b"\0\x0c" + message(7)
            for peer in peers[:2]:
                with pytest.raises(ConnectionResetError):
                    await asyncio.get_running_loop().sock_recv(peer, 1)
                peer.close()
            writer.close()

    run_on(loop, main())


@on_both_loops
def test_one_that_is_being_opened_when_all_is_drained_is_closed(loop: str) -> None:
    """`drained` waits for it, and its client sees the end of the connection."""

    async def main() -> None:
        async with listening(echo) as running:
            peer = opened(running, "127.0.0.1")
            running.connections.drain()
            async with asyncio.timeout(3):
                await running.connections.drained()
                assert await asyncio.get_running_loop().sock_recv(peer, 1) == b""
            assert len(running.connections) == 0
            peer.close()

    run_on(loop, main())
