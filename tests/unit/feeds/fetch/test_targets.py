"""What a publisher says must not make this machine ask itself, its neighbours or a metadata service."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import dnslib
import msgspec
import pytest
from aiohttp.abc import ResolveResult

from feeds.fetch import Fetched, Unchanged, Validators
from feeds.fetch.http import fetch
from feeds.fetch.network import Network
from feeds.fetch.targets import Targets
from feeds.refresh import build_once
from pdns.config.schema import Feed
from pdns.config.upstream_address import UpstreamAddress
from pdns.core.embedded import Embeddings
from pdns.errors import FeedError
from pdns.wire.transport import Transport
from tests.unit.feeds.configs import configuration
from tests.unit.feeds.feedserver import FeedServer
from tests.unit.feeds.fetch.test_resolve import Answer, upstream

LIST = b"bad.example\nworse.example\n"
SECRET = b"root:x:0:0:hunter2\n" * 3
TLS = ssl.create_default_context()


@pytest.fixture
def inside() -> Iterator[FeedServer]:
    """A server that is not for the internet."""
    with FeedServer(host="127.0.0.2") as running:
        running.serve("/secret", SECRET)
        running.serve("/list", LIST)
        yield running


def get(feed: Feed, into: Path, known: Validators | None = None, *upstreams: UpstreamAddress) -> Fetched | Unchanged:
    async def run() -> Fetched | Unchanged:
        try:
            return await fetch(feed, known, into, Network(upstreams, TLS, TLS))
        finally:
            await asyncio.sleep(0.001)

    return asyncio.run(run())


def refused(feed: Feed, into: Path, known: Validators | None = None, *upstreams: UpstreamAddress) -> str:
    with pytest.raises(FeedError) as caught:
        get(feed, into, known, *upstreams)
    assert not into.exists()
    return caught.value.reason


def says(*addresses: str) -> Answer:
    """A server that knows these addresses of every name."""

    def answer(request: dnslib.DNSRecord, _: str) -> dnslib.DNSRecord:
        reply = request.reply()
        kind = dnslib.QTYPE[request.q.qtype]
        for address in addresses:
            if (":" in address) == (kind == "AAAA"):
                reply.add_answer(*dnslib.RR.fromZone(f"{request.q.qname} 0 {kind} {address}"))
        return reply

    return answer


def test_a_redirect_to_an_address_inside(server: FeedServer, inside: FeedServer, tmp_path: Path) -> None:
    """Refused before anything is sent there; the reason names the address and the key, and no word of what is there."""
    server.redirect("/list", inside.url("/secret"))
    feed = Feed(name="sample", url=server.url("/list"))
    reason = refused(feed, tmp_path / "new")
    assert reason == "not fetched: 127.0.0.2 is no address of the internet: add it to internal_networks if that is meant"
    said = build_once(configuration(tmp_path / "state", feed)).feeds["sample"]
    assert (said.last_result, "hunter2" in said.last_error) == ("error", False)
    assert inside.seen == []
    assert get(msgspec.structs.replace(feed, internal_networks=("127.0.0.0/8",)), tmp_path / "new")
    assert len(inside.seen) == 1


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.2", "127.1", "2130706434", "0x7f000002", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "[::]", "[::1]", "[fc00::1]", "[fd00:ec2::254]", "[fe80::1]",
        "[fec0::1]", "[ff02::1]", "[::ffff:10.0.0.1]", "[::ffff:127.0.0.2]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::10.0.0.1]",
        "[2002:a00:1::]", "[2001:0:a00:1::]", "[::127.0.0.2]", "[::ffff:0:10.0.0.1]", "[2001:db8:64::a00:1]",
    ],
)  # fmt: skip
def test_addresses_that_no_redirect_may_lead_to(server: FeedServer, tmp_path: Path, host: str) -> None:
    """However they are spelt, and inside whichever address."""
    server.redirect("/list", f"http://{host}:{server.port}/secret")
    feed = Feed(name="sample", url=server.url("/list"), timeout_s=5.0)
    reason = refused(feed, tmp_path / "new")
    assert "not fetched" in reason or "is not a canonical IPv4 address" in reason or "not a usable url" in reason
    assert len(server.seen) == 1


@pytest.mark.parametrize("addresses", [("127.0.0.2",), ("::ffff:7f00:2",), ("127.0.0.2", "10.0.0.1"), ("64:ff9b::7f00:2",)])
def test_a_redirect_to_a_name_that_leads_inside(
    server: FeedServer, inside: FeedServer, tmp_path: Path, addresses: tuple[str, ...]
) -> None:
    """The address counts, not the name."""
    server.redirect("/list", f"http://elsewhere.example:{inside.port}/secret")
    with upstream(says(*addresses)) as (port, _):
        feed = Feed(name="sample", url=server.url("/list"))
        reason = refused(feed, tmp_path / "new", None, UpstreamAddress(Transport.UDP, "127.0.0.1", port, ""))
    assert reason.startswith("not fetched: elsewhere.example is at ")
    assert inside.seen == []


def test_checksums_and_signatures(server: FeedServer, inside: FeedServer, tmp_path: Path) -> None:
    """They may be redirected no further than the list; where they are configured to be they are asked for."""
    server.serve("/list", LIST)
    inside.serve("/sum", hashlib.sha256(LIST).hexdigest().encode())
    server.redirect("/sum", inside.url("/sum"))
    feed = Feed(name="sample", url=server.url("/list"), checksum_url=server.url("/sum"))
    assert "not fetched: 127.0.0.2" in refused(feed, tmp_path / "new")
    key = "RWQRvch1nBmcQI+sp5MZ9ByQUJwomroaby+A2ZIxDUbHtTOYQoo9JPn4"
    server.redirect("/list.minisig", inside.url("/secret"))
    assert "not fetched: 127.0.0.2" in refused(Feed(name="sample", url=server.url("/list"), minisign_key=key), tmp_path / "new")
    assert inside.seen == []
    get(msgspec.structs.replace(feed, checksum_url=inside.url("/sum")), tmp_path / "new")


def test_what_is_configured_is_asked(inside: FeedServer, tmp_path: Path) -> None:
    """An address inside, or a name that leads there, when it stands in url; and by redirect the same address by another way."""
    inside.redirect("/from", f"http://localhost.example:{inside.port}/list")
    name = Feed(name="sample", url=f"http://mirror.example:{inside.port}/list")
    with upstream(says("127.0.0.2")) as (port, _):
        over = UpstreamAddress(Transport.UDP, "127.0.0.1", port, "")
        get(Feed(name="sample", url=inside.url("/list")), tmp_path / "new")
        get(Feed(name="sample", url=inside.url("/from")), tmp_path / "new", None, over)
        first = get(name, tmp_path / "new", None, over)
        assert not first.validators.public
        get(name, tmp_path / "new", first.validators, over)


def test_a_host_that_turns_inwards(inside: FeedServer, tmp_path: Path) -> None:
    """What was fetched from the internet is not fetched from within by the same name, unless the configuration says so."""
    feed = Feed(name="sample", url=f"http://lists.example:{inside.port}/list")
    with upstream(says("127.0.0.2")) as (port, _):
        over = UpstreamAddress(Transport.UDP, "127.0.0.1", port, "")
        assert "lists.example is at 127.0.0.2" in refused(feed, tmp_path / "new", Validators(public=True), over)
        assert inside.seen == []
        meant = msgspec.structs.replace(feed, internal_networks=("127.0.0.2/32",))
        assert isinstance(get(meant, tmp_path / "new", Validators(public=True), over), Fetched)
        (tmp_path / "new").unlink()
    with upstream(says("169.254.169.254")) as (port, _):
        over = UpstreamAddress(Transport.UDP, "127.0.0.1", port, "")
        assert "lists.example is at 169.254.169.254" in refused(feed, tmp_path / "new", None, over)


def found(*addresses: str) -> list[ResolveResult]:
    return [ResolveResult(hostname="x", host=address, port=80, family=socket.AF_INET, proto=0, flags=0) for address in addresses]


def test_public_addresses_come_first() -> None:
    """Of a host at addresses of both kinds only the public ones are connected to, and it counts as a public one from then on."""
    network = Network((), TLS, TLS, Embeddings(("2001:db8:64::/96",)))
    targets = Targets(Feed(name="sample", url="https://lists.example/list"), network, was_public=False)
    before = targets.public
    assert targets.checked("lists.example", found("10.0.0.1", "9.9.9.9")) == found("9.9.9.9")
    assert (before, targets.public) == (False, True)
    assert targets.checked("other.example", found("127.0.0.1", "2620:fe::9", "fd00::1")) == found("2620:fe::9")
    for public in ("9.9.9.9", "2620:fe::9", "64:ff9b::909:909", "2001:db8:64::909:909", "::ffff:9.9.9.9", "2002:909:909::"):
        assert targets.is_public(ip_address(public)), public
    assert not targets.is_public(ip_address("2001:db8:64::a00:1"))
