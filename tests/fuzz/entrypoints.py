"""Every way into the compiled part that strangers' bytes can take, each with what must hold whatever they send.

`hammer.py` and `guided.py` drive them. An `AssertionError` is a finding, and so is whatever else is raised.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import cycle
from typing import Protocol

import msgspec

from pdns.config.addresses import Endpoint
from pdns.config.groups import server_groups
from pdns.config.schema import Cache, Config
from pdns.core import query as core_query
from pdns.core.ruleset import RuleSet
from pdns.errors import WireError
from pdns.fast import query as fast_query
from pdns.fast.plain import plain_entry
from pdns.fast.udp import UdpListener
from pdns.net.sockets import bind_udp
from pdns.reference import query as reference_query
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import Stats
from pdns.upstream.exchange import Done, UpstreamAnswer, UpstreamFailure, UpstreamQuestion
from pdns.upstream.forwarder import Forwarder
from pdns.wire.message import parse_message
from pdns.wire.transport import Transport
from pdns.worker.kernels import COMPILED
from pdns.worker.service import Service
from tests.blocksets import make_blockset
from tests.fuzz.arena import ARENA_BYTES, BURST, RAW, Arena
from tests.fuzz.corpus import RESPONSES
from tests.fuzz.mutate import Mutator
from tests.fuzz.responses import response_to
from tests.property.test_plain import believed, fields, key_of
from tests.property.test_twins import FIELDS
from tests.proxied import header, raw, tlv

_BLOCKSETS = [
    make_blockset({"alpha": "malware.test =exact.example 192.0.2.0/28", "watch": "watched.example"}, generation=1),
    make_blockset({"alpha": "malware.test", "watch": "watched.example cdn-7.example"}, generation=2),
]
_HEADERS = (
    header(), header("198.51.100.9"), header("2001:db8::9", tlvs=tlv(4, bytes(30)), checksum=True), header("0.0.0.0"),
    raw(0x21, 0x12, size=600), header("198.51.100.9", tlvs=b"\1\xff\xff"), b"",
)  # fmt: skip
_PATIENCE_S = 6.0
_EVICTING = 20_000  # packets after which answers move to memory of another size


class EntryPoint(Protocol):
    """Takes packets, one after the other or a burst at once."""

    name: str
    at_once: int

    def feed(self, packets: Sequence[bytes]) -> None: ...
    def close(self) -> None: ...


def check_reply(reply: bytes, query: bytes, most_bytes: int) -> None:
    """What is true of every reply."""
    assert len(query) >= 12, "a reply to less than a header"
    assert not query[2] & 0x80, "a reply to a response"
    assert reply[:2] == query[:2], "a reply with another id"
    assert reply[2] & 0x80, "a reply without QR"
    assert 12 <= len(reply) <= most_bytes, f"a reply of {len(reply)} bytes"


class Bugs(logging.Handler):
    """Collects every exception that the program logs. The program continues after one; the fuzzer stops."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []
        logging.getLogger("pdns").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def check(self) -> None:
        if self.records:
            record = self.records[0]
            raise AssertionError(record.getMessage()) from (record.exc_info[1] if record.exc_info else None)


class Parser:
    """`parse_query` and `error_reply`; every so many packets the Python twin must say the same."""

    name, at_once = "parse_query", 1

    def __init__(self, compare_every: int) -> None:
        self._every, self._left = compare_every, 1

    def feed(self, packets: Sequence[bytes]) -> None:
        for packet in packets:
            try:
                parsed = fast_query.parse_query(packet)
                assert parsed.question == packet[12 : 12 + len(parsed.question)]
                error = None
            except WireError as caught:
                parsed, error = None, caught
                reply = fast_query.error_reply(packet)
                if reply is not None:
                    check_reply(reply, packet, 300)
            self._left -= 1
            if self._left == 0:
                self._left = self._every
                self._compare(packet, parsed, error)

    def _compare(self, packet: bytes, parsed: core_query.Query | None, error: WireError | None) -> None:
        wanted = None
        try:
            expected = reference_query.parse_query(packet)
        except WireError as caught:
            wanted = caught
        if error is not None or parsed is None or wanted is not None:
            assert error is not None, f"the Python twin refuses it: {wanted}"
            assert wanted is not None, f"the Python twin takes it, this one does not: {error}"
            assert (error.reason, error.rcode, error.question) == (wanted.reason, wanted.rcode, wanted.question)
            assert fast_query.error_reply(packet) == core_query.error_reply(packet, wanted)
            return
        for field in FIELDS:
            assert getattr(parsed, field) == getattr(expected, field), field

    def close(self) -> None: ...


class _Answering(Forwarder):
    """An upstream in memory, that answers when told to."""

    def __init__(self, config: Config, loop: asyncio.AbstractEventLoop, stats: Stats, mutator: Mutator) -> None:
        super().__init__(server_groups(config), loop, stats, COMPILED.upstream)
        self._mutator = mutator
        self.asked: list[tuple[UpstreamQuestion, Done]] = []

    def resolve(self, question: UpstreamQuestion, done: Done, group: str = "") -> None:
        self.asked.append((question, done))

    def answer_all(self) -> None:
        asked, self.asked = self.asked, []
        for question, done in asked:
            section = question.qname + question.qtype.to_bytes(2) + question.qclass.to_bytes(2)
            try:
                message = parse_message(response_to(section, 0, self._mutator))
            except WireError:
                done(UpstreamFailure(22, "no upstream answered"))
                continue
            same = message.question.lower() == section
            done(UpstreamAnswer(message, "udp://127.0.0.1:9") if same else UpstreamFailure(22, "no upstream answered", message))


class Answers:
    """`FastPath.answer`, and the whole service behind it: with answers in little memory, decided again, evicted, moved."""

    at_once = 1

    def __init__(self, transport: str, loop: asyncio.AbstractEventLoop, seed: int) -> None:
        self.name = f"FastPath.answer over {transport}"
        self._transport = Transport(transport)
        self._most_bytes = 1232 if transport == "udp" else 65535
        config = msgspec.convert(RAW, Config)
        self._counters = Counters.create(8192)
        stats = Stats(self._counters)
        self._now = 1000.0
        self._upstream = _Answering(config, loop, stats, Mutator(RESPONSES, seed))
        self._service = Service(RuleSet.of(config), self._upstream, stats, lambda: self._now, COMPILED)
        self._service.adopt(self._service.rules.with_blockset(_BLOCKSETS[0]))
        self._bugs = Bugs()
        self._fed = 0
        self._clients = cycle(("127.0.0.1", "198.51.100.9", "127.0.0.2", "127.0.0.1", "8.8.8.8", "::1"))

    def feed(self, packets: Sequence[bytes]) -> None:
        for packet in packets:
            replies: list[bytes] = []
            self._service.on_message(packet, next(self._clients), 4000 + self._fed % 64, self._transport, replies.append)
            assert len(replies) <= 1, "two replies"
            for reply in replies:
                check_reply(reply, packet, self._most_bytes)
            self._fed += 1
            if self._fed % 16 == 0:
                self._housekeeping()
            if self._bugs.records:
                self._bugs.check()

    def _housekeeping(self) -> None:
        self._upstream.answer_all()
        self._now += 0.05
        if self._fed % 2048 == 0:
            self._service.adopt(self._service.rules.with_blockset(_BLOCKSETS[self._fed // 2048 % 2]))
            self._service.tick(self._now)
            self._now += 15
        if self._fed % _EVICTING == 0:
            fd = os.memfd_create("answers")
            os.ftruncate(fd, ARENA_BYTES[self._fed // _EVICTING % len(ARENA_BYTES)])
            self._service.take_arena(fd)

    def close(self) -> None:
        self._upstream.close()
        self._counters.close()


class Listener:
    """A `UdpListener` with all that hangs on it, over loopback: bursts in, and real datagrams to an upstream and back. One of its
    clients is a load balancer.
    """

    name, at_once = "UdpListener", BURST

    def __init__(self, loop: asyncio.AbstractEventLoop, seed: int, host: str = "127.0.0.1") -> None:
        self._loop = loop
        self._mutator = Mutator(RESPONSES, seed)
        self._upstream = bind_udp(Endpoint("127.0.0.1", 0))
        server = f"udp://127.0.0.1:{self._upstream.getsockname()[1]}"
        config = msgspec.convert({**RAW, "upstream": {**RAW["upstream"], "servers": [server]}}, Config)
        self._counters = Counters.create(8192)
        self._stats = Stats(self._counters)
        self._forwarder = Forwarder(server_groups(config), loop, self._stats, COMPILED.upstream)
        self._service = Service(RuleSet.of(config), self._forwarder, self._stats, time.monotonic, COMPILED)
        self._service.adopt(self._service.rules.with_blockset(_BLOCKSETS[0]))
        sock = bind_udp(Endpoint(host, 0))
        address = ("127.0.0.1", sock.getsockname()[1])
        self._listener = UdpListener(sock, self._service, loop, self._stats, self._service.fast_path)
        self._listener.trust(("127.0.0.4/32",))
        self._clients = []
        for at in range(4):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            client.setblocking(False)
            client.bind((f"127.0.0.{1 + at}", 0))
            client.connect(address)
            self._clients.append(client)
        self._asked: list[set[bytes]] = [set() for _ in self._clients]  # ids of what may still get an answer
        self._asked_before: list[set[bytes]] = [set() for _ in self._clients]
        self._patient_until_s = 0.0
        self._bugs = Bugs()
        self._fed = 0
        self.answered = self.to_upstream = 0

    def feed(self, packets: Sequence[bytes]) -> None:
        now = time.monotonic()
        if now > self._patient_until_s:  # what is older than this and another has had its answer
            self._asked_before, self._asked = self._asked, [set() for _ in self._clients]
            self._patient_until_s = now + _PATIENCE_S
        for at, packet in enumerate(packets):
            which = at % len(self._clients)
            if len(packet) >= 12 and not packet[2] & 0x80:
                self._asked[which].add(packet[:2])
            head = _HEADERS[(self._fed + at) // 4 % len(_HEADERS)] if which == 3 else b""
            with suppress(OSError):  # the socket is full, or the packet is too long for any datagram
                self._clients[which].send(head + packet)
        self._listener.read_now()
        self._serve_upstream()
        self._turn()
        self._turn()
        self._read_replies()
        self._bugs.check()
        self._fed += len(packets)
        if self._fed // BURST % 256 == 0:
            self._service.adopt(self._service.rules.with_blockset(_BLOCKSETS[self._fed // BURST // 256 % 2]))
            self._service.tick(now)

    def _serve_upstream(self) -> None:
        with suppress(BlockingIOError):
            while True:
                wire, address = self._upstream.recvfrom(4096)
                self.to_upstream += 1
                end = wire.index(b"\0", 12) + 5
                query_id = int.from_bytes(wire[:2]) ^ (self._mutator.below(64) == 0)
                self._upstream.sendto(response_to(wire[12:end], query_id, self._mutator), address)

    def _read_replies(self) -> None:
        for client, asked, before in zip(self._clients, self._asked, self._asked_before, strict=True):
            with suppress(BlockingIOError):
                while True:
                    reply = client.recv(65535)
                    self.answered += 1
                    assert reply[:2] in asked or reply[:2] in before, "a reply to a response, or to nothing"
                    assert reply[2] & 0x80, "a reply without QR"
                    assert 12 <= len(reply) <= 1232, f"a reply of {len(reply)} bytes"

    def _turn(self) -> None:
        self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()

    def close(self) -> None:
        self._listener.close()
        self._forwarder.close()
        self._turn()
        for client in self._clients:
            client.close()
        self._upstream.close()
        self._counters.close()


class Responses:
    """The reader of plain responses: what it takes, Python would have believed, and kept as the same entry."""

    name, at_once = "plain_entry", 1

    def __init__(self, seed: int, compare_every: int) -> None:
        self._every, self._left = compare_every, 1
        self._mutator = Mutator(RESPONSES, seed)
        self._config = Cache()
        self.taken = 0

    def feed(self, packets: Sequence[bytes]) -> None:
        for packet in packets:
            self._one(packet)
            key = key_of(packet)
            if key is not None:
                self._one(response_to(packet[12 : 12 + len(key)], 0, self._mutator))

    def _one(self, wire: bytes) -> None:
        key = key_of(wire)
        if key is None:
            return
        do = bool(wire[1] & 1)
        plain = plain_entry(wire, key, self._config, do, 1000.0, 7)
        if plain is None:
            return
        self.taken += 1
        self._left -= 1
        if self._left == 0:
            self._left = self._every
            entry, targets = believed(wire, key, self._config, do=do)
            assert fields(plain[0]) == fields(entry), "the Python twin keeps another entry"
            assert [name for name in plain[1] if name != b"\0"] == targets, "the Python twin judges other names"

    def close(self) -> None: ...


def entry_points(loop: asyncio.AbstractEventLoop, seed: int, compare_every: int) -> list[EntryPoint]:
    """All that there are in this build."""
    return [
        Parser(compare_every),
        Answers("udp", loop, seed),
        Answers("tcp", loop, seed + 1),
        Listener(loop, seed + 2),
        Listener(loop, seed + 3, "0.0.0.0"),
        Arena(seed + 4),
        Responses(seed + 5, compare_every),
    ]
