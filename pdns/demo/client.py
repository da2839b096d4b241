"""Stub resolvers of the demo: one socket for each source address, every reply matched and read in full."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import socket
from typing import NamedTuple

from pdns.wire import protocol as p
from pdns.wire.framing import frame
from pdns.wire.message import Message, build_query, parse_message
from pdns.wire.names import from_text

_BLOCK_CODES = (p.EDE_BLOCKED, 16, 17, 18)  # RFC 8914: blocked, censored, filtered, prohibited
_STALE_CODES = (p.EDE_STALE, p.EDE_STALE_NXDOMAIN)


class Reply(NamedTuple):
    """What a client read, and how long it waited."""

    rcode: int
    errors: tuple[int, ...]  # extended DNS error codes
    addresses: tuple[str, ...]
    records: int  # in the answer section
    wait_s: float

    @property
    def blocked(self) -> bool:
        return any(code in _BLOCK_CODES for code in self.errors)

    @property
    def stale(self) -> bool:
        return any(code in _STALE_CODES for code in self.errors)


class DemoClient:
    """Asks one server from one source address, over UDP, and over TCP when told to by the TC bit (RFC 7766, 5)."""

    def __init__(self, source: str, server: tuple[str, int], seed: int) -> None:
        self.source = source
        self.server = server
        self.sent = 0
        self.answered = 0
        self.tcp_used = 0
        self._random = random.Random(seed)  # noqa: S311  # a demo should be the same each time; ids need no secrecy on loopback
        self._waiting: dict[tuple[int, bytes], asyncio.Future[bytes]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self) -> None:
        """Binds the source address. Raises `OSError`."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((self.source, 0))
        sock.connect(self.server)
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: _Receiver(self._waiting), sock=sock)

    def close(self) -> None:
        """Gives up on whatever is still unanswered."""
        if self._transport is not None:
            self._transport.close()

    async def ask(self, name: str, qtype: int, *, timeout_s: float = 8.0) -> Reply | None:
        """The reply for `name`, in letters of random case one time in four; None when none came in time.

        A reply with another id or question than was sent, to the letter, counts as none. Raises `WireError`
        for one that is not a sound message.
        """
        qname = from_text(name)
        if self._random.random() < 0.25:
            qname = bytes(byte ^ 0x20 if chr(byte).isalpha() and self._random.random() < 0.5 else byte for byte in qname)
        question = qname + qtype.to_bytes(2) + p.CLASS_IN.to_bytes(2)
        message_id = self._random.randrange(65536)
        while (message_id, question) in self._waiting:
            message_id = (message_id + 1) % 65536
        query = build_query(message_id, question, do=False, cd=False)
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.sent += 1
        try:
            async with asyncio.timeout(timeout_s):
                wire = await self._over_udp(query, message_id, question)
                if int.from_bytes(wire[2:4]) & p.TC:
                    self.answered += 1
                    self.sent += 1
                    self.tcp_used += 1
                    wire = await self._over_tcp(query)
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            return None
        message = parse_message(wire)
        if message.id != message_id or message.question != question:
            return None
        self.answered += 1
        return _read(message, loop.time() - began)

    async def _over_udp(self, query: bytes, message_id: int, question: bytes) -> bytes:
        assert self._transport is not None, "ask after open"
        waiting: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[message_id, question] = waiting
        try:
            self._transport.sendto(query)
            return await waiting
        finally:
            del self._waiting[message_id, question]

    async def _over_tcp(self, query: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self.server, local_addr=(self.source, 0))
        try:
            writer.write(frame(query))
            return await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        finally:
            writer.close()


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, waiting: dict[tuple[int, bytes], asyncio.Future[bytes]]) -> None:
        self._waiting = waiting

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002  # connected: it is the server's
        for (message_id, question), waiting in self._waiting.items():
            same = data[:2] == message_id.to_bytes(2) and data[p.HEADER_BYTES : p.HEADER_BYTES + len(question)] == question
            if same and not waiting.done():
                waiting.set_result(data)
                return


def _read(message: Message, wait_s: float) -> Reply:
    errors = tuple(int.from_bytes(data[:2]) for code, data in message.options if code == p.EDNS_OPTION_EDE)
    addresses = tuple(
        str(ipaddress.ip_address(message.wire[record.rdata_at : record.end]))
        for record in message.answer
        if record.rtype in (p.A, p.AAAA)
    )
    return Reply(message.rcode, errors, addresses, len(message.answer), wait_s)
