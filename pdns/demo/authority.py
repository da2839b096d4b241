"""The demo's upstream: a small authoritative server on one UDP and TCP port that can go away and come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from dnslib import EDNS0, QTYPE, RCODE, RR, DNSError, DNSRecord

from pdns.demo import world
from pdns.demo.ports import bind_udp_and_tcp
from pdns.wire.framing import Deframer, frame

_MAX_UDP_BYTES = 512  # without EDNS (RFC 1035, 4.2.1)
_MAX_EDNS_BYTES = 1232
_SOA = "ns.example. hostmaster.example. 1 3600 600 86400 60"


def answer(wire: bytes, ttl_s: Callable[[str], int], *, udp: bool) -> bytes | None:
    """The answer to `wire`, over UDP cut down to its question when it is too long; None when `wire` is no query."""
    try:
        query = DNSRecord.parse(wire)
    except DNSError:
        return None
    if query.header.qr or len(query.questions) != 1:
        return None
    edns: list[Any] = [record for record in query.ar if record.rtype == QTYPE.OPT]  # dnslib has no types
    reply = query.reply(ra=0, aa=1)
    _fill(reply, ttl_s)
    if edns:
        reply.add_ar(EDNS0(udp_len=_MAX_EDNS_BYTES))
    packed = bytes(reply.pack())
    if udp and len(packed) > (max(edns[0].edns_len, _MAX_UDP_BYTES) if edns else _MAX_UDP_BYTES):
        reply.header.tc = 1
        reply.rr = []
        packed = bytes(reply.pack())
    return packed


def _fill(reply: Any, ttl_s: Callable[[str], int]) -> None:
    name = str(reply.q.qname).rstrip(".").lower()
    found = world.records(name, reply.q.qtype)
    if found is None:
        reply.header.rcode = RCODE.NXDOMAIN
    for owner, rtype, text in found or ():
        reply.add_answer(*RR.fromZone(f"{owner}. {ttl_s(owner)} IN {QTYPE[rtype]} {text}"))
        if owner == name:
            reply.rr[-1].rname = reply.q.qname  # in the letters of the question
    if not found:
        apex = "in-addr.arpa." if name.endswith("arpa") else "example."
        reply.add_auth(*RR.fromZone(f"{apex} 60 IN SOA {_SOA}"))


class Authority:
    """Answers from the demo's world. `ttl_s` gives the TTL of a record by its owner name."""

    def __init__(self, ttl_s: Callable[[str], int]) -> None:
        self.ttl_s = ttl_s
        self.port = 0
        self.answered = 0
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._connections: set[asyncio.Transport] = set()

    async def start(self) -> None:
        """Listens on 127.0.0.1: on a free port at first, on the same one again after `stop`."""
        loop = asyncio.get_running_loop()
        udp, tcp = bind_udp_and_tcp(self.port)
        self.port = udp.getsockname()[1]
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _AuthorityDatagrams(self), sock=udp)
        self._tcp = await loop.create_server(lambda: _Stream(self, self._connections), sock=tcp)

    def stop(self) -> None:
        """Closes the port and every connection: from now on the kernel refuses what is sent there."""
        if self._udp is not None and self._tcp is not None:
            self._udp.close()
            self._tcp.close()
            for connection in tuple(self._connections):
                connection.abort()
            self._udp = self._tcp = None


class _AuthorityDatagrams(asyncio.DatagramProtocol):
    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # asyncio's own idiom
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answered = answer(data, self._authority.ttl_s, udp=True)
        if answered is not None and self._transport is not None:
            self._authority.answered += 1
            self._transport.sendto(answered, addr)


class _Stream(asyncio.Protocol):
    def __init__(self, authority: Authority, connections: set[asyncio.Transport]) -> None:
        self._authority = authority
        self._connections = connections
        self._deframer = Deframer()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # asyncio's own idiom
        self._transport = transport
        self._connections.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._transport is not None:
            self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        for wire in self._deframer.feed(data):
            answered = answer(wire, self._authority.ttl_s, udp=False)
            if answered is not None and self._transport is not None:
                self._authority.answered += 1
                self._transport.write(frame(answered))
