"""Whatever bytes arrive, from clients or from upstreams: no exception, no nonsense sent on."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pdns.config.groups import server_groups
from pdns.config.schema import Config
from pdns.core.clients import ClientTable
from pdns.core.outcome import Forward
from pdns.core.resolver import Resolver
from pdns.core.ruleset import RuleSet
from pdns.errors import WireError
from pdns.reference.cache import ReferenceCache
from pdns.reference.query import parse_query
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import Stats
from pdns.upstream.forwarder import Forwarder
from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from pdns.wire.transport import Transport
from pdns.worker.kernels import COMPILED
from pdns.worker.service import Service
from tests.blocksets import make_blockset
from tests.fuzz.corpus import QUERIES, RESPONSES, real_packets

_CONFIG = msgspec.convert({"upstream": {"servers": ["udp://127.0.0.1:9"]}, "feed": [{"name": "alpha", "url": "file:a"}]}, Config)
_BLOCKSET = make_blockset({"alpha": "malware.test 192.0.2.0/28"})


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A seed with bytes changed, taken out or put in, perhaps the head of one on the tail of another."""
    packet = bytearray(draw(st.sampled_from(seeds)))
    if draw(st.booleans()):
        other = draw(st.sampled_from(seeds))
        packet[draw(st.integers(0, len(packet))) :] = other[draw(st.integers(0, len(other))) :]
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(packet)))
        how = draw(st.integers(0, 3))
        if how == 0:
            packet[at : at + 1] = bytes([draw(st.sampled_from([0, 1, 2, 12, 63, 64, 128, 192, 255]))])
        elif how == 1:
            del packet[at : at + draw(st.integers(1, 20))]
        elif how == 2:
            packet[at:at] = draw(st.binary(max_size=20))
        else:
            packet[at : at + 2] = (0xC000 | draw(st.integers(0, 300))).to_bytes(2)
    return bytes(packet)


class _Silent(Forwarder):
    """Asks no upstream."""

    def resolve(self, *_args: object) -> None:
        pass


def serve(wire: bytes, transport: str) -> list[bytes]:
    """The replies to `wire` of a service whose upstreams do not answer."""
    counters = Counters.create(512)
    stats = Stats(counters)
    loop = asyncio.new_event_loop()
    try:
        forwarder = _Silent(server_groups(_CONFIG), loop, stats, COMPILED.upstream)
        service = Service(RuleSet.of(_CONFIG), forwarder, stats, lambda: 1000.0, COMPILED)
        service.adopt(service.rules.with_blockset(_BLOCKSET))
        replies: list[bytes] = []
        service.on_message(wire, "127.0.0.1", 4000, Transport(transport), replies.append)
        assert not [name for name in counters.items() if name[:2] == ("dropped_total", ("internal_error",))]
        forwarder.close()
        return replies
    finally:
        loop.close()


@given(st.one_of(mutated(QUERIES), mutated([*QUERIES, *RESPONSES]), st.binary(max_size=64)), st.sampled_from(["udp", "tcp"]))
@example(QUERIES[0], "udp")
def test_a_client_gets_a_sound_reply_or_none(wire: bytes, transport: str) -> None:
    """A reply has the client's id, QR set, at most 1232 bytes over UDP, and parses in full; responses get none."""
    replies = serve(wire, transport)
    assert len(replies) <= 1
    for reply in replies:
        message = parse_message(reply)
        assert reply[:2] == wire[:2]
        assert message.flags & p.QR
        assert not wire[2] & 0x80
        assert transport == "tcp" or len(reply) <= 1232


@given(mutated(RESPONSES), st.sampled_from(QUERIES))
def test_what_an_upstream_sends_is_refused_or_passed_on_sound(wire: bytes, asked: bytes) -> None:
    """A response that is believed ends in an answer that parses in full, asks nothing else, and never leaks what is blocked."""
    resolver = Resolver(RuleSet.of(_CONFIG, blockset=_BLOCKSET, ready=True), ReferenceCache(1_000_000))
    client = ClientTable(_CONFIG.access, (), ()).lookup("127.0.0.1")
    with suppress(WireError):
        message = parse_message(wire)
        if not message.question:
            return
        query = parse_query(asked[:11] + b"\0" + message.question)
        forward = Forward(query.key, query.qname, query.qtype, query.qclass, query.do, query.cd, client.policy)
        entry = resolver.on_answer(forward, message, 1000.0)
        reply = parse_message(entry.render(query, 1000.0, 65535))
        assert reply.question == message.question
        if entry.verdict is not None:
            assert {record.rtype for record in reply.answer} <= {p.A, p.AAAA}


@pytest.mark.skipif(not real_packets(), reason="PDNS_DATA is not set")
def test_the_corpora_of_others() -> None:
    """Each packet of the public corpora, as a query and as a response: a sound reply, a WireError, or silence."""
    for path in real_packets():
        wire = path.read_bytes()
        for reply in serve(wire, "tcp"):
            parse_message(reply)
        with suppress(WireError):
            parse_message(wire)
