"""Who asks for a published zone may be no friend: strangers, malformed messages, slow readers, many connections."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.zone
import pytest

from feeds.fetch.tsig import tsig_key
from feeds.publish import server
from tests.integration.secondaries import KEY_NAME, ORIGIN, SECRET, Primary, records_of, serial_of, transferred

NAMES = {f"n{number}.example" for number in range(8_000)}


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[Primary]:
    """A zone that takes many messages."""
    with Primary(tmp_path / "primary") as started:
        started.publish(NAMES)
        yield started


def asks(port: int, *, small_window: bool = False) -> socket.socket:
    """A connection with a request for the whole zone; nothing of the answer is read."""
    sock = socket.socket()
    if small_window:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(60)
    sock.connect(("127.0.0.1", port))
    wire = dns.message.make_query(ORIGIN, "AXFR").to_wire()
    sock.sendall(struct.pack("!H", len(wire)) + wire)
    return sock


def read_zone(sock: socket.socket) -> dns.zone.Zone:
    """The rest of the answer that `asks` began."""
    with sock, sock.makefile("rb") as file:
        messages = []
        soas = 0
        while soas < 2:
            messages.append(dns.message.from_wire(file.read(int.from_bytes(file.read(2))), xfr=True, one_rr_per_rrset=True))
            soas += sum(rrset.rdtype == 6 for rrset in messages[-1].answer)
    return dns.zone.from_xfr(iter(messages), relativize=False)


def test_a_transfer_is_one_version(primary: Primary) -> None:
    """The zone changes completely while a slow secondary reads it: it gets the version that it began with, whole."""
    before, serial = transferred(primary.port), primary.serial
    with asks(primary.port, small_window=True) as sock:
        time.sleep(0.2)
        primary.publish({"other.example"})
        primary.publish({"another.example"})
        zone = read_zone(sock)
    assert records_of(zone) == before
    assert zone.get_soa().serial == serial
    assert primary.serial == serial + 2
    assert len(transferred(primary.port)) == 3


def test_slow_readers_hold_no_memory(primary: Primary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers that read nothing: others are served meanwhile, little is buffered for each, and each ends after a while."""
    monkeypatch.setattr(server, "MESSAGE_WITHIN_S", 600.0)
    with ExitStack() as stack:
        slow = [stack.enter_context(asks(primary.port, small_window=True)) for _ in range(8)]
        time.sleep(0.3)
        assert len(transferred(primary.port)) == 2 * len(NAMES) + 1
        assert primary.count("axfr", "failed") == 0
    wait_until(lambda: primary.count("axfr", "failed") == len(slow))
    monkeypatch.setattr(server, "MESSAGE_WITHIN_S", 1.0)  # for slow readers alone: others may be slow for so long
    with ExitStack() as stack:
        slow += [stack.enter_context(asks(primary.port, small_window=True)) for _ in range(8)]
        wait_until(lambda: primary.count("axfr", "failed") == len(slow))
        for sock in slow[8:]:
            received = 0
            while data := receive(sock):
                received += len(data)
            assert received < 6_000_000
    assert serial_of(primary.port) == primary.serial


def receive(sock: socket.socket) -> bytes:
    time.sleep(0.001)
    try:
        return sock.recv(65536)
    except ConnectionError:
        return b""


def wait_until(condition: object) -> None:
    until_s = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until_s
        time.sleep(0.05)


def test_many_connections_are_bounded(primary: Primary) -> None:
    """One address gets so many connections; those beyond are closed, and the others still work."""
    with ExitStack() as stack:
        socks = [stack.enter_context(socket.create_connection(("127.0.0.1", primary.port), 60)) for _ in range(100)]
        wait_until(lambda: primary.server.refused["connections"] >= 100 - server.MOST_OF_ADDRESS)
        wire = dns.message.make_query(ORIGIN, "SOA").to_wire()
        answered = 0
        for sock in socks:
            try:
                sock.sendall(struct.pack("!H", len(wire)) + wire)
                answered += bool(sock.recv(2))
            except ConnectionError:
                pass
        assert answered == server.MOST_OF_ADDRESS
    wait_until(lambda: not primary.server._connections)
    assert len(transferred(primary.port)) == 2 * len(NAMES) + 1


def test_strangers_are_refused(tmp_path: Path) -> None:
    """An address that is not in allow_transfer: REFUSED over both transports, for every type, and counted."""
    with Primary(tmp_path / "primary") as primary:
        primary.publish({"bad.example"})
        primary._run(primary.server.configure([strict(primary)], [f"127.0.0.1:{primary.port}"]))
        for qtype in ("SOA", "AXFR", "IXFR", "A"):
            query: dns.message.Message = dns.message.make_query(ORIGIN, qtype)
            if qtype == "IXFR":
                query = dns.message.from_wire(ixfr_wire(1))
            for send in (dns.query.udp, dns.query.tcp):
                assert send(query, "127.0.0.1", port=primary.port, timeout=60).rcode() == dns.rcode.REFUSED
        assert primary.server.refused["stranger"] == 8
        assert primary.count("axfr", "refused") == 2


def strict(primary: Primary) -> server.ServedZone:
    from pdns.config.addresses import parse_network  # noqa: PLC0415
    from pdns.wire.names import from_text  # noqa: PLC0415

    networks = (parse_network("192.0.2.0/24"),)
    return server.ServedZone(primary.settings, from_text(ORIGIN), primary.versions, networks, primary.key)


def ixfr_wire(serial: int) -> bytes:
    query = dns.message.make_query(ORIGIN, "IXFR")
    soa = query.find_rrset(query.authority, query.question[0].name, dns.rdataclass.IN, dns.rdatatype.SOA, create=True)
    soa.add(dns.rdata.from_text("IN", "SOA", f". . {serial} 0 0 0 0"))
    return query.to_wire()


def test_malformed_messages_change_nothing(tmp_path: Path) -> None:
    """Thousands of changed requests, with and without a signature: each gets a short answer or none, and the server goes on."""
    draw = random.Random(1)
    with Primary(tmp_path / "primary", secret=SECRET) as primary:
        primary.publish({"bad.example"})
        signed = dns.message.make_query(ORIGIN, "AXFR")
        signed.use_tsig(primary.key)
        for wire in (signed.to_wire(), ixfr_wire(primary.serial)):
            for _ in range(1500):
                changed = bytearray(wire[: draw.randrange(len(wire) + 1)] if draw.random() < 0.3 else wire)
                for _ in range(draw.randrange(4)):
                    if changed:
                        changed[draw.randrange(len(changed))] = draw.randrange(256)
                answer = primary.server.on_datagram(bytes(changed), "127.0.0.1")
                assert answer is None or len(answer) < 300
        assert primary.count("axfr", "whole") == 0
        assert primary.server.refused["signature"] > 0
        assert primary.server.refused["malformed"] > 0
        assert len(transferred(primary.port, secret=SECRET)) == 3


def test_signatures_are_checked_by_name_and_secret(tmp_path: Path) -> None:
    """No key, another key, another secret, another algorithm: nothing is given."""
    with Primary(tmp_path / "primary", secret=SECRET) as primary:
        primary.publish({"bad.example"})
        other = "b3RoZXJvdGhlcm90aGVyb3RoZXJvdGhlcm90aGVyMTI="
        keys = [
            None,
            tsig_key("other", "hmac-sha256", SECRET),
            tsig_key(KEY_NAME, "hmac-sha256", other),
            tsig_key(KEY_NAME, "hmac-sha512", SECRET),
        ]
        for key in keys:
            query = dns.message.make_query(ORIGIN, "SOA")
            if key is not None:
                query.use_tsig(key)
            wire = primary.server.on_datagram(query.to_wire(), "127.0.0.1")
            assert wire is not None
            assert wire[3] & 15 == (dns.rcode.NOTAUTH if key is not None else dns.rcode.REFUSED)
            assert wire[6:8] == b"\0\0"
