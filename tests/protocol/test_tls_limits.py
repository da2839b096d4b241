"""Encrypted connections within bounds: slow, idle, many, half-closed and hostile clients harm no other."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from contextlib import suppress

import pytest

from pdns.wire.framing import frame
from tests.fakes import upstream as fake
from tests.fakes.edges import until
from tests.fakes.encrypted import ROOMY, EncryptedEdge, client_context, encrypted_edge
from tests.fakes.tcp import Peer
from tests.protocol.conftest import Run
from tests.proxied import STREAM, header
from tests.wire import answers, query_wire

TRUE = "192.0.2.7"
HASTY = ROOMY._replace(handshake_timeout_s=0.3, idle_timeout_s=0.3)


def hello() -> bytes:
    """A ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = client_context().wrap_bio(incoming, outgoing, server_hostname="dns.example")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


async def ended(edge: EncryptedEdge, reason: str, count: int = 1) -> None:
    await until(lambda: edge.count("dropped_total", reason) >= count)


async def serves(edge: EncryptedEdge) -> None:
    """Another client is served."""
    peer = await edge.open()
    assert answers(await peer.ask(query_wire("www.example"))) == [TRUE]
    peer.writer.close()


@pytest.mark.parametrize("sent", [b"", b"\x16", b"hello", b"all but one"])
def test_a_handshake_that_does_not_end(run: Run, sent: bytes) -> None:
    """Nothing, a byte, a whole ClientHello and then silence, and all of it but one byte: after a while it is ended."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE), limits=HASTY) as edge:
            peer = await edge.open_plain()
            peer.writer.write(hello() if sent == b"hello" else hello()[:-1] if len(sent) > 5 else sent)
            await ended(edge, "encrypted_handshake_timeout")
            await peer.rest()
            await serves(edge)

    run(body())


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\n\r\n", bytes(100), os.urandom(100), b"\x16\x03\x01\xff\xff" + bytes(70000)],
    ids=["HTTP", "zeros", "noise", "a record too long"],
)
def test_what_is_not_tls(run: Run, sent: bytes) -> None:
    """An alert at most, and the end."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE)) as edge:
            peer = await edge.open_plain()
            peer.writer.write(sent)
            assert len(await peer.rest()) < 100
            await ended(edge, "encrypted_handshake_failed")
            await serves(edge)

    run(body())


def test_idle_connections_end_in_peace(run: Run) -> None:
    """With close_notify; one byte after the other is no activity, and is counted."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE), limits=HASTY) as edge:
            peer = await edge.open()
            await peer.ask(query_wire("www.example"))
            assert await peer.rest() == b""
            slow = await edge.open()

            async def drip() -> None:
                for byte in frame(query_wire("www.example"))[:-1]:
                    slow.writer.write(bytes([byte]))
                    await asyncio.sleep(0.03)

            dripping = asyncio.ensure_future(drip())
            assert await slow.rest() == b""
            dripping.cancel()
            assert edge.count("dropped_total", "encrypted_unfinished_message") == 1

    run(body())


def test_who_does_not_read_is_ended(run: Run) -> None:
    """Its answers take a bounded room meanwhile, and others are served."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE), limits=HASTY) as edge:
            peer = await edge.open()
            await peer.ask(query_wire("www.example"))
            peer.stop_reading()
            flood = b"".join(frame(query_wire("www.example", query_id=number)) for number in range(20000))
            peer.writer.write(flood)
            await serves(edge)
            await ended(edge, "encrypted_slow_reader")

    run(body())


def test_one_client_may_not_have_everything(run: Run) -> None:
    """Above its bound its own idle connections make room."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE), limits=ROOMY._replace(max_per_client=3)) as edge:
            peers = [await edge.open() for _ in range(3)]
            for peer in peers:
                await peer.ask(query_wire("www.example"))
            await peers[0].ask(query_wire("www.example"))
            more = await edge.open()
            await more.ask(query_wire("www.example"))
            assert edge.count("dropped_total", "encrypted_made_room") == 1
            assert len(edge.connections) == 3

    run(body())


def test_new_connections_of_a_client_have_a_rate(run: Run) -> None:
    """Those above it are reset before anything is spent on them; a second later it may connect again."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE), limits=ROOMY._replace(new_per_client_per_s=5)) as edge:
            for _ in range(20):
                peer = await edge.open_plain()
                peer.writer.write(b"\x16")
            await ended(edge, "encrypted_too_many_new", 10)
            await asyncio.sleep(1.2)
            await serves(edge)

    run(body())


def test_handshakes_have_a_bound(run: Run) -> None:
    """A client that begins many, and ends none, loses its own oldest ones. Others get theirs."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE), limits=ROOMY._replace(max_handshakes=8)) as edge:
            for _ in range(30):
                peer = await edge.open_plain()
                peer.writer.write(hello())
            await ended(edge, "encrypted_handshake_made_room", 28)
            await serves(edge)

    run(body())


@pytest.mark.parametrize(("version", "line"), [("-tls1_3", b"K\n"), ("-tls1_2", b"R\n")])
def test_a_client_may_not_keep_tls_busy(run: Run, version: str, line: bytes) -> None:
    """`openssl s_client` asks for new keys (TLS 1.3) or renegotiates (TLS 1.2) with each line: the connection ends."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE)) as edge:
            client = await asyncio.create_subprocess_exec(
                "openssl", "s_client", "-connect", f"127.0.0.1:{edge.port}", "-alpn", "dot", version,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            assert client.stdin is not None
            await until(lambda: len(edge.connections) == 1)
            with suppress(ConnectionError):
                for _ in range(1000):
                    client.stdin.write(line)
                    await asyncio.sleep(0.002)
                    if len(edge.connections) == 0:
                        break
            await until(lambda: len(edge.connections) == 0)
            client.stdin.close()
            await client.wait()
            assert edge.count("dropped_total", "encrypted_key_updates") == (version == "-tls1_3")
            await serves(edge)

    run(body())


async def drained(edge: EncryptedEdge) -> None:
    async with asyncio.timeout(30):
        await edge.connections.drained()


def test_the_end_loses_no_question(run: Run) -> None:
    """While a worker drains: what was asked is answered; what has connected may still ask once; the idle are closed."""

    async def body() -> None:
        async with encrypted_edge(fake.delayed(fake.answer(TRUE), 0.3)) as edge:
            idle, busy, new = [await edge.open() for _ in range(3)]
            await idle.ask(query_wire("www.example"))
            unread = await edge.open()
            unread.send(query_wire("www.example"))
            shaking = asyncio.ensure_future(edge.open())
            await until(lambda: len(edge.connections) == 5)
            busy.send(query_wire("slow.example"))
            await until(lambda: edge.service.in_flight() == 1)
            edge.listener.close()
            edge.connections.drain()
            assert await idle.rest() == b""
            assert answers(await unread.receive()) == [TRUE]
            assert answers(await busy.receive()) == [TRUE]
            assert answers(await new.ask(query_wire("www.example"))) == [TRUE]
            assert answers(await (await shaking).ask(query_wire("www.example"))) == [TRUE]
            for peer in (busy, new, unread):
                assert await peer.rest() == b""
            await drained(edge)
            assert edge.count("dropped_total") == 0

    run(body())


def test_who_says_nothing_does_not_hold_up_the_end(run: Run) -> None:
    """A second, then it is closed: connected, in its handshake's first second, or open without a question."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE), limits=ROOMY._replace(handshake_timeout_s=1.0)) as edge:
            await edge.open()
            (await edge.open_plain()).writer.write(hello())
            await until(lambda: len(edge.connections) == 2)
            edge.listener.close()
            edge.connections.drain()
            await drained(edge)

    run(body())


def test_a_load_balancer_names_its_client(run: Run) -> None:
    """The PROXY header stands before TLS, in pieces or not. Without one, or with a broken one, the connection ends."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE), access={"networks": ["198.51.100.0/24"]}) as edge:
            edge.connections.trust(("127.0.0.1/32",))
            for split in (1000, 1, 16):
                peer = await _behind(edge, header("198.51.100.7", means=STREAM), split)
                assert answers(await peer.ask(query_wire("www.example"))) == [TRUE]
                (stream,) = edge.connections._table
                assert (stream.address, stream.key) == ("198.51.100.7", "198.51.100.7")
                peer.close()
                await until(lambda: len(edge.connections) == 0)
            for sent, reason in (
                (hello(), "proxy_no_header"), (b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "proxy_version"),
                (header("")[:10], "proxy_unfinished"),
            ):  # fmt: skip
                bad = await edge.open_plain()
                bad.writer.write(sent)
                if reason == "proxy_unfinished":
                    bad.writer.write_eof()
                await ended(edge, reason)

    run(body())


async def _behind(edge: EncryptedEdge, head: bytes, split: int) -> Peer:
    sock = socket.create_connection(("127.0.0.1", edge.port))
    sock.setblocking(False)
    for at in range(0, len(head), split):
        await edge.loop.sock_sendall(sock, head[at : at + split])
        await asyncio.sleep(0.002)
    peer = Peer(*await asyncio.open_connection(sock=sock, ssl=client_context(), server_hostname="dns.example"))
    edge.peers.append(peer)
    return peer
