"""A load balancer in front of the service: tenants, limits, cookies and shares are those of the client that the header names."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pdns.config.addresses import Endpoint
from pdns.core import in_flight
from pdns.net.sockets import bind_tcp
from pdns.net.tcp import TcpConnections, TcpListener
from pdns.net.tcp_limits import TcpLimits
from pdns.wire import protocol as p
from pdns.wire.framing import frame
from tests.blocksets import make_blockset
from tests.fakes import upstream as fake
from tests.fakes.edges import until
from tests.fakes.tcp import Peer
from tests.fakes.udp_edge import FEEDS, SINKHOLE, TRUE, Edge
from tests.protocol.conftest import Open, Run
from tests.proxied import DATAGRAM, STREAM, header
from tests.wire import answers, query_wire, read

BALANCERS = ("127.0.0.1/32",)
ACCESS = {"networks": ["198.51.100.0/24", "2001:db8::/32"]}  # not the load balancer
TENANTS = [{"name": "north", "networks": ["198.51.100.0/28"]}, {"name": "south", "networks": ["2001:db8:5::/48"]}]
NORTH, SOUTH, FREE, STRANGE = "198.51.100.7", "2001:db8:5::7", "198.51.100.99", "203.0.113.9"


async def ask(edge: Edge, client: str, name: str, sock: socket.socket | None = None, **options: object) -> bytes:
    sock = sock or edge.client()
    sock.send(header(client) + query_wire(name, **options))  # type: ignore[arg-type]
    return await edge.reply(sock)


def test_tenants_and_access_are_those_of_the_client(run: Run, edge: Open) -> None:
    """Forwarded, from the cache and blocked: counted for the client's tenant. A stranger is refused, however near its load
    balancer is, and so is the load balancer's own question where it may not ask.
    """

    async def body() -> None:
        blockset = make_blockset({"alpha": "malware.example"})
        sections = {"access": ACCESS, "tenant": TENANTS, **FEEDS}
        async with edge(fake.answer(TRUE), blockset=blockset, **sections) as (e, upstream):
            e.listener.trust(BALANCERS)
            sock = e.client()
            for client, tenant in ((NORTH, "north"), (SOUTH, "south"), (f"::ffff:{NORTH}", "north"), (FREE, "default")):
                before = e.count("queries_total", tenant)
                assert answers(await ask(e, client, "www.example", sock)) == [TRUE]
                assert answers(await ask(e, client, f"{client[-1]}.{len(client)}.example", sock)) == [TRUE]
                assert answers(await ask(e, client, "malware.example", sock)) == [SINKHOLE]
                assert answers(await ask(e, client, "malware.example", sock)) == [SINKHOLE]
                assert e.count("queries_total", tenant) == before + 4
            assert e.count("blocked_total", "north") == e.count("blocked_total", "south") * 2 == 4
            for client in (STRANGE, ""):
                assert read(await ask(e, client, "www.example", sock)).header.rcode == p.REFUSED
            assert len(upstream.queries) == 5
            assert e.count("dropped_total") == 0

    run(body())


def test_a_header_of_a_stranger_is_not_a_message(run: Run, edge: Open) -> None:
    """No peer outside the networks names a client: it gets what such bytes got before."""

    async def body() -> None:
        async with edge(fake.answer(TRUE), access=ACCESS) as (e, upstream):
            wire = header(NORTH) + query_wire("www.example")
            before = await _answer_or_none(e, wire)
            e.listener.trust(("127.0.0.2/32",))
            assert await _answer_or_none(e, wire) == before
            assert before is None or read(before).header.rcode in (p.FORMERR, p.NOTIMP)
            assert not upstream.queries

    run(body())


async def _answer_or_none(e: Edge, wire: bytes) -> bytes | None:
    """What comes back before the answer to a sound query behind it."""
    sock = e.send(wire, query_wire("id.server", "TXT", query_id=7, qclass="CH"))
    first = await e.reply(sock)
    return None if first[:2] == b"\0\7" else first


def test_the_rate_limit_is_the_clients(run: Run, edge: Open) -> None:
    """One client of the load balancer uses up its own limit only."""

    async def body() -> None:
        limit = {"queries_per_s": 1, "burst": 3, "action": "refuse"}
        async with edge(fake.answer(TRUE), access=ACCESS, rate_limit=limit) as (e, _):
            e.listener.trust(BALANCERS)
            sock = e.client()
            codes = [read(await ask(e, NORTH, "www.example", sock)).header.rcode for _ in range(12)]
            assert codes[:3] == [p.NOERROR] * 3
            assert p.REFUSED in codes
            assert read(await ask(e, FREE, "www.example", sock)).header.rcode == p.NOERROR
            assert read(await ask(e, "2001:db8:9::1", "www.example", sock)).header.rcode == p.NOERROR

    run(body())


def test_a_cookie_is_the_clients(run: Run, edge: Open) -> None:
    """A cookie that the load balancer brings from one client proves that client's address and no other's."""

    async def body() -> None:
        limit = {"queries_per_s": 1, "burst": 5, "verified_queries_per_s": 1000000}
        async with edge(fake.answer(TRUE), access=ACCESS, rate_limit=limit) as (e, _):
            e.listener.trust(BALANCERS)
            sock = e.client()
            plain = query_wire("www.example", edns=None)

            async def asked(client: str, cookie: bytes) -> bytes:
                option = b"\0\x0a" + len(cookie).to_bytes(2) + cookie
                opt = b"\0\0\x29\x04\xd0\0\0\0\0" + len(option).to_bytes(2) + option
                await asyncio.sleep(0.002)  # the clock of a loop may tick in milliseconds
                sock.send(header(client) + plain[:10] + b"\0\1" + plain[12:] + opt)
                reply: bytes = await e.reply(sock)
                return reply

            cookie = (await asked(NORTH, b"abcdefgh"))[-24:]
            assert [read(await asked(NORTH, cookie)).header.tc for _ in range(20)] == [0] * 20
            assert 1 in [read(await asked(FREE, cookie)).header.tc for _ in range(20)]

    run(body())


def test_the_share_of_what_waits_is_the_clients(run: Run, edge: Open) -> None:
    """A client that has filled its bound is told so; another one behind the same load balancer asks on."""

    async def body() -> None:
        async with edge(fake.drop, access=ACCESS, upstream={"max_in_flight_per_client": 3}) as (e, _):
            e.listener.trust(BALANCERS)
            sock = e.client()
            for number in range(3):
                sock.send(header(NORTH) + query_wire(f"n{number}.a{number}.example"))
            await until(lambda: e.service.in_flight() == 3)
            assert read(await ask(e, NORTH, "n4.b.example", sock)).header.rcode == p.SERVFAIL
            assert e.count("dropped_total", "in_flight_client") == 1
            sock.send(header(FREE) + query_wire("n5.c.example"))
            await until(lambda: e.service.in_flight() == 4)
            assert e.count("dropped_total") == 1

    run(body())


def test_clients_that_wait_for_one_question_are_all_answered(run: Run, edge: Open) -> None:
    """From one port of the load balancer and under one id: those of different clients are different, a retransmission is not."""

    async def body() -> None:
        async with edge(fake.delayed(fake.answer(TRUE), 0.3), access=ACCESS) as (e, upstream):
            e.listener.trust(BALANCERS)
            sock = e.client()
            clients = [f"198.51.100.{number}" for number in range(1, 21)]
            for client in [*clients, *clients[:5], "2001:db8::1"]:
                sock.send(header(client) + query_wire("www.example", query_id=9))
            for _ in range(21):
                assert answers(await e.reply(sock)) == [TRUE]
            assert answers(await ask(e, NORTH, "other.example", sock)) == [TRUE], "nothing else came before it"
            assert upstream.names() == ["www.example", "other.example"]

    run(body())


def test_waiters_of_one_client_are_bounded(run: Run, edge: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the client's address, from however many ports of load balancers."""
    monkeypatch.setattr(in_flight, "MAX_WAITERS", 1000)

    async def body() -> None:
        async with edge(fake.drop, access=ACCESS, upstream={"max_in_flight_per_client": 4}) as (e, _):
            e.listener.trust(BALANCERS)
            socks = [e.client() for _ in range(12)]
            for sock in socks:
                sock.send(header(NORTH) + query_wire("www.example"))
            await until(lambda: e.count("queries_total") == 12)
            assert e.count("dropped_total", "waiters_limit") == 8
            e.client().send(header(FREE) + query_wire("www.example"))
            await until(lambda: e.count("queries_total") == 13)
            assert e.count("dropped_total", "waiters_limit") == 8

    run(body())


def test_the_monitor_log_names_the_client(run: Run, edge: Open, caplog: pytest.LogCaptureFixture) -> None:
    """If it may name clients at all."""
    caplog.set_level(logging.INFO)

    async def body() -> None:
        blockset = make_blockset({"watch": "watched.example"})
        sections = {"access": ACCESS, "log": {"clients": True}, **FEEDS}
        async with edge(fake.answer(TRUE), blockset=blockset, **sections) as (e, _):
            e.listener.trust(BALANCERS)
            for client in (NORTH, FREE):  # forwarded, and from the cache
                assert answers(await ask(e, client, "watched.example")) == [TRUE]

    run(body())
    logged = [record.getMessage() for record in caplog.records if "watched.example" in record.getMessage()]
    assert len(logged) == 2
    assert NORTH in logged[0]
    assert FREE in logged[1]
    assert "127.0.0.1" not in caplog.text


@pytest.mark.parametrize(("means", "truncated"), [(STREAM, False), (DATAGRAM, True)])
def test_over_tcp_the_header_says_whether_the_address_is_proven(run: Run, edge: Open, means: int, *, truncated: bool) -> None:
    """A client that reached the load balancer over UDP has UDP's limits and UDP's answers, though it comes to us over TCP."""

    async def body() -> None:
        limit = {"queries_per_s": 1, "burst": 5, "verified_queries_per_s": 1000000}
        many = [f"192.0.2.{number}" for number in range(200)]
        async with edge(fake.answer(*many), access=ACCESS, rate_limit=limit) as (e, _), tcp_edge(e) as address:
            peer = Peer(*await asyncio.open_connection(*address))
            try:
                peer.writer.write(header(NORTH, means=means) + frame(query_wire("www.example")))
                first = await peer.receive()
                assert (read(first).header.tc, len(answers(first)) == 200) == (truncated, not truncated)
                wires = []
                for _ in range(20):
                    await asyncio.sleep(0.002)  # the clock of a loop may tick in milliseconds
                    wires.append(await peer.ask(query_wire("www.example")))
                assert any(len(wire) < 100 for wire in wires) is truncated
                assert e.count("queries_total", "udp") == (21 if truncated else 0)
            finally:
                peer.close()

    run(body())


@asynccontextmanager
async def tcp_edge(e: Edge) -> AsyncIterator[tuple[str, int]]:
    """Connections to the service of `e`, and their address."""
    sock = bind_tcp(Endpoint("127.0.0.1", 0))
    connections = TcpConnections(TcpLimits(), e.loop, e.stats)
    connections.trust(BALANCERS)
    listener = TcpListener(sock, e.service, connections)
    listener.start()
    try:
        yield sock.getsockname()
    finally:
        listener.close()
        connections.close()
        await asyncio.sleep(0.01)
