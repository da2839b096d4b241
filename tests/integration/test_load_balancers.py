"""The real program behind load balancers: real ones, and ones that do what none should."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import pytest

from tests.fakes import upstream as fake
from tests.integration.loadbalancers import ADDRESS, Dnsdist, Haproxy
from tests.integration.realservers import RealServer
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, feed
from tests.proxied import STREAM, header

NORTH, SOUTH, STRANGE, NAMELESS = "127.0.0.7", "127.0.0.8", "127.0.1.9", "127.0.0.9"
TRUE = "192.0.2.7"
BURST = 40
BALANCERS: dict[str, tuple[tuple[bool, ...], Callable[[Path, int], RealServer]]] = {  # over TCP or not
    "haproxy": ((True,), Haproxy),
    "haproxy with TLVs": ((True,), lambda directory, to: Haproxy(directory, to, "proxy-v2-options crc32c,unique-id,authority")),
    "dnsdist": ((False, True), Dnsdist),
    "dnsdist over TCP": ((False, True), lambda directory, to: Dnsdist(directory, to, tcp_only=True)),
}


def config(directory: Path, upstream: str) -> dict[str, object]:
    """Only the load balancer and clients in 127.0.0.0/24 may ask."""
    return {
        "server": {"listen": ["127.0.0.1:0"], "workers": 2, "proxy_protocol_from": [f"{ADDRESS}/32"]},
        "upstream": {"servers": [upstream], "timeout_s": 5.0},
        "access": {"networks": ["127.0.0.0/24"]},
        "tenant": [{"name": "north", "networks": [f"{NORTH}/32"]}, {"name": "south", "networks": [f"{SOUTH}/32"]}],
        "rate_limit": {"queries_per_s": 1, "verified_queries_per_s": 1, "burst": BURST, "action": "refuse"},
        "feed": [feed(directory, "listed", "malware.example")],
    }


@pytest.fixture
def pdns(tmp_path: Path) -> Iterator[RunningPdns]:
    with (
        UpstreamThread(fake.answer(TRUE)) as upstream,
        RunningPdns(tmp_path, config(tmp_path, upstream.address)) as running,
    ):
        yield running


def asked(port: int, client: str, name: str, *, tcp: bool = False) -> tuple[str, list[str]]:
    """What `client` is answered on `port` of 127.0.0.1: the response code and the addresses."""
    send = dns.query.tcp if tcp else dns.query.udp
    message = send(dns.message.make_query(name, "A"), "127.0.0.1", timeout=60, port=port, source=client)
    return dns.rcode.to_text(message.rcode()), [str(record) for rrset in message.answer for record in rrset]


@pytest.mark.parametrize("kind", BALANCERS)
def test_behind_a_real_load_balancer(pdns: RunningPdns, tmp_path: Path, kind: str) -> None:
    """Tenants, access and the rate limit see who asks the load balancer; its health checks are fine; no header is refused."""
    transports, make = BALANCERS[kind]
    with make(tmp_path / "balancer", pdns.dns_port) as balancer:
        for tcp in transports:
            for client, tenant in ((NORTH, "north"), (SOUTH, "south")):
                before = pdns.value("queries_total", tenant=tenant)
                assert asked(balancer.port, client, "www.example", tcp=tcp) == ("NOERROR", [TRUE])
                assert asked(balancer.port, client, "malware.example", tcp=tcp) == ("NOERROR", [SINKHOLE])
                pdns.wait_for_value(before + 2, "queries_total", tenant=tenant)
        assert pdns.value("queries_total", tenant="south", transport="udp") == (2 if False in transports else 0)
        for tcp in transports:
            assert asked(balancer.port, STRANGE, "www.example", tcp=tcp) == ("REFUSED", [])
        assert pdns.value("blocked_total", tenant="north") == pdns.value("blocked_total", tenant="south") == len(transports)
        assert (pdns.value("queries_total", tenant="default") > len(transports)) is ("dnsdist" in kind), (
            "its health checks are queries"
        )
        codes = [asked(balancer.port, NORTH, "www.example", tcp=transports[0])[0] for _ in range(BURST + 20)]
        assert codes.count("REFUSED") > 5
        assert asked(balancer.port, SOUTH, "www.example", tcp=transports[0])[0] == "NOERROR"
        refused = {labels: value for (name, labels), value in pdns.scrape().items() if name == "dropped_total" and value}
        assert not refused


def test_no_other_peer_names_a_client(pdns: RunningPdns) -> None:
    """A header of a stranger is no DNS message, over UDP and TCP; without a header a client is served under its own address."""
    wire = dns.message.make_query("www.example", "A").to_wire()
    with peer(NAMELESS, pdns.dns_port) as sock:
        for client in (NORTH, "2001:db8::7"):
            sock.send(header(client) + wire)
        sock.send(wire)
        answers = [sock.recv(4096)]
        while answers[-1][:2] != wire[:2]:
            answers.append(sock.recv(4096))
        assert dns.message.from_wire(answers[-1]).rcode() == dns.rcode.NOERROR
        assert {dns.message.from_wire(answer).rcode() for answer in answers[:-1]} <= {dns.rcode.FORMERR, dns.rcode.NOTIMP}
    with stream(NAMELESS, pdns.dns_port) as connection:
        connection.sendall(header(NORTH, means=STREAM) + len(wire).to_bytes(2) + wire)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(4096) == b""
    assert asked(pdns.dns_port, SOUTH, "www.example", tcp=True) == ("NOERROR", [TRUE])
    assert pdns.value("queries_total", tenant="north") == 0
    assert pdns.value("queries_total", tenant="south") == 1


def test_a_load_balancer_without_a_header_is_not_answered(pdns: RunningPdns) -> None:
    """Dropped over UDP, closed over TCP, counted from 0; with a header the same sockets are served."""
    wire = dns.message.make_query("www.example", "A").to_wire()
    reasons = ("proxy_no_header", "proxy_version", "proxy_too_long", "proxy_malformed", "proxy_no_client", "proxy_unfinished")
    assert [labels for (name, labels) in pdns.scrape() if name == "dropped_total" and dict(labels)["reason"] in reasons]
    with peer(ADDRESS, pdns.dns_port) as sock:
        sock.send(wire)
        pdns.wait_for_value(1, "dropped_total", reason="proxy_no_header")
        sock.send(header("0.0.0.0") + wire)
        pdns.wait_for_value(1, "dropped_total", reason="proxy_no_client")
        sock.send(header(NORTH) + wire)
        assert dns.message.from_wire(sock.recv(4096)).rcode() == dns.rcode.NOERROR
    with stream(ADDRESS, pdns.dns_port) as connection:
        connection.sendall(len(wire).to_bytes(2) + wire)
        with pytest.raises(ConnectionResetError):
            connection.recv(4096)
    pdns.wait_for_value(2, "dropped_total", reason="proxy_no_header")
    assert pdns.value("queries_total") == 1


def test_a_worker_keeps_its_names_behind_headers(pdns: RunningPdns) -> None:
    """A name that many clients ask for through the load balancer is forwarded once, as without it."""
    names = [f"n{number}.example" for number in range(20)]
    for round_trip in range(3):
        for number, name in enumerate(names):
            with peer(ADDRESS, pdns.dns_port) as sock:
                sock.send(header(f"127.0.0.{20 + number * 3 + round_trip}") + dns.message.make_query(name, "A").to_wire())
                assert dns.message.from_wire(sock.recv(4096)).rcode() == dns.rcode.NOERROR
    pdns.wait_for_value(2 * len(names), "responses_total", source="cache")
    assert pdns.value("responses_total", source="upstream") == len(names)


def test_a_reload_turns_it_on_and_off(tmp_path: Path) -> None:
    """For sockets that are there, in every worker; and a name stays with its worker, with and without headers."""
    with UpstreamThread(fake.answer(TRUE)) as upstream:
        tables = config(tmp_path, upstream.address)
        on = tables["server"]
        off = {"listen": ["127.0.0.1:0"], "workers": 2}
        with RunningPdns(tmp_path, tables | {"server": off}) as pdns:
            port = pdns.dns_port
            for server, headed in ((off, False), (on, True), (off, False)):
                pdns.write_config(tables | {"server": server})
                pdns.reload()
                before = pdns.value("queries_total", tenant="north")
                for number in range(8):
                    wire = dns.message.make_query(f"n{number}.example", "A").to_wire()
                    with peer(ADDRESS, port) as sock, stream(ADDRESS, port) as connection:
                        sock.send((header(NORTH) if headed else b"") + wire)
                        assert dns.message.from_wire(sock.recv(4096)).rcode() == dns.rcode.NOERROR
                        wire = dns.message.make_query(f"tcp{number}.example", "A").to_wire()
                        connection.sendall((header(NORTH) if headed else b"") + len(wire).to_bytes(2) + wire)
                        assert dns.message.from_wire(connection.recv(4096)[2:]).rcode() == dns.rcode.NOERROR
                assert pdns.value("queries_total", tenant="north") - before == (16 if headed else 0)
        assert [upstream.names.count(f"n{number}.example") for number in range(8)] == [1] * 8


def peer(address: str, port: int) -> socket.socket:
    """A UDP socket of `address` that asks `port`."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(60)
    sock.bind((address, 0))
    sock.connect(("127.0.0.1", port))
    return sock


def stream(address: str, port: int) -> socket.socket:
    """The same over TCP."""
    return socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(address, 0))
