"""The service between a client's bytes and a real upstream's: bytes in, bytes out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from pdns.config.schema import Config
from pdns.core.ruleset import RuleSet
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import Stats
from pdns.upstream.forwarder import Forwarder
from pdns.wire import protocol as p
from pdns.wire.transport import Transport
from tests.blocksets import make_blockset
from tests.fakes import upstream as fake
from tests.fakes.loops import LOOPS, run_on
from tests.fakes.services import kernels, new_service
from tests.fakes.upstream import FakeUpstream
from tests.wire import answers, ede, query_wire, read


class Bench:
    """A service on a real upstream, and a clock that can be moved."""

    def __init__(
        self,
        upstream: FakeUpstream,
        sections: dict[str, Any],
        *,
        compiled: bool = True,
        zone_changed: Callable[[str], object] = lambda _feed: None,
    ) -> None:
        self.upstream, self.ahead_s = upstream, 0.0
        self.stands_at_s: float | None = None
        self.counters = Counters.create(4096)
        self.loop = asyncio.get_running_loop()
        options = {"timeout_s": 1.0, **sections.pop("upstream", {})}
        raw = {"upstream": {"servers": [f"udp://127.0.0.1:{upstream.port}"], **options}, **sections}
        self.config = msgspec.convert(raw, Config)
        stats = Stats(self.counters)
        self.forwarder = Forwarder(self.config.upstream, self.loop, stats, kernels(compiled=compiled).upstream)
        self.service = new_service(
            RuleSet.of(self.config), self.forwarder, stats, self.now, compiled=compiled, zone_changed=zone_changed
        )

    def now(self) -> float:
        return (self.loop.time() if self.stands_at_s is None else self.stands_at_s) + self.ahead_s

    def stop_the_clock(self) -> None:
        """What is asked from now on is asked at one moment, however slow the machine is."""
        self.stands_at_s = self.loop.time()

    def send(self, wire: bytes, *, client: str = "127.0.0.1", port: int = 4000, transport: str = "udp") -> list[bytes]:
        """The replies, which may still come."""
        replies: list[bytes] = []
        self.service.on_message(wire, client, port, Transport(transport), replies.append)
        return replies

    async def ask(self, name: str, qtype: str = "A", *, transport: str = "udp", patience_s: float = 3.0, **options: Any) -> bytes:
        replies = self.send(query_wire(name, qtype, **options), transport=transport)
        await until(lambda: bool(replies), patience_s)
        return replies[0]

    def count(self, family: str, *labels: str) -> int:
        """The sum of a family's series whose labels include `labels`."""
        return sum(value for name, own, value in self.counters.items() if name == family and set(labels) <= set(own))


async def until(condition: Callable[[], bool], patience_s: float = 3.0) -> None:
    """Wait for `condition`; fail when it does not come."""
    end_s = asyncio.get_running_loop().time() + patience_s
    while not condition():
        assert asyncio.get_running_loop().time() < end_s, "it did not come"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def bench(
    handler: fake.Handler | None = None,
    *,
    compiled: bool = True,
    zone_changed: Callable[[str], object] = lambda _feed: None,
    **sections: Any,
) -> AsyncIterator[Bench]:
    async with FakeUpstream(handler) as upstream:
        made = Bench(upstream, sections, compiled=compiled, zone_changed=zone_changed)
        try:
            yield made
        finally:
            made.forwarder.close()
            await asyncio.sleep(0)


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Runs a test's body on each kind of loop."""
    return lambda main: run_on(request.param, main)


Run = Callable[[Coroutine[Any, Any, None]], None]


def test_a_hundred_identical_questions_are_one_upstream_query(run: Run) -> None:
    """Identical questions in flight share one upstream query, whoever asks, and everyone is answered with their own id."""

    async def body() -> None:
        async with bench(fake.delayed(fake.answer("192.0.2.9"), 0.1)) as b:
            waiting = [b.send(query_wire("WWW.example" if n % 2 else "www.example", query_id=n), port=n) for n in range(100)]
            await until(lambda: all(waiting))
            assert [read(replies[0]).header.id for replies in waiting] == list(range(100))
            assert b.upstream.names() == ["www.example"]
            assert b.count("responses_total", "upstream") == 100

    run(body())


def test_client_edns_does_not_split_coalescing(run: Run) -> None:
    """Client subnet, cookies and sizes neither reach the upstream nor make two queries of one."""

    async def body() -> None:
        async with bench(fake.delayed(fake.answer(), 0.1)) as b:
            bare = query_wire("www.example", edns=None)
            cookie = bare[:11] + b"\1" + bare[12:] + b"\0\0\x29\x10\0\0\0\0\0\0\x0c\0\x0a\0\x08abcdefgh"
            subnet = bare[:11] + b"\1" + bare[12:] + b"\0\0\x29\x10\0\0\0\0\0\0\x0b\0\x08\0\x07\0\1\x18\0\xc0\0\2"
            waiting = [b.send(wire, port=port) for port, wire in enumerate([bare, cookie, subnet, query_wire("www.example")])]
            await until(lambda: all(waiting))
            assert len(b.upstream.asked()) == 1
            assert b.upstream.asked()[0].opt == b"\0\0\x29\x04\xd0\0\0\0\0\0\0"

    run(body())


def test_a_retransmission_is_answered_once(run: Run) -> None:
    """The same query again from the same port waits in the same place: one answer, not two."""

    async def body() -> None:
        async with bench(fake.delayed(fake.answer(), 0.1)) as b:
            first, second = b.send(query_wire("www.example")), b.send(query_wire("www.example"))
            await until(lambda: bool(second))
            await asyncio.sleep(0.05)
            assert (len(first), len(second)) == (0, 1)

    run(body())


def test_answers_fit_their_transport(run: Run) -> None:
    """Over UDP an answer is at most what the client offered and never above 1232 bytes; over TCP it is whole."""

    async def body() -> None:
        many = fake.over_tcp_only(fake.answer(*[f"192.0.2.{n}" for n in range(200)]))
        async with bench(many) as b:
            for edns, bound in ((None, 512), (800, 800), (4096, 1232)):
                wire = await b.ask("big.example", edns=edns)
                assert (len(wire) <= bound, read(wire).header.tc, answers(wire)) == (True, 1, [])
            assert len(answers(await b.ask("big.example", transport="tcp"))) == 200
            assert len({query.transport for query in b.upstream.asked()}) == 2

    run(body())


def test_past_the_bound_clients_are_told_at_once(run: Run) -> None:
    """With the bound on queries in flight reached the next one gets SERVFAIL and a reason, in no time."""

    async def body() -> None:
        async with bench(fake.drop, upstream={"max_in_flight": 5}) as b:
            for number in range(5):
                b.send(query_wire(f"n{number}.example"), port=number)
            replies = b.send(query_wire("n6.example"))
            assert ede(replies[0]) == (0, "too many queries in flight")
            assert b.count("dropped_total", "in_flight_limit") == 1
            assert answers(await b.ask("localhost")) == ["127.0.0.1"]

    run(body())


def test_one_client_cannot_take_all_the_room(run: Run) -> None:
    """A client at its own bound is told so, while another is served."""

    async def body() -> None:
        slow = fake.by_name({"hole.example": fake.drop}, fake.answer("192.0.2.9"))
        async with bench(slow, upstream={"max_in_flight_per_client": 5}) as b:
            for number in range(5):
                b.send(query_wire(f"n{number}.hole.example"), client="10.0.0.1", port=number)
            assert ede(b.send(query_wire("n6.hole.example"), client="10.0.0.1")[0]) == (
                0,
                "too many queries in flight for this client",
            )
            replies = b.send(query_wire("www.example"), client="10.0.0.2")
            await until(lambda: bool(replies))
            assert answers(replies[0]) == ["192.0.2.9"]

    run(body())


def test_stale_while_the_upstream_is_away_then_fresh_again(run: Run) -> None:
    """An upstream that stops gives stale answers (EDE 3), for names never seen SERVFAIL (EDE 22), and needs no restart."""

    async def body() -> None:
        async with bench(fake.answer("192.0.2.9", ttl_s=30)) as b:
            await b.ask("www.example")
            b.upstream.handler = fake.drop
            b.ahead_s = 60.0
            wire = await b.ask("www.example")
            assert (answers(wire), ede(wire), read(wire).rr[0].ttl) == (["192.0.2.9"], (3, ""), 30)
            assert b.count("responses_total", "stale") == 1
            failed = await b.ask("new.example")
            assert (read(failed).header.rcode, ede(failed)) == (
                p.SERVFAIL,
                (22, f"udp://127.0.0.1:{b.upstream.port} did not answer"),
            )
            b.upstream.handler = fake.answer("192.0.2.10")
            b.ahead_s = 120.0
            await b.ask("www.example")  # stale at once, while the upstream is tried
            await until(lambda: not b.forwarder.all_down)
            b.ahead_s = 180.0
            assert answers(await b.ask("www.example")) == ["192.0.2.10"]
            assert answers(await b.ask("new.example")) == ["192.0.2.10"]

    run(body())


def test_a_slow_upstream_does_not_hold_back_a_stale_answer(run: Run) -> None:
    """After 1.8 s of waiting the stale answer is given (RFC 8767), to the next asker at once; the fresh one still arrives."""

    async def body() -> None:
        async with bench(fake.answer("192.0.2.9", ttl_s=30), upstream={"timeout_s": 4.0}) as b:
            await b.ask("www.example")
            b.upstream.handler = fake.delayed(fake.answer("192.0.2.10"), 0.4)
            b.ahead_s = 60.0
            replies = b.send(query_wire("www.example"))
            b.ahead_s += 2.0
            b.service.tick(b.now())
            assert ede(replies[0]) == (3, "")
            assert ede(b.send(query_wire("www.example", query_id=2))[0]) == (3, "")
            await until(lambda: b.service.in_flight() == 0)
            assert answers(await b.ask("www.example")) == ["192.0.2.10"]

    run(body())


def test_popular_names_are_refreshed_in_the_background(run: Run) -> None:
    """A popular answer near its end is answered from the cache and asked again: clients never wait for it."""

    async def body() -> None:
        async with bench(fake.answer(ttl_s=100), cache={"refresh_ahead_hits": 2}) as b:
            await b.ask("www.example")
            b.ahead_s = 95.0
            for number in range(5):
                assert b.send(query_wire("www.example", query_id=number))
            await until(lambda: b.service.in_flight() == 0)
            assert len(b.upstream.asked()) == 2
            assert read(b.send(query_wire("www.example"))[0]).rr[0].ttl == 100

    run(body())


def test_blocking_is_counted_by_feed_and_tenant(run: Run) -> None:
    """A blocked query counts for its tenant, feed, category and action, from the cache as well; drop is silent and counted."""

    async def body() -> None:
        sections: dict[str, Any] = {
            "feed": [{"name": "alpha", "url": "file:a"}, {"name": "watch", "url": "file:w", "mode": "monitor"}],
            "tenant": [{"name": "coventry", "networks": ["10.7.0.0/16"]}],
        }
        blockset = make_blockset({"alpha": "bad.example", "watch": "watched.example"})
        async with bench(**sections) as b:
            b.service.adopt(b.service.rules.with_blockset(blockset))
            for _ in range(3):
                assert answers(b.send(query_wire("x.bad.example"), client="10.7.1.1")[0]) == ["192.0.2.1"]
            assert b.count("blocked_total", "coventry", "alpha", "malware", "sinkhole") == 3
            for number in range(2):
                b.send(query_wire(f"{number}.bad.example"), transport="tcp")
            assert b.count("query_duration_seconds:bucket", "blocked") == 5
            await b.ask("watched.example")
            await b.ask("watched.example")
            assert b.count("would_block_total", "default", "watch") == 2
            assert b.upstream.names() == ["watched.example"]
        async with bench(block={"action": "drop"}, **sections) as b:
            b.service.adopt(b.service.rules.with_blockset(blockset))
            assert b.send(query_wire("bad.example")) == []
            assert b.count("blocked_total", "drop") == 1

    run(body())


def test_only_what_a_monitored_feed_would_block_is_said_to_be(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    """The log has a line for a name that a feed in monitor mode lists, and none for one that is blocked in earnest, also when
    that is found out from where the answer leads.
    """

    async def body() -> None:
        feeds = [{"name": "alpha", "url": "file:a"}, {"name": "watch", "url": "file:w", "mode": "monitor"}]
        leads_to_bad = fake.records(fake.rr(p.CNAME, b"\3bad\7example\0"))
        async with bench(fake.by_name({"leads.example": leads_to_bad}, fake.answer()), feed=feeds) as b:
            b.service.adopt(b.service.rules.with_blockset(make_blockset({"alpha": "bad.example", "watch": "watched.example"})))
            assert answers(await b.ask("bad.example")) == ["192.0.2.1"]
            assert answers(await b.ask("leads.example")) == ["192.0.2.1"]
            assert b.count("blocked_total", "alpha") == 2
            for transport in ("udp", "udp", "tcp"):
                await b.ask("watched.example", transport=transport)
            assert b.upstream.names().count("watched.example") == 1

    with caplog.at_level("INFO", "pdns.worker.monitor_log"):
        run(body())
    lines = [record.getMessage() for record in caplog.records if record.name == "pdns.worker.monitor_log"]
    assert lines == ["would block watched.example for tenant default: listed by watch (malware)"] * 3, "from the cache as well"


def test_not_ready_until_the_required_feeds_are_there(run: Run) -> None:
    """SERVFAIL with EDE 14 until the blockset holds every required feed; once ready, a feed added later does not undo it."""

    async def body() -> None:
        feeds = [{"name": "alpha", "url": "file:a", "required": True}]
        async with bench(fake.answer("192.0.2.9"), feed=feeds) as b:
            assert ede(b.send(query_wire("www.example"))[0]) == (14, "required feeds are not loaded yet: alpha")
            b.service.adopt(b.service.rules.with_blockset(make_blockset({"other": "bad.example"})))
            assert (b.service.rules.ready, b.service.rules.missing) == (False, ("alpha",))
            b.service.adopt(b.service.rules.with_blockset(make_blockset({"alpha": "bad.example"}, configured=b.config.feed)))
            assert answers(await b.ask("www.example")) == ["192.0.2.9"]
            more = msgspec.structs.replace(
                b.config, feed=(*b.config.feed, msgspec.structs.replace(b.config.feed[0], name="beta"))
            )
            b.service.adopt(b.service.rules.with_config(more), b.forwarder)
            assert (b.service.rules.ready, b.service.rules.missing) == (True, ("beta",))
            assert answers(b.send(query_wire("www.example"))[0]) == ["192.0.2.9"]

    run(body())


@pytest.mark.parametrize("compiled", [False, True])
def test_over_the_rate_udp_is_sent_to_tcp_and_answered_there(run: Run, *, compiled: bool) -> None:
    """The default action gives a forged address nothing but TC, and a flood over UDP uses up nothing of what TCP may carry: the
    client that comes back over TCP is answered. TCP has a limit of its own.
    """

    async def body() -> None:
        limit = {"queries_per_s": 1, "verified_queries_per_s": 2, "burst": 3}
        async with bench(rate_limit=limit, compiled=compiled) as b:
            b.stop_the_clock()
            wire = query_wire("localhost")
            for _ in range(200):
                over = b.send(wire)[0]
            assert (read(over).header.tc, answers(over), len(over) <= len(wire)) == (1, [], True)
            over_tcp = [read(b.send(wire, transport="tcp")[0]) for _ in range(4)]
            assert [reply.header.rcode for reply in over_tcp] == [p.NOERROR] * 3 + [p.REFUSED]
            assert answers(b.send(wire, transport="tcp", client="127.0.0.2")[0]) == ["127.0.0.1"]
            b.ahead_s += 1.0
            over_tcp = [read(b.send(wire, transport="tcp")[0]) for _ in range(3)]
            assert [reply.header.rcode for reply in over_tcp] == [p.NOERROR] * 2 + [p.REFUSED]

    run(body())


@pytest.mark.parametrize("compiled", [False, True])
def test_a_client_with_a_valid_cookie_is_not_sent_to_tcp(run: Run, *, compiled: bool) -> None:
    """Its address is not forged, so it has the limit of TCP; without one, or with another's, it is truncated."""

    async def body() -> None:
        limit = {"queries_per_s": 1, "verified_queries_per_s": 1, "burst": 3}
        async with bench(rate_limit=limit, compiled=compiled) as b:
            b.stop_the_clock()
            plain = query_wire("localhost", edns=None)

            def asked(cookies: bytes, client: str = "127.0.0.1") -> bytes:
                opt = b"\0\0\x29\x04\xd0\0\0\0\0" + (4 + len(cookies)).to_bytes(2)
                option = b"\0\x0a" + len(cookies).to_bytes(2) + cookies
                return b.send(plain[:10] + b"\0\1" + plain[12:] + opt + option, client=client)[0]

            cookies = asked(b"abcdefgh")[-24:]
            for _ in range(200):
                over = asked(b"abcdefgh")
            assert (read(over).header.tc, over[-24:]) == (1, cookies)
            assert answers(asked(cookies)) == ["127.0.0.1"]
            assert answers(asked(cookies)) == ["127.0.0.1"]
            assert read(asked(cookies[:-1] + bytes([cookies[-1] ^ 1]))).header.tc == 1
            assert [read(asked(cookies)).header.tc for _ in range(2)] == [0, 1], "it has a limit too"

    run(body())


@pytest.mark.parametrize("compiled", [False, True])
def test_surplus_bytes_cost_no_answer(run: Run, *, compiled: bool) -> None:
    """A query with bytes behind its last record is answered, over UDP and TCP, with and without an OPT record."""

    async def body() -> None:
        async with bench(compiled=compiled) as b:
            for edns in (None, 1232):
                for transport in ("udp", "tcp"):
                    for surplus in (b"\0", b"x" * 40):
                        wire = query_wire("localhost", edns=edns) + surplus
                        assert answers(b.send(wire, transport=transport)[0]) == ["127.0.0.1"]

    run(body())


def test_junk_is_counted_and_harms_nothing(run: Run) -> None:
    """Responses, runts and broken queries get silence or FORMERR; a bug in the middle costs that query alone."""

    async def body() -> None:
        async with bench(fake.answer("192.0.2.9")) as b:
            good = query_wire("www.example")
            assert b.send(good[:5]) == []
            assert b.send(good[:2] + b"\x80" + good[3:]) == []
            assert read(b.send(good[:-1])[0]).header.rcode == p.FORMERR
            assert b.count("dropped_total", "not_a_query") == 2
            assert b.count("responses_total", "FORMERR") == 1
            b.service.on_message(good, "not an address", 1, Transport.UDP, lambda _wire: None)
            assert b.count("dropped_total", "internal_error") == 1
            assert answers(await b.ask("www.example")) == ["192.0.2.9"]

    run(body())


@pytest.mark.parametrize("qtype", [*range(1, 66), 99, 108, 256, 257, 258, 32769, 65280])
def test_every_type_passes(qtype: int) -> None:
    """Each query type is forwarded and its answer comes back (ANY and the meta types apart, which are answered here)."""

    async def body() -> None:
        async with bench(fake.records(fake.rr(qtype, RDATA.get(qtype, b"\1\2\3\4")))) as b:
            wire = await b.ask("www.example", f"TYPE{qtype}")
            if qtype == p.OPT:
                assert read(wire).header.rcode == p.FORMERR
            else:
                assert (wire[3] & 15, wire[6:8]) == (0, b"\0\1")
                assert b.upstream.asked()[0].qtype == qtype

    run_on("asyncio", body())


_NAME = b"\1x\0"
RDATA = {
    **dict.fromkeys((2, 3, 4, 5, 7, 8, 9, 12, 23, 30, 39), _NAME),
    p.SOA: _NAME + _NAME + bytes(20), 14: _NAME + _NAME, p.MX: b"\0\1" + _NAME, 17: _NAME + _NAME, 18: b"\0\1" + _NAME,
    21: b"\0\1" + _NAME, 24: bytes(18) + _NAME, 26: b"\0\1" + _NAME + _NAME, p.AAAA: bytes(16), p.SRV: bytes(6) + _NAME,
    36: b"\0\1" + _NAME, p.RRSIG: bytes(18) + _NAME + b"s", p.NSEC: _NAME + b"\0\1\x40", 64: b"\0\1" + _NAME, 65: b"\0\1" + _NAME,
    p.NAPTR: b"\0\1\0\1\1u\0\0" + _NAME, 38: b"\x80" + _NAME, 55: b"\0\1\0\1k" + _NAME, 58: _NAME + _NAME,
}  # fmt: skip


def test_when_all_upstreams_are_down_stale_answers_do_not_wait(run: Run) -> None:
    """Once every upstream is known to be down a stale answer is given at once, and the upstream is still asked."""

    async def body() -> None:
        async with bench(fake.answer("192.0.2.9", ttl_s=30), upstream={"timeout_s": 10.0}) as b:
            await b.ask("www.example")
            b.upstream.handler = fake.drop
            start_s = asyncio.get_running_loop().time()
            failed = await b.ask("new.example", patience_s=8.0)
            assert ede(failed) == (22, f"udp://127.0.0.1:{b.upstream.port} did not answer")
            assert asyncio.get_running_loop().time() - start_s < 7.0
            assert b.forwarder.all_down
            b.ahead_s = 60.0
            assert ede(b.send(query_wire("www.example"))[0]) == (3, "")
            assert b.service.in_flight() == 1

    run(body())
