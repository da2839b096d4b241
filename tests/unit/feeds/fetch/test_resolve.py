"""Where the addresses of feed hosts come from."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dnslib
import pytest
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer

from feeds.fetch.http import fetch
from feeds.fetch.network import Network
from feeds.fetch.resolve import UpstreamResolver
from pdns.config.schema import Feed
from pdns.config.upstream_address import UpstreamAddress
from pdns.errors import FeedError
from pdns.wire.transport import Transport
from tests.unit.feeds.feedserver import FeedServer, make_certificate

Answer = Callable[[dnslib.DNSRecord, str], dnslib.DNSRecord]


@contextmanager
def upstream(answer: Answer, certificate: Path | None = None) -> Iterator[tuple[int, list[str]]]:
    """A DNS server on loopback, UDP and TCP (TLS, with a certificate) on one port; yields it, and what it was asked over what."""
    asked: list[str] = []

    class Resolver(BaseResolver):  # type: ignore[misc]
        def resolve(self, request: dnslib.DNSRecord, handler: DNSHandler) -> dnslib.DNSRecord:
            asked.append(f"{handler.protocol} {dnslib.QTYPE[request.q.qtype]}")
            return answer(request, handler.protocol)

    quiet = DNSLogger("-request,-reply,-truncated,-error,-recv,-send,-data")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    servers = [DNSServer(Resolver(), "127.0.0.1", port, tcp=tcp, logger=quiet) for tcp in (False, True)]
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        servers[1].server.socket = context.wrap_socket(servers[1].server.socket, server_side=True, do_handshake_on_connect=False)
    threads = [threading.Thread(target=server.server.serve_forever, args=(0.01,)) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield port, asked
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.server.shutdown()
            server.server.server_close()
            thread.join(5)


def addresses(request: dnslib.DNSRecord, _: str) -> dnslib.DNSRecord:
    """Two addresses, behind an alias."""
    reply = request.reply()
    reply.add_answer(*dnslib.RR.fromZone(f"{request.q.qname} 60 CNAME real.example."))
    kind = dnslib.QTYPE[request.q.qtype]
    reply.add_answer(*dnslib.RR.fromZone(f"real.example. 60 {kind} {'127.0.0.1' if kind == 'A' else '::1'}"))
    return reply


def says(rcode: int) -> Answer:
    def answer(request: dnslib.DNSRecord, _: str) -> dnslib.DNSRecord:
        reply = request.reply()
        reply.header.rcode = rcode
        return reply

    return answer


def truncated(request: dnslib.DNSRecord, protocol: str) -> dnslib.DNSRecord:
    """Everything fits into TCP only."""
    if protocol == "tcp":
        return addresses(request, protocol)
    reply = request.reply()
    reply.header.tc = 1
    return reply


async def nobody(host: str, _: socket.AddressFamily) -> list[str]:
    raise OSError(f"{host} is not known here")


async def hosts_file(_: str, family: socket.AddressFamily) -> list[str]:
    assert family == socket.AF_UNSPEC
    return ["192.0.2.9"]


def network(*upstreams: UpstreamAddress, authority: Path | None = None) -> Network:
    trusted = ssl.create_default_context()
    return Network(upstreams, trusted, ssl.create_default_context(cafile=str(authority)) if authority else trusted)


def look_up(
    host: str, *upstreams: UpstreamAddress, system: Callable[..., object] = nobody, authority: Path | None = None
) -> list[str]:
    async def ask() -> list[str]:
        resolver = UpstreamResolver(network(*upstreams, authority=authority), system)  # type: ignore[arg-type]
        found = await resolver.resolve(host, 443, socket.AddressFamily.AF_UNSPEC)
        return [result["host"] for result in found]

    return asyncio.run(ask())


def over_udp(port: int) -> UpstreamAddress:
    return UpstreamAddress(Transport.UDP, "127.0.0.1", port, "")


def test_upstreams_are_asked() -> None:
    """Both families, through aliases; the system's own resolver is not consulted."""
    with upstream(addresses) as (port, asked):
        assert look_up("lists.example", over_udp(port)) == ["127.0.0.1", "::1"]
    assert sorted(asked) == ["udp A", "udp AAAA"]


def test_truncated_answers_are_asked_for_again_over_tcp() -> None:
    """As RFC 7766 wants it."""
    with upstream(truncated) as (port, asked):
        assert look_up("lists.example", over_udp(port)) == ["127.0.0.1", "::1"]
    assert sorted(asked) == ["tcp A", "tcp AAAA", "udp A", "udp AAAA"]


def test_an_upstream_over_tcp_is_asked_over_tcp() -> None:
    """The transport of the configuration is kept."""
    with upstream(addresses) as (port, asked):
        look_up("lists.example", UpstreamAddress(Transport.TCP, "127.0.0.1", port, ""))
    assert sorted(asked) == ["tcp A", "tcp AAAA"]


def test_an_upstream_over_tls_is_asked_over_tls(tmp_path: Path) -> None:
    """Its certificate is checked against the configured authority and name; without trust it is asked nothing."""
    certificate = make_certificate(tmp_path)
    if certificate is None:
        pytest.skip("needs openssl to make a certificate")
    with upstream(addresses, certificate) as (port, asked):
        over_tls = UpstreamAddress(Transport.TLS, "127.0.0.1", port, "127.0.0.1")
        assert look_up("lists.example", over_tls, authority=certificate) == ["127.0.0.1", "::1"]
        assert sorted(asked) == ["tcp A", "tcp AAAA"]
        with pytest.raises(OSError, match="not known"):
            look_up("lists.example", over_tls)
        with pytest.raises(OSError, match="not known"):
            look_up("lists.example", over_tls._replace(server_name="other.example"), authority=certificate)
        assert len(asked) == 2


@pytest.mark.parametrize("rcode", [dnslib.RCODE.SERVFAIL, dnslib.RCODE.REFUSED])
def test_a_failing_upstream_is_passed_over(rcode: int) -> None:
    """The next upstream has the word when one says nothing of use, or nothing at all."""
    with upstream(says(rcode)) as (failing, _), upstream(addresses) as (port, _):
        assert look_up("lists.example", over_udp(failing), over_udp(port)) == ["127.0.0.1", "::1"]


def test_the_system_has_the_second_word() -> None:
    """What the upstreams do not know may stand in `/etc/hosts`; if it does not, the look-up fails."""
    with upstream(says(dnslib.RCODE.NXDOMAIN)) as (port, asked):
        assert look_up("lists.example", over_udp(port), system=hosts_file) == ["192.0.2.9"]
        assert len(asked) == 2
        with pytest.raises(OSError, match="not known"):
            look_up("lists.example", over_udp(port))


def test_names_without_a_dot_are_the_systems() -> None:
    """`localhost` and container names mean nothing to an upstream, and are not shown to one."""
    with upstream(addresses) as (port, asked):
        assert look_up("lists", over_udp(port), system=hosts_file) == ["192.0.2.9"]
        assert not asked
    assert "127.0.0.1" in asyncio.run(UpstreamResolver(network()).resolve("localhost"))[0].values()


def test_a_fetch_finds_its_host_through_the_upstreams(server: FeedServer, tmp_path: Path) -> None:
    """The whole way: name, upstream, address, list; and an error that says where to look when there is no address."""
    server.serve("/list", b"bad.example\n")

    async def run(feed: Feed, port: int) -> None:
        await fetch(feed, None, tmp_path / "new", network(over_udp(port)))
        await asyncio.sleep(0.001)  # sockets close

    feed = Feed(name="sample", url=f"http://lists.example:{server.port}/list")
    with upstream(addresses) as (port, _):
        asyncio.run(run(feed, port))
    assert server.seen[0].headers["Host"] == f"lists.example:{server.port}"
    with upstream(says(dnslib.RCODE.NXDOMAIN)) as (port, _), pytest.raises(FeedError, match="no address found for nowhere"):
        asyncio.run(run(Feed(name="sample", url="http://nowhere.invalid/"), port))
