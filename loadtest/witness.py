"""Asks what it knows the answers to, all the time, and remembers each wrong one."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Literal, Self

from loadtest.client import ask_tcp
from loadtest.loopback import Address
from loadtest.packets import query
from loadtest.unruly import address_of
from pdns.wire import protocol as p

Expected = Literal["blocked", "clean", "either"]

SINKHOLE = {p.A: b"\xc0\0\2\1", p.AAAA: b"\x20\1\x0d\xb8" + b"\0" * 11 + b"\1"}  # 192.0.2.1, 2001:db8::1: the defaults
_MAX_REMEMBERED = 50


def verdict(name: bytes, qtype: int, answer: bytes) -> str:
    """What an answer to a query for A or AAAA says: `blocked`, `clean` (the right address), `servfail`, or what else it is."""
    end = p.HEADER_BYTES + len(name) + 4
    if len(answer) < end or answer[p.HEADER_BYTES : end] != name + qtype.to_bytes(2) + b"\0\1":
        return "another question"
    rcode, records = answer[3] & p.RCODE_MASK, int.from_bytes(answer[6:8])
    if rcode == p.SERVFAIL:
        return "servfail"
    if rcode or records != 1:
        return f"rcode {rcode} with {records} records"
    address = answer[end + 12 : end + 12 + len(SINKHOLE[qtype])]
    if address == SINKHOLE[qtype]:
        return "blocked"
    return "clean" if address == address_of(name, qtype) else f"the address {address.hex()}"


def is_wrong(expected: Expected, said: str) -> bool:
    """A listed name gets the sinkhole and nothing else, whatever is broken; any other may also fail."""
    if expected == "blocked":
        return said != "blocked"
    return said not in ({"clean", "servfail"} if expected == "clean" else {"clean", "servfail", "blocked"})


class Witness(asyncio.DatagramProtocol):
    """One UDP socket, and a TCP connection for each question over TCP. Use as an async context manager."""

    def __init__(self, to: Address, give_up_s: float, seed: int) -> None:
        self.sent = self.received = self.late = self.tcp_sent = self.tcp_received = 0
        self.blocked = 0
        self.wrong: list[str] = []
        self.wrong_count = 0
        self.lost: list[tuple[float, str]] = []  # when it was sent (time.monotonic()), and over what
        self.servfail: list[float] = []  # when it was sent
        self.waits: list[tuple[float, float]] = []  # when it was sent, and seconds to the answer
        self._to = to
        self._give_up_s = give_up_s
        self._random = random.Random(f"witness {seed}")
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, remote_addr=self._to)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._transport is not None:
            self._transport.close()

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002  # the socket is connected
        waiting = self._waiting.pop(int.from_bytes(data[:2]), None)
        if waiting is None or waiting.done():
            self.late += 1
        else:
            waiting.set_result(data)

    def error_received(self, exc: Exception) -> None:
        """A port without a listener: the question gets no answer."""

    async def ask(self, name: bytes, qtype: int, expected: Expected, *, tcp: bool = False) -> str:
        """Asks once and judges. Returns what the answer said; "" for none."""
        at_s = time.monotonic()
        answer = await (self._ask_tcp(name, qtype) if tcp else self._ask_udp(name, qtype))
        if answer is None:
            self.lost.append((at_s, "tcp" if tcp else "udp"))
            return ""
        self.waits.append((at_s, time.monotonic() - at_s))
        said = verdict(name, qtype, answer)
        if said == "servfail":
            self.servfail.append(at_s)
        self.blocked += said == "blocked"
        if is_wrong(expected, said):
            self.wrong_count += 1
            if len(self.wrong) < _MAX_REMEMBERED:
                self.wrong.append(f"{time.strftime('%H:%M:%S')} {name!r} type {qtype}: expected {expected}, got {said}")
        return said

    async def _ask_udp(self, name: bytes, qtype: int) -> bytes | None:
        assert self._transport is not None
        query_id = self._random.randrange(65536)
        while query_id in self._waiting:
            query_id = self._random.randrange(65536)
        waiting = self._waiting[query_id] = asyncio.get_running_loop().create_future()
        self.sent += 1
        self._transport.sendto(query(name, qtype, query_id=query_id))
        try:
            answer = await asyncio.wait_for(waiting, self._give_up_s)
        except TimeoutError:
            return None
        finally:
            self._waiting.pop(query_id, None)
        self.received += 1
        return bytes(answer)

    async def _ask_tcp(self, name: bytes, qtype: int) -> bytes | None:
        self.tcp_sent += 1
        answer = await ask_tcp(self._to, query(name, qtype, query_id=self._random.randrange(65536)), self._give_up_s)
        self.tcp_received += answer is not None
        return answer
