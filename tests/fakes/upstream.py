"""A scriptable upstream on loopback: real UDP and TCP (or TLS) sockets on one port that the kernel chose.

    async with FakeUpstream(by_name({"slow.test": delayed(answer(), 0.3)}, answer())) as upstream:
        ... udp://127.0.0.1:{upstream.port} ...

A handler takes one query and says what happens: any number of `Send` and `Hangup`, or nothing for silence.
The behaviours below are handlers, or take one and spoil it; they nest.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import NamedTuple, Self

from pdns.wire.framing import frame
from tests.fakes.upstreamsockets import Peer, listen, reserve

A, NS, CNAME, SOA, AAAA, OPT = 1, 2, 5, 6, 28, 41
BADVERS_OPT = b"\0\0\x29\x04\xd0\1\0\0\0\0\0"  # extended rcode 1 << 4
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)


class SeenQuery(NamedTuple):
    """One query as it arrived."""

    wire: bytes
    transport: str  # udp | tcp | tls
    source: tuple[str, int]
    at_s: float  # time.monotonic()

    @property
    def id(self) -> int:
        return int.from_bytes(self.wire[:2])

    @property
    def qname(self) -> bytes:
        """In wire form, its case as sent."""
        return self.question[:-4]

    @property
    def name(self) -> str:
        """In lower-case text without the last dot; the root is `.`."""
        labels, at = [], 0
        while length := self.qname[at]:
            labels.append(self.qname[at + 1 : at + 1 + length].decode("latin-1").lower())
            at += 1 + length
        return ".".join(labels) or "."

    @property
    def question(self) -> bytes:
        at = 12
        while length := self.wire[at]:
            at += 1 + length
        return self.wire[12 : at + 5]

    @property
    def qtype(self) -> int:
        return int.from_bytes(self.question[-4:-2])

    @property
    def opt(self) -> bytes:
        """The OPT record, b"" when the query has none."""
        return self.wire[12 + len(self.question) :]

    @property
    def edns(self) -> bool:
        return self.opt[:3] == b"\0\0\x29"

    @property
    def do(self) -> bool:
        return self.edns and bool(self.opt[7] & 0x80)

    @property
    def cd(self) -> bool:
        return bool(self.wire[3] & 0x10)


class Send(NamedTuple):
    """Send `wire` as one message (framed on TCP) after `delay_s`."""

    wire: bytes
    delay_s: float = 0.0
    other_port: bool = False  # from a port that was not asked (UDP; on TCP nothing is sent)
    to: tuple[str, int] | None = None  # to somebody else than who asked (likewise)


class Hangup(NamedTuple):
    """Send `raw` as it is, then close the connection, unless it is to `stay` (TCP); on UDP nothing happens."""

    raw: bytes = b""
    delay_s: float = 0.0
    stay: bool = False


Action = Send | Hangup
Handler = Callable[[SeenQuery], Iterable[Action]]


# Messages


def rr(rtype: int, rdata: bytes, ttl_s: int = 300, owner: bytes = b"\xc0\x0c") -> bytes:
    """A resource record of class IN; the owner is a pointer to the question unless given."""
    return owner + struct.pack("!HHIH", rtype, 1, ttl_s, len(rdata)) + rdata


def reply(
    query: SeenQuery,
    answer: Iterable[bytes] = (),
    authority: Iterable[bytes] = (),
    *,
    rcode: int = NOERROR,
    flags: int = 0x8180,
    question: bytes | None = None,
    edns: bool | None = None,
    options: bytes = b"",
) -> bytes:
    """A response to `query` with its id and question; OPT as the query has it, unless `edns` says otherwise."""
    answer, authority = list(answer), list(authority)
    question = query.question if question is None else question
    opt = b""
    if query.edns if edns is None else edns:
        opt = b"\0" + struct.pack("!HHIH", OPT, 1232, 0x8000 if query.do else 0, len(options)) + options
    counts = struct.pack("!HHHH", 1 if question else 0, len(answer), len(authority), 1 if opt else 0)
    return query.wire[:2] + (flags | rcode).to_bytes(2) + counts + question + b"".join(answer) + b"".join(authority) + opt


def soa_record(minimum_s: int = 60) -> bytes:
    return rr(SOA, b"\x02ns\0\x04host\0" + struct.pack("!IIIII", 1, 3600, 600, 86400, minimum_s), minimum_s)


def a_records(*addresses: str, ttl_s: int = 300) -> list[bytes]:
    """Address records of these IPv4 addresses."""
    return [rr(A, ip_address(address).packed, ttl_s) for address in addresses]


# Behaviours


def answer(*addresses: str, ttl_s: int = 300) -> Handler:
    """The addresses of the family asked for (192.0.2.7 and 2001:db8::7 unless given), NODATA for any other type."""
    parsed = [ip_address(text) for text in addresses or ("192.0.2.7", "2001:db8::7")]

    def handle(query: SeenQuery) -> list[Action]:
        version = {A: 4, AAAA: 6}.get(query.qtype)
        records = [rr(query.qtype, one.packed, ttl_s) for one in parsed if one.version == version]
        return [Send(reply(query, records, [] if records else [soa_record()]))]

    return handle


def records(*answers: bytes) -> Handler:
    """These answer records, whatever is asked."""
    return lambda query: [Send(reply(query, answers))]


def negative(rcode: int = NXDOMAIN) -> Handler:
    """`rcode` with an SOA."""
    return lambda query: [Send(reply(query, (), [soa_record()], rcode=rcode))]


def rcode(code: int, *, edns: bool | None = None, options: bytes = b"") -> Handler:
    """`code`, and nothing else."""
    return lambda query: [Send(reply(query, rcode=code, edns=edns, options=options))]


def lame() -> Handler:
    """A referral to the servers of `test`: what an upstream says that does not recurse."""
    return lambda query: [Send(reply(query, (), [rr(NS, b"\x02ns\0", owner=b"\x04test\0")], flags=0x8100))]


def drop(_query: SeenQuery) -> list[Action]:
    """Silence."""
    return []


def delayed(inner: Handler, delay_s: float) -> Handler:
    """What `inner` does, that much later."""
    return lambda query: [action._replace(delay_s=action.delay_s + delay_s) for action in inner(query)]


def changed(inner: Handler, change: Callable[[bytes], bytes]) -> Handler:
    """What `inner` sends, each message put through `change`."""
    return lambda query: [
        action._replace(wire=change(action.wire)) if isinstance(action, Send) else action for action in inner(query)
    ]


def wrong_id(inner: Handler) -> Handler:
    return changed(inner, lambda wire: bytes((wire[0] ^ 0x55, wire[1] ^ 0xAA)) + wire[2:])


def wrong_question(inner: Handler, question: bytes = b"\x05other\x04test\0\0\x01\0\x01") -> Handler:
    """What `inner` says of another name, under the id of this query."""
    return lambda query: inner(query._replace(wire=query.wire[:12] + question + query.opt))


def other_port(inner: Handler) -> Handler:
    """What `inner` sends, from a port that was not asked."""
    return lambda query: [action._replace(other_port=True) if isinstance(action, Send) else action for action in inner(query)]


def lower_casing(inner: Handler) -> Handler:
    """An upstream that does not keep the case of the question."""
    return lambda query: inner(query._replace(wire=query.wire[:12] + query.question.lower() + query.opt))


def then(*handlers: Handler) -> Handler:
    """All that each of them does, in this order."""
    return lambda query: [action for handler in handlers for action in handler(query)]


def in_turn(*handlers: Handler) -> Handler:
    """The first query meets the first, the next the next; the last one stays."""
    turn = itertools.chain(handlers[:-1], itertools.repeat(handlers[-1]))
    return lambda query: next(turn)(query)  # noqa: PLW0108  # the next one for each query, not one for all


def without_edns(inner: Handler, refusal: Handler | None = None) -> Handler:
    """An upstream that knows no EDNS: FORMERR without OPT (or `refusal`) for a query that has it, else `inner`."""
    refuse = refusal or rcode(FORMERR, edns=False)
    return lambda query: refuse(query) if query.edns else inner(query)


def over_tcp_only(inner: Handler) -> Handler:
    """TC=1 and no records on UDP, `inner` on TCP."""
    return lambda query: inner(query) if query.transport != "udp" else [Send(reply(query, flags=0x8380))]


def by_transport(udp: Handler, tcp: Handler) -> Handler:
    return lambda query: udp(query) if query.transport == "udp" else tcp(query)


def by_name(handlers: Mapping[str, Handler], otherwise: Handler) -> Handler:
    """The handler of the lower-case name asked for, or of the longest name above it."""

    def handle(query: SeenQuery) -> Iterable[Action]:
        labels = query.name.split(".")
        for at in range(len(labels)):
            if (handler := handlers.get(".".join(labels[at:]))) is not None:
                return handler(query)
        return otherwise(query)

    return handle


def garbage(query: SeenQuery) -> list[Action]:
    """Messages under the right id that are not DNS: cut short, noise, lying counts, two questions, a pointer loop."""
    good = reply(query, [rr(A, b"\xc0\0\x02\x01")])
    body = 12 + len(query.question)
    return [
        Send(good[:7]),
        Send(good[:body]),  # ANCOUNT says 1
        Send(good[:-3]),
        Send(good + b"\0"),
        Send(good[:2] + b"\x81\x80" + b"\xff" * 40),
        Send(good[:5] + b"\x02" + good[6:body] + query.question + good[body:]),
        *pointer_loop(query),
    ]


def pointer_loop(query: SeenQuery) -> list[Action]:
    """A record whose owner is a pointer to itself."""
    at = 12 + len(query.question)
    return [Send(reply(query, [rr(A, b"\xc0\0\x02\x01", owner=(0xC000 | at).to_bytes(2))]))]


def hang_up_mid_message(query: SeenQuery) -> list[Action]:
    """Half an answer, then the end of the connection."""
    whole = frame(reply(query, [rr(A, b"\xc0\0\x02\x01")]))
    return [Hangup(whole[: len(whole) // 2])]


def hang_up(_query: SeenQuery) -> list[Action]:
    return [Hangup()]


class FakeUpstream:
    """The server. `handler` may be replaced at any time; `queries` are all that came, oldest first."""

    def __init__(self, handler: Handler | None = None, *, tcp: bool = True, tls: ssl.SSLContext | None = None) -> None:
        self.handler: Handler = handler or answer()
        self.queries: list[SeenQuery] = []
        self.connections = 0  # accepted so far
        self.port = 0
        self._with_tcp = tcp
        self._tls = tls
        self._udp: asyncio.DatagramTransport | None = None
        self._other_port: socket.socket | None = None
        self._reserved: list[socket.socket] = []
        self._tcp: asyncio.Server | None = None
        self._open: set[asyncio.Transport] = set()
        self._delayed: set[asyncio.TimerHandle] = set()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._close()
        self._give_up_port()

    async def start(self) -> None:
        """Listen, on the port of the last time if there was one."""
        loop = asyncio.get_running_loop()
        self._give_up_port()
        self._udp, self._tcp, self.port = await listen(self, loop, self.port, tcp=self._with_tcp, tls=self._tls)
        self._other_port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._other_port.bind(("127.0.0.1", 0))

    async def stop(self) -> None:
        """Refuse: nothing listens on the port any more, and the kernel says so by ICMP and RST."""
        await self._close()
        self._reserved += reserve(self.port)

    async def _close(self) -> None:
        for handle in self._delayed:
            handle.cancel()
        self._delayed.clear()
        if self._udp is not None:
            self._udp.abort()
        if self._tcp is not None:
            self._tcp.close()
            self.hang_up_all()
            await self._tcp.wait_closed()
        if self._other_port is not None:
            self._other_port.close()
        self._udp = self._tcp = self._other_port = None
        await asyncio.sleep(0)  # uvloop closes descriptors in the next turn of the loop
        await asyncio.sleep(0)

    def _give_up_port(self) -> None:
        for sock in self._reserved:
            sock.close()
        self._reserved.clear()

    def hang_up_all(self) -> None:
        """Close every connection that is open."""
        for transport in list(self._open):
            transport.abort()

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def names(self) -> list[str]:
        """The names asked for, without the probes for the root that forwarders send on their own."""
        return [query.name for query in self.asked()]

    def asked(self) -> list[SeenQuery]:
        """The queries that clients caused: all but those for the root."""
        return [query for query in self.queries if query.name != "."]

    def clear(self) -> None:
        self.queries.clear()

    async def send(self, wire: bytes, to: tuple[str, int]) -> None:
        """Send a datagram from the port that queries come to."""
        assert self._udp is not None
        self._udp.sendto(wire, to)
        await asyncio.sleep(0)

    async def answer_late(self, handler: Handler, query: SeenQuery, to: tuple[str, int] | None = None) -> None:
        """Send now what `handler` answers to an earlier `query`, to its source or to `to`."""
        for action in handler(query):
            if isinstance(action, Send):
                await self.send(action.wire, to or query.source)

    def _arrived(self, wire: bytes, transport: str, source: tuple[str, int], peer: Peer) -> None:
        query = SeenQuery(bytes(wire), transport, source, time.monotonic())
        self.queries.append(query)
        for action in self.handler(query):
            if action.delay_s > 0:
                self._later(action, peer)
            else:
                _act(action, peer)

    def _later(self, action: Action, peer: Peer) -> None:
        def fire() -> None:
            self._delayed.discard(handle)
            _act(action, peer)

        handle = asyncio.get_running_loop().call_later(action.delay_s, fire)
        self._delayed.add(handle)


def _act(action: Action, peer: Peer) -> None:
    if isinstance(action, Send):
        peer.send(action.wire, other_port=action.other_port, to=action.to)
    else:
        peer.hang_up(action.raw, stay=action.stay)
