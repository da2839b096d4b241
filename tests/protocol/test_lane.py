"""Queries that come in datagrams and are forwarded: on the forwarding kernel, and on the Python that it stands for."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from pdns.blockset.reader import Blockset
from pdns.config.addresses import Endpoint
from pdns.config.schema import Config
from pdns.core import in_flight
from pdns.core.local_rules import LocalEntry, LocalRules
from pdns.core.ruleset import RuleSet
from pdns.net.sockets import bind_udp
from pdns.reference import in_flight as reference_in_flight
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import Stats
from pdns.upstream.forwarder import Forwarder
from pdns.upstream.kernel import UdpKernel
from pdns.wire import protocol as p
from pdns.wire.transport import Transport
from pdns.worker.kernels import COMPILED
from tests.blocksets import make_blockset
from tests.descriptors import spoil_sockets_to
from tests.fakes import upstream as fake
from tests.fakes.edges import until
from tests.fakes.forwarding import url
from tests.fakes.loops import LOOPS, run_on
from tests.fakes.services import kernels, new_service
from tests.fakes.upstream import FakeUpstream
from tests.wire import answers, ede, query_wire, read

FEEDS: dict[str, Any] = {"feed": [{"name": "alpha", "url": "file:a"}, {"name": "watch", "url": "file:w", "mode": "monitor"}]}
TRUE, FORGED, SINKHOLE = "192.0.2.7", "203.0.113.66", "192.0.2.1"
LISTED = fake.rr(p.CNAME, b"\3bad\7example\0")


class Edge:
    """A listener on a real socket, a service, and a forwarder to fake upstreams."""

    def __init__(
        self, upstreams: list[str], sections: dict[str, Any], *, compiled: bool, sockets: UdpKernel | None = None
    ) -> None:
        self.loop, self.counters = asyncio.get_running_loop(), Counters.create(4096)
        self.stats = Stats(self.counters)
        options = {"timeout_s": 3.0, **sections.pop("upstream", {})}
        self.config = msgspec.convert({"upstream": {"servers": upstreams, **options}, **sections}, Config)
        self.kernels = kernels(compiled=compiled)
        self.forwarder = Forwarder(self.config.upstream, self.loop, self.stats, sockets or self.kernels.upstream)
        self.service = new_service(RuleSet.of(self.config), self.forwarder, self.stats, self.loop.time, compiled=compiled)
        sock = bind_udp(Endpoint("127.0.0.1", 0))
        self.address = sock.getsockname()
        self.listener = self.kernels.udp_listener(sock, self.service, self.loop, self.stats, self.service.fast_path)
        self.compiled = compiled
        self.clients: list[socket.socket] = []

    def client(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect(self.address)
        self.clients.append(sock)
        return sock

    def send(self, *wires: bytes) -> socket.socket:
        """A client that has sent these, all before any of them is looked at."""
        sock = self.client()
        for wire in wires:
            sock.send(wire)
        return sock

    async def reply(self, sock: socket.socket, patience_s: float = 30.0) -> bytes:
        async with asyncio.timeout(patience_s):
            return await self.loop.sock_recv(sock, 65535)

    async def ask(self, name: str, qtype: str = "A", **options: Any) -> bytes:
        return await self.reply(self.send(query_wire(name, qtype, **options)))

    def count(self, family: str, *labels: str) -> int:
        """The sum of a family's series whose labels include `labels`."""
        return sum(value for name, own, value in self.counters.items() if name == family and set(labels) <= set(own))

    def in_fast_forward(self) -> int:
        return sum(socket_set.in_fast_forward for socket_set in self.forwarder._socket_sets)

    async def out(self, count: int) -> None:
        """Return when `count` questions are out; each of them in the forwarding kernel, where there is one."""
        await until(lambda: self.service.in_flight() == count)
        assert self.in_fast_forward() == (count if self.compiled else 0)
        assert self.forwarder.in_flight == count

    async def close(self) -> None:
        self.listener.close()
        self.forwarder.close()
        for sock in self.clients:
            sock.close()
        await asyncio.sleep(0)
        assert self.in_fast_forward() == 0
        assert self.count("dropped_total", "internal_error") == 0


Open = Callable[..., Any]


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Runs a test's body on each kind of loop."""
    return lambda main: run_on(request.param, main)


@pytest.fixture(params=["python", "lane"])
def edge(request: pytest.FixtureRequest) -> Open:
    """Makes an `Edge` of each kind."""

    @asynccontextmanager
    async def made(
        *handlers: fake.Handler, blockset: Blockset | None = None, sockets: UdpKernel | None = None, **sections: Any
    ) -> AsyncIterator[tuple[Edge, Any]]:
        upstreams = [FakeUpstream(handler) for handler in handlers]
        for upstream in upstreams:
            await upstream.start()
        servers = [f"udp://127.0.0.1:{upstream.port}" for upstream in upstreams]
        one = Edge(servers, sections, compiled=request.param == "lane", sockets=sockets)
        one.service.adopt(one.service.rules.with_blockset(blockset))
        try:
            yield one, upstreams[0] if len(upstreams) == 1 else upstreams
        finally:
            await one.close()
            for upstream in upstreams:
                await upstream.__aexit__()

    return made


Run = Callable[[Coroutine[Any, Any, None]], None]


def test_an_answer_reaches_its_client_and_the_cache(run: Run, edge: Open) -> None:
    """The client has its id, its letter case and what its EDNS allows; the next is answered from the cache; all is counted."""

    async def body() -> None:
        handlers = {"no.example": fake.negative(), "empty.example": fake.records()}
        async with edge(fake.by_name(handlers, fake.answer("192.0.2.9", ttl_s=300))) as (e, upstream):
            for source in ("upstream", "cache"):
                wire = await e.ask("WWW.Example", query_id=0xBEEF, edns=None)
                assert (wire[:2], wire[12:25], answers(wire)) == (b"\xbe\xef", b"\3WWW\7Example\0", ["192.0.2.9"])
                assert (read(wire).rr[0].ttl, read(wire).header.ra, len(read(wire).ar)) == (300, 1, 0)
                assert e.count("responses_total", source, "NOERROR") == 1
            for _ in range(2):
                wire = await e.ask("no.example", "AAAA", do=True)
                assert (read(wire).header.rcode, len(read(wire).auth), read(wire).ar[0].edns_do) == (p.NXDOMAIN, 1, 1)
            assert upstream.names() == ["www.example", "no.example"]
            assert [query.opt for query in upstream.queries] == [b"\0\0\x29\x04\xd0" + do for do in (bytes(6), b"\0\0\x80\0\0\0")]
            assert {query.wire[2:4] for query in upstream.queries} == {b"\1\x20"}
            assert e.count("upstream_requests_total", "ok") == 2
            assert e.count("upstream_duration_seconds:bucket") == 2
            assert e.count("query_duration_seconds:bucket", "upstream") == 2
            assert e.count("responses_total") == 4
            assert (e.service.in_flight(), e.forwarder.in_flight) == (0, 0)
            await e.ask("empty.example")
            await e.ask("empty.example")
            assert upstream.names().count("empty.example") == 2, "without an SOA a negative answer is not kept"

    run(body())


def test_addresses_take_turns(run: Run, edge: Open) -> None:
    """From the upstream and from the cache: the id of a query chooses which of several addresses comes first."""

    async def body() -> None:
        addresses = ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
        async with edge(fake.answer(*addresses, ttl_s=300)) as (e, upstream):
            for query_id in (4, 0, 1, 2):
                turn = query_id % 3
                assert answers(await e.ask("www.example", query_id=query_id)) == addresses[turn:] + addresses[:turn]
            assert len(upstream.queries) == 1

    run(body())


def test_a_thousand_identical_queries_are_one(run: Run, edge: Open) -> None:
    """However many ask, one upstream query; everybody is answered with their own id and letter case."""

    async def body() -> None:
        async with edge(fake.delayed(fake.answer("192.0.2.9"), 0.2)) as (e, upstream):
            socks = []
            for number in range(20):
                name = "www.example" if number % 2 else "WWW.example"
                socks.append(e.send(*[query_wire(name, query_id=number << 8 | query_id) for query_id in range(50)]))
                await asyncio.sleep(0)
            for number, sock in enumerate(socks):
                wires = [await e.reply(sock) for _ in range(50)]
                assert {int.from_bytes(wire[:2]) for wire in wires} == {number << 8 | query_id for query_id in range(50)}
                assert {wire[13:16] for wire in wires} == {b"www" if number % 2 else b"WWW"}
            assert upstream.names() == ["www.example"]
            assert e.count("responses_total") == 1000
            assert e.count("queries_total") == 1000

    run(body())


def test_a_retransmission_takes_its_own_place(run: Run, edge: Open) -> None:
    """The same query again from the same port is answered once."""

    async def body() -> None:
        async with edge(fake.delayed(fake.answer(), 0.1)) as (e, upstream):
            sock = e.send(query_wire("www.example"), query_wire("www.example"), query_wire("www.example", query_id=7))
            ids = [int.from_bytes((await e.reply(sock))[:2]) for _ in range(2)]
            assert sorted(ids) == [7, 0x1234]
            with pytest.raises(TimeoutError):
                await e.reply(sock, 0.05)
            assert upstream.names() == ["www.example"]

    run(body())


@pytest.mark.parametrize(
    ("forgery", "counted"),
    [
        (fake.wrong_id, "unmatched"),
        (fake.wrong_question, "unmatched"),
        (fake.other_port, ""),
        (fake.lower_casing, "unmatched"),
        (lambda _forged: fake.garbage, "malformed"),
    ],
    ids=["id", "question", "port", "case", "garbage"],
)
def test_forgeries_are_counted_and_passed_over(
    run: Run, edge: Open, forgery: Callable[[fake.Handler], fake.Handler], counted: str
) -> None:
    """What does not answer the very query, by id, question, letter case and soundness, ends no wait, and is counted."""

    async def body() -> None:
        right = fake.delayed(fake.answer(TRUE), 0.05)
        both = fake.by_transport(fake.then(forgery(fake.answer(FORGED)), right), right)
        async with edge(both) as (e, _):
            assert answers(await e.ask("a-long-name-with-letters.example")) == [TRUE]
            seen = {result for result in ("unmatched", "malformed") if e.count("upstream_requests_total", result)}
            assert seen >= {counted} if counted else not seen
            assert e.count("upstream_requests_total", "ok") >= 1

    run(body())


def test_an_upstream_that_loses_the_case_is_asked_over_tcp(run: Run, edge: Open) -> None:
    """An answer in another case is not believed over UDP; TCP tells, and from then on the case is left alone."""

    async def body() -> None:
        async with edge(fake.lower_casing(fake.answer(TRUE))) as (e, upstream):
            assert answers(await e.ask("a-long-name-with-letters.example")) == [TRUE]
            assert answers(await e.ask("another-long-name-with-letters.example")) == [TRUE]
            assert [query.transport for query in upstream.asked()] == ["udp", "tcp", "udp"]

    run(body())


def test_a_truncated_answer_is_fetched_over_tcp(run: Run, edge: Open) -> None:
    """TC=1 is followed by the same question over TCP, and the client gets what fits."""

    async def body() -> None:
        async with edge(fake.over_tcp_only(fake.answer(*[f"192.0.2.{n}" for n in range(30)]))) as (e, upstream):
            assert len(answers(await e.ask("big.example"))) == 30
            assert [query.transport for query in upstream.asked()] == ["udp", "tcp"]
            assert e.count("upstream_requests_total", "truncated") == 1

    run(body())


def test_a_failure_is_not_believed_at_once(run: Run, edge: Open) -> None:
    """SERVFAIL of one upstream sends the question to the other; of both it is passed on with a reason."""

    async def body() -> None:
        bad = fake.by_name({"bad.example": fake.rcode(fake.SERVFAIL)}, fake.answer(TRUE))
        async with edge(fake.rcode(fake.SERVFAIL), bad) as (e, upstreams):
            for number in range(10):
                assert answers(await e.ask(f"n{number}.example")) == [TRUE]
            wire = await e.ask("bad.example")
            code, text = ede(wire) or (0, "")
            assert (read(wire).header.rcode, code) == (p.SERVFAIL, 22)
            assert set(text.split("; ")) == {f"udp://127.0.0.1:{upstream.port} answered SERVFAIL" for upstream in upstreams}
            assert e.count("upstream_requests_total", "servfail") >= 2

    run(body())


@pytest.mark.parametrize(
    "bad", [fake.rcode(fake.REFUSED), fake.rcode(fake.NOTIMP), fake.lame()], ids=["REFUSED", "NOTIMP", "lame"]
)
def test_two_bad_upstreams_of_three_hide_no_good_one(run: Run, edge: Open, bad: fake.Handler) -> None:
    """Questions that come together, and one by one: all are answered, and soon by the good one alone."""

    async def body() -> None:
        async with edge(bad, bad, fake.answer(TRUE)) as (e, upstreams):
            number = 0
            while e.count("upstream_useful") > 1:
                wires = [query_wire(f"www.n{number + at}.net", query_id=at) for at in range(20)]
                number += 20
                sock = e.send(*wires)
                for _ in wires:
                    assert answers(await e.reply(sock)) == [TRUE]
                await asyncio.sleep(0.05)
            for upstream in upstreams:
                upstream.clear()
            sock = e.send(*[query_wire(f"www.m{number}.net", query_id=number) for number in range(200)])
            for _ in range(200):
                assert answers(await e.reply(sock)) == [TRUE]
            late = e.count("upstream_requests_total", "timeout")  # a slow machine: those were asked elsewhere as well
            assert max(len(upstream.asked()) for upstream in upstreams[:2]) <= 4 + late
            assert e.count("upstream_up") == 3

    run(body())


def test_what_is_behind_the_message_or_not_used_does_no_harm(run: Run, edge: Open) -> None:
    """Surplus bytes, a second OPT, a damaged record in the additional section: answered, at once."""

    async def body() -> None:
        opt = b"\0\0\x29\4\xd0\0\0\0\0\0\0"
        handlers = {
            "surplus.example": fake.changed(fake.answer(TRUE), lambda wire: wire + b"\0"),
            "opts.example": fake.changed(fake.answer(TRUE), lambda wire: wire[:11] + b"\2" + wire[12:] + opt),
            "damaged.example": fake.changed(fake.answer(TRUE), lambda wire: wire[:11] + b"\2" + wire[12:] + b"\xc0\xff"),
            "ns.example": lambda query: [fake.Send(fake.reply(query, (), [fake.rr(2, b"\2ns\0")]))],
        }
        async with edge(fake.by_name(handlers, fake.drop)) as (e, upstream):
            for name in ("surplus.example", "opts.example", "damaged.example"):
                assert answers(await e.ask(name)) == [TRUE]
            empty = read(await e.ask("ns.example"))
            assert (empty.header.rcode, empty.rr) == (p.NOERROR, [])
            assert len(upstream.queries) == 4

    run(body())


def test_a_send_error_of_ours_costs_no_answer_and_blames_nobody(run: Run, edge: Open) -> None:
    """Sockets that the system refuses to send from are replaced at once: here those whose descriptor is no socket any more."""

    async def body() -> None:
        # an event loop that watches each socket for itself may not survive it: here the kernel's, also without the rest of it
        async with edge(fake.drop, sockets=COMPILED.upstream, upstream={"timeout_s": 30.0}) as (e, upstream):
            sock = e.send(*[query_wire(f"www.n{number}.net", query_id=number) for number in range(200)])
            await e.out(200)
            spoil_sockets_to(upstream.port)
            upstream.handler = fake.answer(TRUE)
            more = e.send(*[query_wire(f"www.m{number}.net", query_id=number) for number in range(200)])
            for _ in range(200):
                assert answers(await e.reply(more)) == [TRUE]
            assert e.count("upstream_requests_total", "local_error") > 0
            assert (e.count("upstream_up"), e.count("upstream_useful")) == (1, 1)
            for _ in range(200):
                assert answers(await e.reply(sock)) == [TRUE]
            assert e.count("upstream_up") == 1

    run(body())


def test_an_upstream_without_edns_is_learned(run: Run, edge: Open) -> None:
    """FORMERR to EDNS leads to the question without it, there and in what follows."""

    async def body() -> None:
        async with edge(fake.without_edns(fake.answer(TRUE))) as (e, upstream):
            assert answers(await e.ask("one.example")) == [TRUE]
            assert answers(await e.ask("two.example")) == [TRUE]
            assert [query.edns for query in upstream.asked()] == [True, False, False]

    run(body())


def test_what_an_answer_leads_to_is_judged(run: Run, edge: Open) -> None:
    """A CNAME to a listed name, an HTTPS target, and an address where addresses are listed: blocked, and counted."""

    async def body() -> None:
        cloaked = fake.records(LISTED, fake.rr(p.A, b"\xc0\0\2\x63", owner=b"\3bad\7example\0"))
        svcb = fake.records(fake.rr(p.HTTPS, b"\0\1\3bad\7example\0"))
        handlers = {"cloak.example": cloaked, "svcb.example": svcb, "net.example": fake.answer("198.51.100.9")}
        blockset = make_blockset({"alpha": "bad.example 198.51.100.0/24"})
        async with edge(fake.by_name(handlers, fake.answer(TRUE)), blockset=blockset, **FEEDS) as (e, _):
            assert answers(await e.ask("cloak.example")) == [SINKHOLE]
            assert answers(await e.ask("net.example")) == [SINKHOLE]
            assert answers(await e.ask("svcb.example", "HTTPS")) == []
            assert answers(await e.ask("clean.example")) == [TRUE]
            assert e.count("blocked_total", "alpha") == 3

    run(body())


def test_what_is_blocked_here_is_found_behind_an_answer(run: Run, edge: Open) -> None:
    """A CNAME to a name that an administrator blocks is blocked with his reason, with a blockset or without; others are not."""

    async def body() -> None:
        cloaked = fake.records(LISTED, fake.rr(p.A, b"\xc0\0\2\x63", owner=b"\3bad\7example\0"))
        handlers = {"cloak.example": cloaked, "other.example": cloaked}
        for blockset in (None, make_blockset({"alpha": "listed.example"})):
            async with edge(fake.by_name(handlers, fake.answer(TRUE)), blockset=blockset) as (e, _):
                assert answers(await e.ask("cloak.example")) == ["bad.example.", "192.0.2.99"]
                e.service.adopt(
                    e.service.rules.with_local(LocalRules([LocalEntry(b"\3bad\7example\0", False, False, "ticket 7")]))
                )
                for name in ("cloak.example", "other.example"):  # an answer in the cache, and one that is not
                    answer = await e.ask(name, edns=1232)
                    assert answers(answer) == [SINKHOLE]
                    assert b"local: ticket 7 (bad.example)" in answer
                assert answers(await e.ask("x.bad.example")) == [SINKHOLE]
                assert answers(await e.ask("clean.example")) == [TRUE]
                e.service.adopt(e.service.rules.with_local(LocalRules()))
                assert answers(await e.ask("x.bad.example")) == [TRUE]
                assert answers(await e.ask("cloak.example")) == ["bad.example.", "192.0.2.99"]

    run(body())


def test_chains_and_targets_that_nobody_lists_pass(run: Run, edge: Open) -> None:
    """A chain of CNAMEs is given and kept as it came, to its end or to nothing; so are an HTTPS target and addresses that none
    of the listed networks holds; a chain that is allowed for its first name's sake is not looked into.
    """

    async def body() -> None:
        chain = [fake.rr(p.CNAME, b"\1b\7example\0"), fake.rr(p.CNAME, b"\1c\xc0\x2d", owner=b"\1b\7example\0")]
        last = fake.rr(p.A, b"\xc0\0\2\7", owner=b"\1c\7example\0")
        cloaked = fake.records(LISTED, fake.rr(p.A, b"\xc0\0\2\x63", owner=b"\3bad\7example\0"))
        handlers = {
            "chain.example": fake.records(*chain, last),
            "empty.example": lambda query: [fake.Send(fake.reply(query, chain, [b"\7example\0" + fake.soa_record()[2:]]))],
            "svcb.example": fake.records(fake.rr(p.HTTPS, b"\0\1\1b\7example\0")),
            "fine.example": cloaked,
        }
        blockset = make_blockset({"alpha": "bad.example 198.51.100.0/24"})
        sections = {**FEEDS, "block": {"allow": ["fine.example"]}}
        async with edge(fake.by_name(handlers, fake.answer(TRUE)), blockset=blockset, **sections) as (e, upstream):
            for _ in range(2):
                assert answers(await e.ask("chain.example")) == ["b.example.", "c.example.", TRUE]
                assert answers(await e.ask("empty.example", "AAAA")) == ["b.example.", "c.example."]
                assert len(answers(await e.ask("svcb.example", "HTTPS"))) == 1
                assert answers(await e.ask("clean.example")) == [TRUE]
                assert answers(await e.ask("fine.example")) == ["bad.example.", "192.0.2.99"]
            assert len(upstream.asked()) == 5
            assert e.count("upstream_requests_total", "ok") == 5
            assert e.count("blocked_total") == 0

    run(body())


def test_a_name_that_is_watched_is_counted(run: Run, edge: Open) -> None:
    """A feed in monitor mode blocks nothing, and each query that it would have blocked is counted."""

    async def body() -> None:
        async with edge(fake.answer(TRUE), blockset=make_blockset({"watch": "seen.example"}), **FEEDS) as (e, _):
            for _ in range(2):
                assert answers(await e.ask("x.seen.example")) == [TRUE]
            assert e.count("would_block_total", "watch") == 2

    run(body())


def test_a_name_that_is_listed_while_it_is_out_is_blocked(run: Run, edge: Open) -> None:
    """Rules that move while a question is out decide about its answer."""

    async def body() -> None:
        async with edge(fake.delayed(fake.answer(TRUE), 0.15), blockset=make_blockset({}), **FEEDS) as (e, _):
            sock = e.send(query_wire("late.example"))
            await e.out(1)
            e.service.adopt(e.service.rules.with_blockset(make_blockset({"alpha": "late.example"})))
            assert answers(await e.reply(sock)) == [SINKHOLE]
            assert answers(await e.ask("late.example")) == [SINKHOLE]

    run(body())


def test_silence_is_followed_by_other_rounds(run: Run, edge: Open) -> None:
    """A query that gets lost is sent again when its time is up, under another id, and counted as timed out."""

    async def body() -> None:
        async with edge(fake.in_turn(fake.drop, fake.answer(TRUE))) as (e, upstream):
            sock = e.send(query_wire("www.example"))
            await e.out(1)
            assert answers(await e.reply(sock)) == [TRUE]
            assert upstream.names() == ["www.example"] * 2
            assert len({query.id for query in upstream.asked()}) == 2
            assert e.count("upstream_requests_total", "timeout") == 1
            assert e.count("upstream_requests_total", "retransmit") == 1
            assert upstream.asked()[1].at_s - upstream.asked()[0].at_s > 0.7

    run(body())


def test_a_late_answer_is_still_good(run: Run, edge: Open) -> None:
    """An answer to the first query is taken although a second one was sent meanwhile."""

    async def body() -> None:
        async with edge(fake.in_turn(fake.delayed(fake.answer(TRUE), 1.0), fake.drop)) as (e, upstream):
            assert answers(await e.ask("www.example")) == [TRUE]
            assert len(upstream.asked()) == 2

    run(body())


@pytest.mark.realtime
def test_an_upstream_that_refuses_is_left_for_another(run: Run, edge: Open) -> None:
    """An ICMP error sends the question to the other upstream at once, long before its time is up."""

    async def body() -> None:
        async with edge(fake.answer(TRUE), fake.answer(TRUE)) as (e, (first, _second)):
            await first.stop()
            began_s = e.loop.time()
            for start in range(0, 60, 20):
                sock = e.send(*[query_wire(f"n{start + number}.example", query_id=number) for number in range(20)])
                assert [answers(await e.reply(sock)) for _ in range(20)] == [[TRUE]] * 20
            assert e.loop.time() - began_s < 0.7
            assert e.count("upstream_requests_total", "error") >= 1

    run(body())


def test_a_dead_upstream_is_not_waited_for(run: Run, edge: Open) -> None:
    """Once the only upstream is known to be down, what is out fails soon, with the reason, and so does what is asked anew."""

    async def body() -> None:
        async with edge(fake.drop, upstream={"timeout_s": 10.0}) as (e, upstream):
            began_s = e.loop.time()
            socks: list[socket.socket] = []
            while not e.forwarder.all_down:
                socks.append(e.send(query_wire(f"n{len(socks)}.example")))
                await asyncio.sleep(0.05)
            assert e.in_fast_forward() == 0
            for sock in socks:
                wire = await e.reply(sock, 9.0)
                assert (read(wire).header.rcode, ede(wire)) == (
                    p.SERVFAIL,
                    (22, f"udp://127.0.0.1:{upstream.port} did not answer"),
                )
            assert e.loop.time() - began_s < 8.0

    run(body())


def test_what_is_out_when_all_ends_is_told_so(run: Run, edge: Open) -> None:
    """close() answers everybody who waits, with the reason."""

    async def body() -> None:
        async with edge(fake.drop) as (e, _):
            sock = e.send(*[query_wire(f"n{number}.example", query_id=number) for number in range(50)])
            await e.out(50)
            e.forwarder.close()
            wires = [await e.reply(sock) for _ in range(50)]
            assert {ede(wire) for wire in wires} == {(23, "shutting down")}
            assert (e.service.in_flight(), e.forwarder.in_flight) == (0, 0)

    run(body())


def test_draining_waits_for_what_is_out(run: Run, edge: Open) -> None:
    """drain() returns when the last answer is in, and not before."""

    async def body() -> None:
        async with edge(fake.delayed(fake.answer(TRUE), 0.2)) as (e, _):
            sock = e.send(query_wire("www.example"))
            await e.out(1)
            await e.forwarder.drain(2.0)
            assert e.forwarder.in_flight == 0
            assert answers(await e.reply(sock)) == [TRUE]

    run(body())


def test_other_upstreams_do_not_lose_what_is_out(run: Run, edge: Open) -> None:
    """A question that is out when the configuration changes is answered by whom it was asked; the next one is asked elsewhere."""

    async def body() -> None:
        async with edge(fake.delayed(fake.answer(TRUE), 0.2)) as (e, _), FakeUpstream(fake.answer("192.0.2.8")) as other:
            sock = e.send(query_wire("www.example"))
            await e.out(1)
            before = e.forwarder
            servers = (f"udp://127.0.0.1:{other.port}",)
            config = msgspec.structs.replace(e.config, upstream=msgspec.structs.replace(e.config.upstream, servers=servers))
            e.forwarder = Forwarder(config.upstream, e.loop, e.stats, e.kernels.upstream)
            e.service.adopt(e.service.rules.with_config(config), e.forwarder)
            assert answers(await e.ask("next.example")) == ["192.0.2.8"]
            assert answers(await e.reply(sock)) == [TRUE]
            assert before.in_flight == 0
            before.close()

    run(body())


def test_a_burst_comes_from_many_ports(run: Run, edge: Open) -> None:
    """150 questions at once come from over 100 ports; in steady use no port carries more than 64, nor many in a row."""

    async def body() -> None:
        async with edge(fake.answer(TRUE)) as (e, upstream):
            sock = e.send(*[query_wire(f"n{number}.example", query_id=number) for number in range(150)])
            for _ in range(150):
                await e.reply(sock)
            ports = Counter(query.source[1] for query in upstream.asked())
            assert len(ports) > 100
            assert sum(uses == 1 for uses in ports.values()) > 100
            assert len({query.id for query in upstream.asked()}) > 145
            for start in range(1000, 11000, 100):
                for number in range(start, start + 100):
                    sock.send(query_wire(f"n{number}.example", query_id=number))
                for _ in range(100):
                    await e.reply(sock)
            ports = Counter(query.source[1] for query in upstream.asked())
            assert len(ports) > 150
            assert max(ports.values()) <= 2 * 64  # a port may come up a second time
            sources = [query.source[1] for query in upstream.asked()]
            assert max(len(set(sources[at : at + 50])) for at in range(0, len(sources), 50)) > 5

    run(body())


def test_bounds_hold(run: Run, edge: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the bound of a client, or of all, one is told so at once; past that of one question queries are dropped."""
    for bounds in (in_flight, reference_in_flight):
        monkeypatch.setattr(bounds, "MAX_WAITERS", 10)

    async def body() -> None:
        async with edge(fake.drop, upstream={"max_in_flight_per_client": 12, "max_in_flight": 15}) as (e, _):
            sock = e.send(*[query_wire("same.example", query_id=number) for number in range(12)])
            await until(lambda: e.count("dropped_total", "waiters_limit") == 2)
            for number in range(3):
                sock.send(query_wire(f"n{number}.example", query_id=100 + number))
            wire = await e.reply(sock)
            assert (wire[:2], ede(wire)) == (b"\0\x66", (0, "too many queries in flight for this client"))
            await e.out(3)
            e.service.adopt(
                e.service.rules.with_config(
                    msgspec.structs.replace(e.config, upstream=msgspec.structs.replace(e.config.upstream, max_in_flight=3))
                ),
                e.forwarder,
            )
            assert ede(await e.ask("m.example")) == (0, "too many queries in flight")
            assert [e.count("dropped_total", reason) for reason in ("in_flight_client", "in_flight_limit")] == [1, 1]

    run(body())


def test_transports_share_a_question(run: Run, edge: Open) -> None:
    """A query over TCP for what a datagram has asked waits for the same answer, and gets it whole."""

    async def body() -> None:
        async with edge(fake.delayed(fake.answer(TRUE), 0.15)) as (e, upstream):
            sock = e.send(query_wire("www.example"))
            await e.out(1)
            replies: list[bytes] = []
            e.service.on_message(query_wire("www.example", query_id=9), "127.0.0.1", 4000, Transport.TCP, replies.append)
            assert answers(await e.reply(sock)) == [TRUE]
            await until(lambda: bool(replies))
            assert (answers(replies[0]), replies[0][:2]) == ([TRUE], b"\0\x09")
            assert upstream.names() == ["www.example"]
            assert e.count("responses_total", "upstream") == 2

    run(body())


def test_answers_fit_their_clients(run: Run, edge: Open) -> None:
    """Each of those who wait gets at most what its EDNS offers, with TC where that is too little."""

    async def body() -> None:
        async with edge(fake.delayed(fake.answer(*[f"192.0.2.{n}" for n in range(60)]), 0.1)) as (e, upstream):
            small, large = e.send(query_wire("big.example", edns=None)), e.send(query_wire("big.example", edns=4096))
            cut, whole = await e.reply(small), await e.reply(large)
            assert (read(cut).header.tc, answers(cut), len(answers(whole))) == (1, [], 60)
            assert len(upstream.asked()) == 1

    run(body())


def test_what_is_not_worth_keeping_is_given_all_the_same(run: Run, edge: Open) -> None:
    """An answer with a TTL of 0 reaches who asked, and the next one is asked for anew."""

    async def body() -> None:
        async with edge(fake.answer(TRUE, ttl_s=0)) as (e, upstream):
            for _ in range(2):
                assert answers(await e.ask("www.example")) == [TRUE]
            assert len(upstream.asked()) == 2

    run(body())


def test_a_flood_of_new_names_leaves_popular_answers(run: Run, edge: Open) -> None:
    """Answers that nobody asks for twice push out none that people use."""

    async def body() -> None:
        async with edge(fake.answer(TRUE), cache={"max_bytes": 262144}) as (e, upstream):
            for _ in range(3):
                await e.ask("popular.example")
            sock = e.client()
            for start in range(0, 4000, 100):
                for number in range(start, start + 100):
                    sock.send(query_wire(f"flood-{number}.example", query_id=number))
                for _ in range(100):
                    await e.reply(sock)
            await e.ask("popular.example")
            assert upstream.names().count("popular.example") == 1

    run(body())


def test_a_query_that_cannot_be_written_is_the_only_one_lost(
    run: Callable[[Coroutine[Any, Any, None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without random bits no query is written. It is forgotten, and counted; those before and after it are answered."""

    class Os(SimpleNamespace):
        """The module, but for its first call of urandom."""

        failures = 1

        def urandom(self, size: int) -> bytes:
            if self.failures:
                self.failures -= 1
                raise OSError("no random bits")
            return os.urandom(size)

    async def main() -> None:
        monkeypatch.setattr("pdns.fast.upstream.os", Os())
        async with FakeUpstream() as upstream:
            edge = Edge([url(upstream)], {}, compiled=True)
            lost = edge.send(query_wire("lost.example"))
            await until(lambda: edge.count("dropped_total", "internal_error") == 1)
            assert edge.service.in_flight() == edge.in_fast_forward() == edge.forwarder.in_flight == 0
            for name in ("lost.example", "next.example", "third.example"):
                assert answers(await edge.ask(name))
            with pytest.raises(BlockingIOError):
                lost.recv(512)
            edge.listener.close()
            edge.forwarder.close()
            for sock in edge.clients:
                sock.close()
            await asyncio.sleep(0)

    run(main())
