"""The service between a client's bytes and a real upstream's: bytes in, bytes out."""

from __future__ import annotations

import asyncio

import pytest

from pdns.wire import protocol as p
from pdns.wire.transport import Transport
from tests.fakes import upstream as fake
from tests.fakes.loops import run_on
from tests.fakes.service_bench import bench, until
from tests.protocol.conftest import Run
from tests.wire import answers, ede, query_wire, read


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
