"""The AD flag of upstreams, and look-ups that resolvers make on their own."""

from __future__ import annotations

import pytest

from pdns.upstream.honesty import LIES_TO_CONVICT, CanaryKind, CanaryResult
from pdns.wire import protocol as p
from tests.blocksets import make_blockset
from tests.fakes import upstream as fake
from tests.protocol.conftest import Open, Run
from tests.wire import answers, query_wire

FLAGS_LOW = 3  # the byte with AD, CD and the rcode


def with_ad(wire: bytes) -> bytes:
    return wire[:FLAGS_LOW] + bytes([wire[FLAGS_LOW] | p.AD]) + wire[FLAGS_LOW + 1 :]


def has_ad(wire: bytes) -> bool:
    return bool(wire[FLAGS_LOW] & p.AD)


@pytest.mark.parametrize(("dnssec", "believed"), [("trust-ad", True), ("pass", False)])
@pytest.mark.parametrize("qtype", ["A", "SRV"])
def test_ad(run: Run, edge: Open, dnssec: str, qtype: str, believed: bool) -> None:
    """It reaches clients that ask for it if it is believed, from the upstream as from the cache."""

    async def body() -> None:
        async with edge(fake.changed(fake.answer("192.0.2.1"), with_ad), upstream={"dnssec": dnssec}) as (e, upstream):
            for _ in range(2):
                assert has_ad(await e.reply(e.send(with_ad(query_wire("signed.example", qtype))))) is believed
            assert not has_ad(await e.reply(e.send(query_wire("signed.example", qtype)))), "it was not asked for"
            assert len(upstream.asked()) == 1
            assert has_ad(upstream.asked()[0].wire), "upstreams are always asked for it (RFC 6840, 5.7)"

    run(body())


@pytest.mark.parametrize("feed_mode", ["block", "monitor"])
def test_look_ups_of_resolvers_are_no_attempts(run: Run, edge: Open, feed_mode: str) -> None:
    """NS, DS and DNSKEY of a listed name get the verdict, on a miss and from the cache, and count in no metric of blocks."""

    async def body() -> None:
        feeds = [{"name": "alpha", "url": "file:a", "mode": feed_mode}]
        async with edge(fake.answer("192.0.2.9"), feed=feeds, blockset=make_blockset({"alpha": "bad.example"})) as (e, upstream):
            for _ in range(2):
                for qtype in ("NS", "DS", "DNSKEY"):
                    await e.ask("bad.example", qtype)
            assert (e.count("blocked_total"), e.count("would_block_total"), e.count("feed_hits_total")) == (0, 0, 0)
            assert e.count("responses_total", "blocked") == (6 if feed_mode == "block" else 0)
            assert bool(upstream.asked()) is (feed_mode == "monitor")
            await e.ask("bad.example", "A")
            await e.ask("bad.example", "TXT")
            assert e.count("blocked_total") + e.count("would_block_total") == 2

    run(body())


def test_a_liar_gives_no_second_opinion(run: Run, edge: Open) -> None:
    """The SERVFAIL of an honest upstream stands, though a liar has an answer; the liar is asked when the honest one is down."""

    async def body() -> None:
        handlers = (fake.answer("203.0.113.66"), fake.rcode(fake.SERVFAIL))
        async with edge(*handlers, upstream={"strategy": "ordered"}) as (e, (liar, honest)):
            one, other = e.forwarder.servers
            for _ in range(LIES_TO_CONVICT):
                one.honesty.found(CanaryKind.VALIDATION, CanaryResult.LIE)
            e.forwarder.choose_honest()
            wire = await e.ask("bogus.example")
            assert (wire[FLAGS_LOW] & 15, len(liar.asked()), len(honest.asked())) == (p.SERVFAIL, 0, 1)
            other.health.up = False
            assert answers(await e.ask("other.example")) == ["203.0.113.66"]

    run(body())
