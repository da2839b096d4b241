"""DNS over TLS on real sockets: the answers of TCP, padded; certificates by name; tickets; client certificates."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress

import pytest

from pdns.config.addresses import Endpoint
from pdns.net.sockets import bind_tcp
from pdns.net.tcp import TcpConnections, TcpListener
from pdns.net.tcp_limits import TcpLimits
from pdns.wire import protocol as p
from pdns.wire.framing import frame
from pdns.wire.padding import padded
from tests.blocksets import make_blockset
from tests.certificates import issue, revocations
from tests.fakes import upstream as fake
from tests.fakes.edges import until
from tests.fakes.encrypted import (
    EncryptedEdge,
    authority,
    client_context,
    encrypted_edge,
    secrets,
    served,
    ticket_keys,
)
from tests.fakes.tcp import Peer
from tests.fakes.udp_edge import FEEDS, SINKHOLE
from tests.protocol.conftest import Run
from tests.wire import answers, query_wire, read

TRUE = "192.0.2.7"


def tls_of(peer: Peer) -> ssl.SSLObject:
    tls = peer.writer.get_extra_info("ssl_object")
    assert isinstance(tls, ssl.SSLObject)
    return tls


async def over_tcp(edge: EncryptedEdge, wires: list[bytes]) -> list[bytes]:
    """The answers of the same service over TCP."""
    connections = TcpConnections(TcpLimits(), edge.loop, edge.stats)
    sock = bind_tcp(Endpoint("127.0.0.1", 0))
    listener = TcpListener(sock, edge.service, connections)
    listener.start()
    peer = Peer(*await asyncio.open_connection(*sock.getsockname()))
    try:
        return [await peer.ask(wire) for wire in wires]
    finally:
        peer.close()
        listener.close()
        connections.close()


def test_answers_are_those_of_tcp_padded(run: Run) -> None:
    """Forwarded, cached, blocked, refused questions and broken ones; without EDNS, nothing is padded."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE), blockset=make_blockset({"alpha": "malware.example"}), **FEEDS) as edge:
            wires = [
                query_wire(name, query_id=number, edns=edns)
                for edns in (1232, None)
                for number, name in enumerate(["www.example", "www.example", "malware.example", "malware.example"])
            ]
            wires.append(query_wire("www.example")[:-1])
            peer = await edge.open()
            got = [await peer.ask(wire) for wire in wires]
            assert answers(got[0]) == [TRUE]
            assert answers(got[2]) == [SINKHOLE]
            assert got == [padded(wire) for wire in await over_tcp(edge, wires)]
            assert {len(wire) % 468 for wire in got[:4]} == {0}
            assert edge.count("queries_total", "tls") == 8

    run(body())


def test_padding_can_be_switched_off(run: Run) -> None:
    """Hits and misses then have their own sizes."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE)) as edge:
            edge.connections.apply(edge.connections.limits._replace(pads=False))
            peer = await edge.open()
            sizes = {len(await peer.ask(query_wire("www.example"))) for _ in range(2)}
            assert len(sizes) == 1
            assert sizes.pop() < 100

    run(body())


@pytest.mark.parametrize("size", [1, 2, 3, 50, 10_000])
def test_any_split_of_the_bytes_gives_the_same_answers(run: Run, size: int) -> None:
    """Each part is a record of its own."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE)) as edge:
            wires = [query_wire(f"w{number % 3}.example", query_id=number) for number in range(9)]
            peer = await edge.open()
            stream = b"".join(map(frame, wires))
            for at in range(0, len(stream), size):
                peer.writer.write(stream[at : at + size])
                await asyncio.sleep(0)
            got = {read(wire).header.id: wire for wire in [await peer.receive() for _ in wires]}
            assert sorted(got) == list(range(9))
            assert {tuple(answers(wire)) for wire in got.values()} == {(TRUE,)}

    run(body())


def test_many_questions_at_once_are_all_answered(run: Run) -> None:
    """More than a turn takes, more than may be outstanding, hits and misses mixed."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE), upstream={"max_in_flight_per_client": 2000}) as edge:
            peers = [await edge.open() for _ in range(3)]
            for peer in peers:
                peer.send(*[query_wire(f"w{number % 150}.example", query_id=number) for number in range(1000)])
            for peer in peers:
                ids = [read(await peer.receive()).header.id for _ in range(1000)]
                assert sorted(ids) == list(range(1000))

    run(body())


def test_a_connection_that_is_busy_alone(run: Run) -> None:
    """The loop watches it by itself after a while; others are served beside it, and it may flood, close, or stay till the end."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE)) as edge:
            for end in ("flood", "close", "others", "stay"):
                alone = await edge.open()
                for number in range(60):
                    assert answers(await alone.ask(query_wire("www.example", query_id=number))) == [TRUE]
                if end == "flood":
                    alone.send(*[query_wire("www.example", query_id=number) for number in range(2000)])
                    assert len({(await alone.receive())[:2] for _ in range(2000)}) == 2000
                if end == "others":
                    for _ in range(40):
                        other = await edge.open()
                        assert answers(await other.ask(query_wire("www.example"))) == [TRUE]
                        other.close()
                if end != "close":
                    assert answers(await alone.ask(query_wire("new.example"))) == [TRUE]
                if end != "stay":
                    alone.close()
                    await until(lambda: len(edge.connections) == 0)

    run(body())


def test_who_closes_its_side_gets_its_answers_first(run: Run) -> None:
    """With close_notify, and then the end of the stream."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE)) as edge:
            peer = await edge.open()
            peer.send(query_wire("www.example"), query_wire("late.example", query_id=2))
            peer.writer.close()
            await until(lambda: len(edge.connections) == 0)
            assert edge.count("responses_total") == 2
            assert edge.count("dropped_total") == 0

    run(body())


def test_a_message_shorter_than_a_header_ends_the_connection(run: Run) -> None:
    """What was asked before is answered; what follows is not read."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE)) as edge:
            peer = await edge.open()
            peer.writer.write(frame(query_wire("www.example")) + frame(b"GET / HTTP") + frame(query_wire("www.example")))
            received = await peer.rest()
            assert received[2:].count(query_wire("www.example")[12:29]) == 1
            assert edge.count("dropped_total", "encrypted_no_header") == 1

    run(body())


def test_versions_and_protocols(run: Run) -> None:
    """TLS 1.2 and 1.3, ALPN `dot` or none. Others only: an alert, which is counted. TLS 1.1: none at all."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE)) as edge:
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                for protocols in (("dot",), ("http/1.1", "dot"), ()):
                    context = client_context(protocols=protocols)
                    context.minimum_version = context.maximum_version = version
                    peer = await edge.open(context)
                    assert answers(await peer.ask(query_wire("www.example"))) == [TRUE]
                    assert tls_of(peer).selected_alpn_protocol() == ("dot" if protocols else None)
                    assert tls_of(peer).version() == version.name.replace("TLSv1_", "TLSv1.")
                    assert tls_of(peer).compression() is None
            with pytest.raises(ssl.SSLError, match="no application protocol"):
                await edge.open(client_context(protocols=("h2",)))
            await until(lambda: edge.count("dropped_total", "encrypted_no_protocol") == 1)
            old = client_context()
            with pytest.warns(DeprecationWarning, match="deprecated"):
                old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
            old.set_ciphers("ALL:@SECLEVEL=0")
            with pytest.raises(ssl.SSLError):
                await edge.open(old)
            await until(lambda: edge.count("dropped_total", "encrypted_handshake_failed") == 1)

    run(body())


def test_the_certificate_is_chosen_by_name(run: Run) -> None:
    """The first one where none carries the name. A wildcard is for one label."""

    async def body() -> None:
        issued = served("first.example"), served("second.example"), served("*.wild.example")
        async with encrypted_edge(fake.answer(TRUE), given=secrets(*issued)) as edge:
            context = client_context()
            context.check_hostname = False
            for name, wanted in (
                ("first.example", 0), ("second.example", 1), ("SECOND.example", 1), ("a.wild.example", 2),
                ("a.b.wild.example", 0), ("unknown.example", 0), ("127.0.0.1", 0),
            ):  # fmt: skip
                peer = await edge.open(context, name)
                assert ssl.DER_cert_to_PEM_cert(tls_of(peer).getpeercert(True) or b"").encode() == issued[wanted].cert_pem, name
                assert answers(await peer.ask(query_wire("www.example"))) == [TRUE]

    run(body())


def test_new_certificates_are_for_new_connections(run: Run) -> None:
    """Those that are open go on. What OpenSSL cannot use changes nothing."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE)) as edge:
            before = await edge.open()
            renewed = issue(("dns.example",), issuer=authority())
            edge.connections.take_secrets(secrets(renewed), (edge.section,))
            after = await edge.open()
            assert tls_of(before).getpeercert(True) != tls_of(after).getpeercert(True)
            broken = secrets(renewed._replace(key=served().key))
            with pytest.raises(ValueError, match="key"):
                edge.connections.take_secrets(broken, (edge.section,))
            for peer in (before, after, await edge.open()):
                assert answers(await peer.ask(query_wire("www.example"))) == [TRUE]

    run(body())


Session = ssl.SSLSession | None


async def resumed(edge: EncryptedEdge, context: ssl.SSLContext, session: Session) -> tuple[bool, Session]:
    """Whether `session` was resumed, and the session to resume next. asyncio cannot do it: a thread asks."""

    def talk() -> tuple[bool, Session]:
        with (
            socket.create_connection(("127.0.0.1", edge.port), 30) as sock,
            context.wrap_socket(sock, server_hostname="dns.example", session=session) as tls,
        ):
            tls.sendall(frame(query_wire("www.example")))
            tls.recv(4096)
            return bool(tls.session_reused), tls.session

    return await asyncio.to_thread(talk)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tickets_outlive_certificates_and_older_keys(run: Run, version: ssl.TLSVersion) -> None:
    """Another worker, or a renewed context, resumes by the same key; an older key still does; a dropped one does not."""

    async def body() -> None:
        first, second, third = ticket_keys(3)
        context = client_context()
        context.minimum_version = context.maximum_version = version
        async with encrypted_edge(fake.answer(TRUE), given=secrets(keys=(first,))) as edge:
            was, session = await resumed(edge, context, None)
            assert not was
            was, session = await resumed(edge, context, session)
            assert was
            edge.connections.take_secrets(secrets(keys=(second, first)), (edge.section,))
            was, newer = await resumed(edge, context, session)
            assert was
            edge.connections.take_secrets(secrets(keys=(third, second)), (edge.section,))
            assert not (await resumed(edge, context, session))[0]
            assert (await resumed(edge, context, newer))[0]
            edge.connections.take_secrets(secrets(keys=()), (edge.section,))
            assert not (await resumed(edge, context, newer))[0]

    run(body())


def test_each_connection_has_the_name_that_it_asked_for(run: Run) -> None:
    """Whatever the ones before it asked for."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE)) as edge:
            found = []
            for name in ("West.dns.example", "west.dns.example", "east.dns.example", "", "east.dns.example"):
                context = client_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                peer = await edge.open(context, name)
                await peer.ask(query_wire("www.example"))
                *_, stream = edge.connections._table
                found.append(stream.credential.server_name)  # type: ignore[attr-defined]
            assert found == ["west.dns.example", "west.dns.example", "east.dns.example", "", "east.dns.example"]
            await until(lambda: edge.count("encrypted_connections", "tls") == len(found))

    run(body())


def test_client_certificates(run: Run) -> None:
    """Optional: with or without; required: with. One of another authority, or revoked, is refused. No session is resumed."""

    async def body() -> None:
        ours, revoked = issue(("laptop",), issuer=authority()), issue(("stolen",), issuer=authority())
        stranger = issue(("laptop",), issuer=issue((), authority=True, subject="another"))
        given = secrets(client_ca_pem=authority().cert_pem, client_crl_pem=revocations(authority(), revoked))
        for kind in ("optional", "required"):
            async with encrypted_edge(fake.answer(TRUE), given=given, listener={"client_certificate": kind}) as edge:
                peer = await edge.open(client_context(shown=ours))
                assert read(await peer.ask(query_wire("www.example"))).header.rcode == p.REFUSED  # of no tenant
                (stream,) = edge.connections._table
                assert stream.credential.certificate_sha256.hex() == ours.sha256  # type: ignore[attr-defined]
                assert stream.credential.server_name == "dns.example"  # type: ignore[attr-defined]
                for shown in (stranger, revoked, *([None] if kind == "required" else [])):
                    before = edge.count("dropped_total", "encrypted_handshake_failed")
                    bad = await edge.open(client_context(shown=shown))
                    with suppress(ssl.SSLError):  # the alert
                        assert await bad.rest() == b""
                    await until(lambda: edge.count("dropped_total", "encrypted_handshake_failed") == before + 1)  # noqa: B023
                if kind == "optional":
                    assert answers(await (await edge.open()).ask(query_wire("www.example"))) == [TRUE]
                _, session = await resumed(edge, client_context(shown=ours), None)
                assert session is None or not session.has_ticket

    run(body())


def test_strangers_are_refused(run: Run) -> None:
    """Access is decided by address as over TCP, and who floods is made to rest without harm to others."""

    async def body() -> None:
        async with encrypted_edge(fake.answer(TRUE), access={"networks": ["198.51.100.0/24"]}) as edge:
            peer = await edge.open()
            peer.send(*[query_wire("www.example", query_id=number) for number in range(200)])
            assert {read(await peer.receive()).header.rcode for _ in range(200)} == {p.REFUSED}

    run(body())
