"""Hostile clients of DNS over QUIC. Each plays for some seconds."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Final

from tests.fakes.quic import StreamClient
from tests.integration.hostileclients import NAME, PAUSE_S, Clock, Play


def _datagrams(port: int, seconds: float, make: Callable[[random.Random], bytes], per_s: float = 5000.0) -> int:
    """From 200 addresses."""
    clock, sent, chance = Clock(seconds), 0, random.Random(2)
    with contextlib.ExitStack() as stack:
        socks = []
        for number in range(200):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind((f"127.0.9.{1 + number}", 0))
            sock.connect(("127.0.0.1", port))
            sock.setblocking(False)
            socks.append(sock)
        began_s = time.monotonic()
        while clock:
            while sent < (time.monotonic() - began_s) * per_s:
                with contextlib.suppress(OSError):
                    socks[sent % len(socks)].send(make(chance))
                sent += 1
            time.sleep(PAUSE_S)
    return sent


def _initial(version: int, chance: random.Random) -> bytes:
    head = b"\xc3" + version.to_bytes(4) + b"\x08" + chance.randbytes(8) + b"\x08" + chance.randbytes(8) + b"\0\x44\x9e"
    return head + bytes(1200 - len(head))


def random_datagrams(ports: Mapping[str, int], seconds: float) -> int:
    return _datagrams(ports["quic"], seconds, lambda chance: chance.randbytes(chance.randrange(1, 200)))


def other_versions(ports: Mapping[str, int], seconds: float) -> int:
    return _datagrams(ports["quic"], seconds, lambda chance: _initial(0x1A2A3A4A, chance))


def forged_initials(ports: Mapping[str, int], seconds: float) -> int:
    """First packets that no key decrypts."""
    return _datagrams(ports["quic"], seconds, lambda chance: _initial(1, chance))


def to_no_connection(ports: Mapping[str, int], seconds: float) -> int:
    return _datagrams(ports["quic"], seconds, lambda chance: b"\x40" + chance.randbytes(60))


def _over_quic(port: int, seconds: float, connections: int, do: Callable[[StreamClient], object]) -> int:
    """Connections at the same time, those that end are opened again; each does that ten times a second."""
    opened = 0

    async def one(until_s: float) -> None:
        nonlocal opened
        from aioquic.asyncio import connect  # noqa: PLC0415 (as pdns does it)
        from aioquic.quic.configuration import QuicConfiguration  # noqa: PLC0415

        while time.monotonic() < until_s:
            settings = QuicConfiguration(alpn_protocols=["doq"], is_client=True, server_name=NAME, verify_mode=ssl.CERT_NONE)
            opened += 1
            with contextlib.suppress(OSError, TimeoutError):
                async with (
                    asyncio.timeout(max(0.01, until_s - time.monotonic())),
                    connect("127.0.0.1", port, configuration=settings, create_protocol=StreamClient) as client,
                ):
                    assert isinstance(client, StreamClient)
                    while client.closed is None:
                        do(client)
                        await asyncio.sleep(0.1)

    async def main() -> None:
        until_s = time.monotonic() + seconds
        await asyncio.gather(*(one(until_s) for _ in range(connections)))

    asyncio.run(main())
    return opened


def stalled_streams(ports: Mapping[str, int], seconds: float) -> int:
    """One byte on every stream that there may be (CVE-2025-47950)."""

    def stall(client: StreamClient) -> None:
        for _ in range(20):
            client.put(b"\0", end=False)

    return _over_quic(ports["quic"], seconds, 10, stall)


def many_connections(ports: Mapping[str, int], seconds: float) -> int:
    return _over_quic(ports["quic"], 2 * seconds + 1.5, 60, lambda _: None)


def no_message(ports: Mapping[str, int], seconds: float) -> int:
    """A message ID that is not 0: the connection is closed, and opened again."""
    return _over_quic(ports["quic"], seconds, 10, lambda client: client.put(b"\0\x0c\1\1" + bytes(10)))


ATTACKS: Final[dict[str, tuple[Play, set[str]]]] = {
    "garbage datagrams": (random_datagrams, {"not_quic"}),
    "version negotiation flood": (other_versions, {"other_version"}),
    "forged first packets": (forged_initials, {"not_quic", "newcomers"}),
    "datagrams of no connection": (to_no_connection, {"unknown_connection"}),
    "stalled streams (CVE-2025-47950)": (stalled_streams, set()),
    "many connections": (many_connections, {"too_many_connections", "made_room"}),
    "what is no query": (no_message, {"the message ID is not 0"}),
}
