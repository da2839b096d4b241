"""Forwarded UDP queries: answers, the cache, coalescing and bounds, with the compiled kernel and with its specification."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from pdns.core import in_flight
from pdns.reference import in_flight as reference_in_flight
from pdns.wire import protocol as p
from pdns.wire.transport import Transport
from tests.fakes import upstream as fake
from tests.fakes.edges import until
from tests.fakes.forwarding import url
from tests.fakes.udp_edge import TRUE, Edge
from tests.fakes.upstream import FakeUpstream
from tests.protocol.conftest import Open, Run
from tests.wire import answers, ede, query_wire, read


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


def test_the_object_of_a_query_is_used_again_unless_it_is_held(run: Run, edge: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answered query leaves its object to the next one. An object that something holds keeps saying what it said."""

    async def body() -> None:
        async with edge(fake.answer("192.0.2.9")) as (e, _):
            if not e.compiled:
                return
            places: list[int] = []
            held: list[Any] = []
            ask = e.forwarder.ask

            def asked(queries: list[Any], kernel: Any) -> list[Any]:
                places.extend(map(id, queries))
                held.extend(query for query in queries if query.qname.startswith(b"\4held"))
                left: list[Any] = ask(queries, kernel)
                return left

            monkeypatch.setattr(e.forwarder, "ask", asked)
            for name in ("one.example", "two.example", "held.example", "four.example", "five.example"):
                await e.ask(name, query_id=len(places))
            assert places[0] == places[1] == places[2] != places[3] == places[4]
            assert [(query.id, query.qname) for query in held] == [(2, b"\4held\7example\0")]

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
    """Identical queries make one upstream query. Each client gets the answer with its own id and letter case."""

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


def test_bounds_hold(run: Run, edge: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound of a client, or of all, SERVFAIL says so at once. Beyond that of one question, queries are dropped."""
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
    """A query over TCP that is identical to one over UDP waits for the same answer, and gets it whole."""

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
    """Each client gets at most the size that its EDNS offers, with TC where that is too little."""

    async def body() -> None:
        async with edge(fake.delayed(fake.answer(*[f"192.0.2.{n}" for n in range(60)]), 0.1)) as (e, upstream):
            small, large = e.send(query_wire("big.example", edns=None)), e.send(query_wire("big.example", edns=4096))
            cut, whole = await e.reply(small), await e.reply(large)
            assert (read(cut).header.tc, answers(cut), len(answers(whole))) == (1, [], 60)
            assert len(upstream.asked()) == 1

    run(body())


def test_an_answer_that_is_not_cacheable_reaches_its_client(run: Run, edge: Open) -> None:
    """An answer with a TTL of 0 reaches its client and is not cached: the next query is forwarded again."""

    async def body() -> None:
        async with edge(fake.answer(TRUE, ttl_s=0)) as (e, upstream):
            for _ in range(2):
                assert answers(await e.ask("www.example")) == [TRUE]
            assert len(upstream.asked()) == 2

    run(body())


def test_a_flood_of_new_names_leaves_popular_answers(run: Run, edge: Open) -> None:
    """Answers that are asked for once evict no popular answer from the cache."""

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


def test_a_query_that_cannot_be_written_is_the_only_one_lost(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without random bytes no upstream query can be written. That query is dropped and counted; the others are answered."""

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
