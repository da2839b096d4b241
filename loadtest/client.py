"""Asks DNS servers on this machine, many questions at a time, over UDP and TCP."""

from __future__ import annotations

import asyncio
import random
from typing import Self

from loadtest.loopback import Address
from pdns.wire import protocol as p
from pdns.wire.framing import frame

TIMEOUT_S = 3.0
_TRIES = 2


class Client(asyncio.DatagramProtocol):
    """One UDP socket to one server. At most 65,536 questions may wait at a time. Use as an async context manager."""

    def __init__(self, to: Address) -> None:
        self.to = to
        self.unmatched: list[bytes] = []  # datagrams that answer no question that waits
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._random = random.Random(int(to.port))

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=(self.to.host, self.to.port))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002  # the socket is connected
        waiting = self._waiting.pop(int.from_bytes(data[:2]), None) if len(data) >= p.HEADER_BYTES else None
        if waiting is None or waiting.done():
            self.unmatched.append(data)
        else:
            waiting.set_result(data)

    def error_received(self, exc: Exception) -> None:
        """A port without a listener: the question times out."""

    def send(self, datagram: bytes) -> None:
        """Sends bytes as they are; an answer to them lands in `unmatched`."""
        if self._transport is not None:
            self._transport.sendto(datagram)

    async def ask(self, wire: bytes, timeout_s: float = TIMEOUT_S) -> bytes | None:
        """The answer to `wire`, which gets a new id; asked twice over UDP, and over TCP when truncated. None: silence."""
        for _ in range(_TRIES):
            answer = await self._ask_once(wire, timeout_s)
            if answer is None:
                continue
            if answer[2] & (p.TC >> 8):
                return await ask_tcp(self.to, answer[:2] + wire[2:], timeout_s)
            return answer
        return None

    async def _ask_once(self, wire: bytes, timeout_s: float) -> bytes | None:
        query_id = self._random.randrange(65536)
        while query_id in self._waiting:
            query_id = self._random.randrange(65536)
        waiting = self._waiting[query_id] = asyncio.get_running_loop().create_future()
        self.send(query_id.to_bytes(2) + wire[2:])
        try:
            return await asyncio.wait_for(waiting, timeout_s)
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(query_id, None)


async def ask_tcp(to: Address, wire: bytes, timeout_s: float = TIMEOUT_S) -> bytes | None:
    """What the server says to one framed message on a connection of its own. None: nothing, or it closed."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(to.host, to.port)
            try:
                writer.write(frame(wire))
                length = int.from_bytes(await reader.readexactly(2))
                return await reader.readexactly(length)
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return None
