"""DNS over HTTPS with real sockets and TLS: queries, refusals, tenants, attacks and ends."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import dns.message
import pytest

from pdns.net.encrypted_limits import EncryptedLimits
from pdns.wire.doh import HTTP_1_RESPONSE
from tests.fakes import upstream as fake
from tests.fakes.edges import until
from tests.fakes.encrypted import EncryptedEdge, client_context, encrypted_edge
from tests.fakes.loops import on_both_loops, run_on
from tests.fakes.tcp import PATIENCE_S, Peer
from tests.http2frames import DATA, END_STREAM, Responses, frame, get, headers, post, reset, start, window_update

H2 = client_context(protocols=("h2",))
SLOW = {"slow.example": fake.drop}


def query(name: str = "www.example.com", *, edns: bool = False) -> bytes:
    return dns.message.make_query(name, "A", id=0, use_edns=0 if edns else -1).to_wire()


class HttpsPeer:
    """A client of DNS over HTTPS."""

    def __init__(self, peer: Peer, *settings: tuple[int, int]) -> None:
        self.peer, self.responses = peer, Responses()
        self.send(start(*settings))

    def send(self, *wires: bytes) -> None:
        self.peer.writer.write(b"".join(wires))

    async def ended(self, *streams: int) -> Responses:
        """Return when all of these have their response, or were reset."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.responses.ended | self.responses.resets.keys() >= set(streams):
                data = await self.peer.reader.read(65536)
                assert data, self.responses.goaway
                self.responses.feed(data)
        return self.responses

    async def closed(self) -> Responses:
        """Return when the connection is over."""
        self.responses.feed(await self.peer.rest())
        return self.responses


@asynccontextmanager
async def https_edge(*handlers: fake.Handler, **more: Any) -> AsyncIterator[EncryptedEdge]:
    async with encrypted_edge(*handlers or (fake.by_name(SLOW, fake.answer()),), listener={"transport": "https"}, **more) as edge:
        yield edge


async def client_of(edge: EncryptedEdge, *settings: tuple[int, int]) -> HttpsPeer:
    return HttpsPeer(await edge.open(H2), *settings)


@on_both_loops
def test_queries_are_answered(loop: str) -> None:
    """By both methods, misses and hits, many streams at a time; each on its own stream, with the lifetime of its answer."""

    async def main() -> None:
        async with https_edge() as edge:
            client = await client_of(edge)
            names = [f"n{number}.example.com" for number in range(20)]
            for begin in (1, 1001):  # misses, then hits
                streams = range(begin, begin + 80, 4)
                client.send(*(headers(stream, get(message=query(name))) for stream, name in zip(streams, names, strict=True)))
                client.send(headers(begin + 90, post(), ends=False), frame(DATA, END_STREAM, begin + 90, query(names[0])))
                responses = await client.ended(*streams, begin + 90)
                for stream, name in zip((*streams, begin + 90), (*names, names[0]), strict=True):
                    answer = dns.message.from_wire(responses.bodies[stream])
                    assert (answer.question[0].name.to_text(), answer.answer[0][0].to_text()) == (name + ".", "192.0.2.7")
                    assert responses.status(stream) == 200
                    assert responses.fields[stream][b"cache-control"] == b"private, max-age=300"
            assert edge.count("queries_total", "https") == 42
            assert edge.count("dropped_total") == 0

    run_on(loop, main())


def test_answers_are_padded() -> None:
    """As on every encrypted transport, when the query has EDNS (RFC 8467)."""

    async def main() -> None:
        async with https_edge() as edge:
            client = await client_of(edge)
            for stream, edns in ((1, True), (3, True), (5, False)):  # a miss and two hits
                client.send(headers(stream, get(message=query(edns=edns))))
                responses = await client.ended(stream)
                assert (len(responses.bodies[stream]) == 468) == edns

    run_on("uvloop", main())


def test_requests_are_refused() -> None:
    """With their status; the connection stays. What is silence elsewhere is an error here: no stream waits for ever."""

    async def main() -> None:
        async with https_edge() as edge:
            client = await client_of(edge)
            client.send(
                headers(1, get(b"/other", query())),
                headers(3, get(b"/dns-query?name=www.example.com")),
                headers(5, [(b":method", b"PUT"), *get(message=query())[1:]]),
                headers(7, [*post()[:4], (b"content-type", b"text/plain")]),
                headers(9, get(message=b"\0\0\x80" + bytes(20))),  # a response
                headers(11, get(message=query())),
            )
            responses = await client.ended(1, 3, 5, 7, 9, 11)
            assert [responses.status(stream) for stream in (1, 3, 5, 7, 9, 11)] == [404, 400, 405, 415, 400, 200]
            await until(lambda: edge.count("dropped_total", "doh_400") == 2)
            assert edge.count("dropped_total", "doh_404") == 1

    run_on("uvloop", main())


def test_a_flood_of_refused_requests_gets_its_turns() -> None:
    """After some of them the client rests, so that others are served meanwhile."""

    async def main() -> None:
        async with https_edge() as edge:
            good, bad = await client_of(edge), await client_of(edge)
            streams = range(1, 2001, 2)
            began_s = edge.loop.time()
            for begin in range(0, 1000, 100):
                bad.send(*(headers(stream, get(b"/other")) for stream in streams[begin : begin + 100]))
                responses = await bad.ended(*streams[begin : begin + 100])
            assert edge.loop.time() - began_s >= 0.1  # it rested after each of them
            assert {responses.status(stream) for stream in streams} == {404}
            good.send(headers(1, get(message=query())))
            assert (await good.ended(1)).status(1) == 200

    run_on("uvloop", main())


def test_a_limit_of_queries_is_said() -> None:
    """Where other transports are silent, the status is 429; after some of them the client's turn comes later."""

    async def main() -> None:
        limit = {"queries_per_s": 1, "verified_queries_per_s": 1, "burst": 5, "action": "drop"}
        async with https_edge(rate_limit=limit) as edge:
            client = await client_of(edge)
            client.send(*(headers(stream, get(message=query())) for stream in range(1, 101, 2)))
            responses = await client.ended(*range(1, 101, 2))
            statuses = {responses.status(stream) for stream in range(1, 101, 2)}
            assert statuses == {200, 429}

    run_on("uvloop", main())


def test_a_miss_whose_stream_is_gone_hurts_no_other() -> None:
    """Its answer is dropped and cached; other streams of the connection get theirs."""

    async def main() -> None:
        async with https_edge(fake.delayed(fake.answer(), 0.2)) as edge:
            client = await client_of(edge)
            client.send(headers(1, get(message=query("a.example"))), headers(3, get(message=query("b.example"))))
            await until(lambda: edge.count("queries_total") == 2)
            client.send(reset(1))
            assert (await client.ended(3)).status(3) == 200
            assert 1 not in client.responses.fields
            client.send(headers(5, get(message=query("a.example"))))
            assert (await client.ended(5)).status(5) == 200

    run_on("uvloop", main())


def made_resets() -> Iterable[bytes]:
    return (
        headers(stream, get(message=query("slow.example"))) + window_update(stream, (1 << 31) - 1)
        for stream in itertools.count(1, 2)
    )


def rapid_resets() -> Iterable[bytes]:
    return (headers(stream, get(message=query("slow.example"))) + reset(stream) for stream in itertools.count(1, 2))


@pytest.mark.parametrize(
    ("attack", "reasons"), [(made_resets, {"h2_invalid_frames", "h2_abandoned"}), (rapid_resets, {"h2_resets", "h2_abandoned"})]
)
def test_an_attack_ends_its_connection(attack: Any, reasons: set[str]) -> None:
    """With GOAWAY, counted under its reason; a client beside it is served."""

    async def main() -> None:
        async with https_edge() as edge:
            good, bad = await client_of(edge), await client_of(edge)
            bad.send(*itertools.islice(attack(), 400))
            responses = await bad.closed()
            assert responses.goaway == 11
            assert sum(edge.count("dropped_total", reason) for reason in reasons) == 1
            good.send(headers(1, get(message=query())))
            assert (await good.ended(1)).status(1) == 200

    run_on("uvloop", main())


def test_slow_requests_and_answers_end() -> None:
    """A body that does not come, and windows of zero: each ends by the clock of the sweep."""

    async def main() -> None:
        async with https_edge(limits=EncryptedLimits(idle_timeout_s=120.0)) as edge:
            slow, deaf = await client_of(edge), await client_of(edge, (4, 0))
            slow.send(headers(1, post(), ends=False), frame(DATA, 0, 1, bytes(100)))
            deaf.send(headers(1, get(message=query())))
            assert (await slow.closed()).goaway == 11
            assert (await deaf.closed()).goaway == 11
            assert edge.count("dropped_total", "h2_slow_request") == 1
            assert edge.count("dropped_total", "h2_stalled_answer") == 1

    run_on("uvloop", main())


@pytest.mark.parametrize("protocols", [(), ("http/1.1",), ("h2",)])
def test_http_1_gets_a_text_and_the_end(protocols: tuple[str, ...]) -> None:
    """Whatever was agreed in the handshake."""

    async def main() -> None:
        async with https_edge() as edge:
            peer = await edge.open(client_context(protocols=protocols))
            peer.writer.write(b"GET /dns-query?dns=AAAB HTTP/1.1\r\nHost: dns.example\r\n\r\n")
            assert await peer.rest() == HTTP_1_RESPONSE
            assert edge.count("dropped_total", "h2_http_1") == 1

    run_on("uvloop", main())


def test_a_drain_answers_what_was_asked() -> None:
    """GOAWAY, the answer that was under way, and the end."""

    async def main() -> None:
        async with https_edge(fake.delayed(fake.answer(), 0.3)) as edge:
            client = await client_of(edge)
            client.send(headers(1, get(message=query())))
            await until(lambda: edge.count("queries_total") == 1)
            edge.connections.drain()
            responses = await client.closed()
            assert (responses.goaway, responses.status(1), 1 in responses.ended) == (0, 200, True)
            await edge.connections.drained()

    run_on("uvloop", main())


def test_more_misses_than_streams_wait() -> None:
    """A client that asks more than it may is answered all the same, in time."""

    async def main() -> None:
        async with https_edge(limits=EncryptedLimits(max_outstanding=4)) as edge:
            client = await client_of(edge)
            streams = range(1, 121, 2)
            client.send(*(headers(stream, get(message=query(f"n{stream}.example"))) for stream in streams))
            responses = await client.ended(*streams)
            assert {responses.status(stream) for stream in streams} == {200}

    run_on("uvloop", main())
