"""DNS over QUIC on a real socket: what clients may do, and what becomes of those that do something else."""

from __future__ import annotations

import asyncio
import random
import socket
from typing import Any

import dns.message
import dns.rcode
import pytest

from pdns.ipc.relay_frames import RelayAnswer, pack_answer
from pdns.quic import clients as clients_module
from pdns.quic.connection_ids import CONNECTION_ID_BYTES
from pdns.quic.doq import DoqErrorCode, framed
from tests.fakes.quic import LIMITS, QUERY, FakeWorker, QuicEdge, StreamClient, connected, reply_of, run, silent, without_answer


def test_queries_are_answered_with_what_is_known_of_the_client() -> None:
    """Twenty at once on one connection; the worker sees address, port and server name."""

    async def scene(edge: QuicEdge) -> None:
        async with connected(edge.port) as client:
            answers = await asyncio.gather(*(client.ask(QUERY) for _ in range(20)))
            assert set(answers) == {reply_of(edge.worker.queries[0]).message}
        assert {(one.client.address, one.client.server_name) for one in edge.worker.queries} == {("127.0.0.1", "dns.example")}
        assert edge.count("quic_handshakes_total", "quic", "completed") == 1

    run(scene)


@pytest.mark.parametrize(
    "data", [framed(b"\0\1" + QUERY[2:]), framed(QUERY) * 2, framed(QUERY)[:-1], framed(bytes(5)), b"", b"\0"]
)
def test_a_client_that_breaks_the_protocol_is_told_so(data: bytes) -> None:
    """The connection ends with DOQ_PROTOCOL_ERROR (RFC 9250, 4.3.3), and no worker hears of it."""

    async def scene(edge: QuicEdge) -> None:
        async with connected(edge.port) as client:
            client.put(data)
            await client.until(lambda: client.closed is not None)
            assert client.closed == DoqErrorCode.PROTOCOL_ERROR
        assert edge.worker.queries == []

    run(scene)


def test_a_message_may_come_byte_by_byte() -> None:
    """A stream that is slow and ends is answered."""

    async def scene(edge: QuicEdge) -> None:
        async with connected(edge.port) as client:
            data = framed(QUERY)
            stream_id = client.put(data[:1], end=False)
            for at in range(1, len(data)):
                client.put(data[at : at + 1], end=at + 1 == len(data), stream_id=stream_id)
            await client.until(lambda: stream_id in client.ended)
            assert client.data[stream_id][2:] == reply_of(edge.worker.queries[0]).message

    run(scene)


def test_stalled_streams_are_bounded_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte on each of as many streams as a client may open (CVE-2025-47950): no more can be opened, another client is
    answered meanwhile, and the connection ends with DOQ_EXCESSIVE_LOAD when its time is over.
    """
    monkeypatch.setattr(clients_module, "STALLED_S", 0.3)

    async def scene(edge: QuicEdge) -> None:
        async with connected(edge.port) as attacker, connected(edge.port) as other:
            for _ in range(LIMITS.max_streams + 30):
                attacker.put(b"\0", end=False)
            await asyncio.sleep(0.1)
            assert await other.ask(QUERY)
            assert max(len(client.quic._streams) for client in edge.clients._all) <= LIMITS.max_streams
            await asyncio.sleep(0.3)
            edge.clients.sweep()
            await attacker.until(lambda: attacker.closed is not None)
            assert attacker.closed == DoqErrorCode.EXCESSIVE_LOAD
            assert edge.count("quic_refused_total", "stalled") == 1
            assert await other.ask(QUERY)

    run(scene)


def test_streams_of_one_direction_are_refused() -> None:
    """RFC 9250, 5.6 (no such stream is allowed): the client cannot open one."""

    async def scene(edge: QuicEdge) -> None:
        async with connected(edge.port) as client:
            stream_id = client._quic.get_next_available_stream_id(is_unidirectional=True)
            client._quic.send_stream_data(stream_id, b"x")
            client.transmit()
            assert await client.ask(QUERY)
            assert client._quic._streams[stream_id].is_blocked

    run(scene)


def test_cancelled_queries_count_until_the_worker_is_done() -> None:
    """Streams that are opened and reset at once do not give workers more than a client may have open (Rapid Reset)."""

    async def scene(edge: QuicEdge) -> None:
        async with connected(edge.port) as client:
            for _ in range(200):
                stream_id = client.put(framed(QUERY))
                client._quic.reset_stream(stream_id, DoqErrorCode.REQUEST_CANCELLED)
                client._quic.stop_stream(stream_id, DoqErrorCode.REQUEST_CANCELLED)
                client.transmit()
                await asyncio.sleep(0)
            await asyncio.sleep(0.3)
            assert len(edge.worker.queries) <= LIMITS.max_streams

    run(scene, answer=silent)


def test_a_query_without_an_answer_is_reset() -> None:
    """A worker that says that there is none: DOQ_INTERNAL_ERROR, or DOQ_EXCESSIVE_LOAD for a client that asks too much."""

    async def scene(edge: QuicEdge) -> None:
        async with connected(edge.port) as client:
            for status, code in ((0, DoqErrorCode.INTERNAL_ERROR), (429, DoqErrorCode.EXCESSIVE_LOAD)):
                edge.worker.answer = without_answer(status)
                assert await client.ask(QUERY) == b""
                assert [*client.ended.values()][-1] == code

    run(scene)


def test_a_client_must_read_what_it_asks_for() -> None:
    """Answers that are not taken fill a bounded memory; then the connection ends."""

    async def scene(edge: QuicEdge) -> None:
        edge.worker.answer = lambda query: RelayAnswer(query.number, 0, 0, bytes(65000))
        async with connected(edge.port) as client:
            client._quic._write_stream_limits = lambda **_: None  # type: ignore[method-assign]
            client._quic._write_connection_limits = lambda **_: None  # type: ignore[method-assign]
            await edge_is_full(edge, client)
            assert edge.count("quic_refused_total", "unread_answers") == 1
            assert all(one._unread_bytes < 1 << 21 for one in edge.clients._all)

    async def edge_is_full(edge: QuicEdge, client: StreamClient) -> None:
        for _ in range(40):
            client._quic.close = lambda *_, **__: None  # type: ignore[method-assign]
            client.put(framed(QUERY))
            await asyncio.sleep(0.02)

    run(scene, limits=LIMITS._replace(max_streams=60))


def test_under_load_a_client_proves_its_address() -> None:
    """Retry (RFC 9000, 8.1.2): the client comes back with the token and is served; one that does not costs no memory."""

    async def scene(edge: QuicEdge) -> None:
        others: dict[Any, None] = {object(): None for _ in range(LIMITS.max_handshakes // 2)}
        edge.clients._in_handshake.update(others)
        async with connected(edge.port) as client:
            assert await client.ask(QUERY)
        assert edge.count("quic_retries_total") == 1
        assert edge.count("quic_handshakes_total", "quic", "completed") == 1

    run(scene)


def test_another_version_is_negotiated() -> None:
    """An Initial of an unknown version gets the list of ours; a short one, and a Version Negotiation, get nothing."""

    async def scene(edge: QuicEdge) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", edge.port))
            sock.setblocking(False)
            ids = b"\x08" + bytes(range(8)) + b"\x04" + b"abcd"
            sock.send(b"\xc0\x1a\x2a\x3a\x4a" + ids)  # too short to be answered
            sock.send(b"\xc0\0\0\0\0" + ids + bytes(1200))
            sock.send(b"\xc0\x1a\x2a\x3a\x4a" + ids + bytes(1200))
            await asyncio.sleep(0.2)
            answer = sock.recv(2048)
            assert answer[1:] == b"\0\0\0\0\x04abcd\x08" + bytes(range(8)) + b"\0\0\0\1"
            with pytest.raises(BlockingIOError):
                sock.recv(2048)
            assert (edge.count("quic_dropped_total", "other_version"), edge.count("quic_dropped_total", "not_quic")) == (1, 2)

    run(scene)


def test_the_client_of_a_process_that_died_is_told() -> None:
    """A datagram for a connection that is not there is answered with a stateless reset (RFC 9000, 10.3), within a rate."""

    async def scene(edge: QuicEdge) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", edge.port))
            sock.setblocking(False)
            gone = bytes([edge.ids.process]) + bytes(CONNECTION_ID_BYTES - 1)
            for _ in range(300):
                sock.send(b"\x40" + gone + bytes(60))
            await asyncio.sleep(0.3)
            answers = []
            while True:
                try:
                    answers.append(sock.recv(2048))
                except BlockingIOError:
                    break
            assert len(answers) == 100
            assert {one[-16:] for one in answers} == {edge.ids.reset_token(gone)}

    run(scene)


def test_garbage_costs_nothing_that_stays() -> None:
    """10,000 datagrams: random ones, and Initials with random and flipped content. No connection is left of them, and clients
    are served.
    """

    async def scene(edge: QuicEdge) -> None:
        chance = random.Random(2)
        initial = b"\xc3\0\0\0\1\x08" + bytes(range(8)) + b"\x08" + bytes(8) + b"\0\x44\x9e"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(("127.0.0.1", edge.port))
            for number in range(10000):
                if number % 10:
                    data = bytearray(chance.randbytes(chance.randrange(1, 200)))
                else:
                    data = bytearray(initial + chance.randbytes(1200 - len(initial)))
                    data[chance.randrange(len(initial))] ^= chance.randrange(1, 256)
                sock.send(data)
                if number % 100 == 0:
                    await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        async with connected(edge.port) as client:
            assert await client.ask(QUERY)
        assert len(edge.clients) <= 1
        assert edge.count("quic_refused_total", "internal_error") == 0

    run(scene)


def test_the_queries_of_a_worker_that_dies_go_to_another() -> None:
    """At once, without a timeout; without any worker left the client gets SERVFAIL."""

    async def scene(edge: QuicEdge) -> None:
        edge.worker.answer = lambda _: None
        async with connected(edge.port) as client:
            asked = asyncio.ensure_future(client.ask(QUERY))
            await client.until(lambda: edge.worker.queries)
            second = FakeWorker(edge.relay, 1, edge.loop, reply_of)
            edge.worker.close()
            assert await asked == reply_of(second.queries[0]).message
            second.close()
            await asyncio.sleep(0.1)
            asked = asyncio.ensure_future(client.ask(QUERY))
            await asyncio.sleep(0.1)
            edge.relay.check(edge.loop.time() + 3.0)
            answer = dns.message.from_wire(await asked)
            assert answer.rcode() == dns.rcode.SERVFAIL
            assert edge.count("quic_dropped_total", "no_worker") == 1

    run(scene)


def test_a_client_has_no_more_than_its_connections() -> None:
    """The longest idle one makes room, and is told."""

    async def scene(edge: QuicEdge) -> None:
        async with connected(edge.port) as first, connected(edge.port) as second:
            assert await second.ask(QUERY)
            async with connected(edge.port) as third:
                assert await third.ask(QUERY)
                await first.until(lambda: first.closed is not None)
                assert first.closed == DoqErrorCode.NO_ERROR
                assert await second.ask(QUERY)
        assert edge.count("quic_refused_total", "made_room") >= 1

    run(scene, limits=LIMITS._replace(max_per_client=2))


def test_idle_connections_and_slow_handshakes_end() -> None:
    """A connection without a query is closed in order; a handshake that is not over in time is forgotten."""

    async def scene(edge: QuicEdge) -> None:
        async with connected(edge.port) as client:
            edge.clients.limit(LIMITS._replace(idle_timeout_s=0.2))
            await asyncio.sleep(0.3)
            edge.clients.sweep()
            await client.until(lambda: client.closed is not None)
            assert client.closed == DoqErrorCode.NO_ERROR
        for one in edge.clients._all:
            edge.clients._in_handshake[one] = None
            one.created_s -= 100.0
        edge.clients.sweep()
        assert edge.clients._in_handshake == {}

    run(scene)


def test_a_drained_server_answers_what_was_asked_and_accepts_no_one() -> None:
    """The answer in flight arrives; then the connection ends with DOQ_NO_ERROR."""

    async def scene(edge: QuicEdge) -> None:
        edge.worker.answer = lambda _: None
        async with connected(edge.port) as client:
            asked = asyncio.ensure_future(client.ask(QUERY))
            await client.until(lambda: edge.worker.queries)
            edge.clients.drain()
            assert edge.clients.outstanding == 1
            reply = reply_of(edge.worker.queries[0])
            edge.worker.socket.send(pack_answer(reply.number, reply.message))
            assert await asked == reply.message
            edge.clients.close()
            await client.until(lambda: client.closed is not None)
            assert client.closed == DoqErrorCode.NO_ERROR

    run(scene)
