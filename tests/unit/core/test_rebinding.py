"""Private addresses in answers for public names: which are found, and what is answered in place."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pdns.config.load import from_tables
from pdns.config.schema import Rebinding
from pdns.core.embedded import Embeddings
from pdns.core.outcome import Answer, Forward
from pdns.core.rebinding import PrivateAnswers
from pdns.wire import names
from pdns.wire.message import parse_message
from tests.unit.core.conftest import Standstill, make_config
from tests.wire import answers, ede, read, response_wire

OWN = ("2001:db8:64::/96", "2001:db8:100::/40", "2001:db8:aaaa::/64")
ON = PrivateAnswers(Rebinding(block_private_answers=True), Embeddings(OWN))
PROTECTED: dict[str, Any] = {"rebinding": {"block_private_answers": True, "allow": ["plex.direct", "*.apps.example"]}}

PRIVATE = [
    "0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1", "127.255.255.255",
    "169.254.0.0", "169.254.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255",
    "::", "::1", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "fe80::1", "febf::1", "fec0::1", "feff::1",
    "::ffff:10.0.0.1", "::127.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::10.0.0.1",
    "64:ff9b:1:a00:0:100::", "64:ff9b:1:ab0a:0:1::", "64:ff9b:1:abcd:a:0:100:0",
    "2002:c0a8:101::", "2002:7f00:1::1", "2001:0:a00:1:8000:63bf:3fff:fdd2", "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    "2a00:1450::5efe:192.168.1.1", "2a00:1450::200:5efe:10.1.1.1", "fe80::5efe:198.51.100.1",
    "2001:db8:64::192.168.0.1", "2001:db8:10a::1:0:0", "2001:db8:aaaa::a:0:100:0",
    "2001:db8:aaaa::a:0:1ff:ffff", "2001:db8:aaaa:0:ff0a:0:100:0",
]  # fmt: skip
PUBLIC = [
    "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255",
    "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.0.170", "192.0.0.171", "192.167.255.255", "192.169.0.0", "224.0.0.1",
    "::ffff:198.51.100.1", "::198.51.100.1", "::ffff:0:198.51.100.1", "64:ff9b::198.51.100.1", "64:ff9b::192.0.0.170",
    "64:ff9b:1::198.51.100.1", "64:ff9b:1:fffe::198.51.100.1", "64:ff9b:2::10.0.0.1",
    "2002:c000:201::10.0.0.1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:1:a00:1::", "2a00:1450::5efe:198.51.100.1",
    "2a00:1450::300:5efe:10.1.1.1", "2001:db8:65::10.0.0.1", "2001:db8::1", "fb00::1", "fe00::1", "fe7f::1", "ff02::1",
]  # fmt: skip


@pytest.mark.parametrize("text", PRIVATE)
def test_a_private_address_is_found(text: str) -> None:
    """Both ends of each network, and every form of a private IPv4 address inside IPv6."""
    assert ON.is_private(ip_address(text).packed)


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_not(text: str) -> None:
    """The neighbours of each network, the addresses of ipv4only.arpa, and public IPv4 addresses inside IPv6."""
    assert not ON.is_private(ip_address(text).packed)


def test_a_configured_prefix_says_how_long_it_is() -> None:
    """In `64:ff9b:1::/48` an address may be read in several ways, unless the prefix in use is configured."""
    packed = ip_address("64:ff9b:1:cb0a:71:700::").packed  # 203.10.113.7 behind 48 bits, 10.113.7.0 behind 56
    own = PrivateAnswers(Rebinding(block_private_answers=True), Embeddings(["64:ff9b:1::/48"]))
    assert ON.is_private(packed)
    assert not own.is_private(packed)
    assert own.is_private(ip_address("64:ff9b:1:a0a:71:700::").packed)


@pytest.mark.parametrize(
    ("qtype", "zone"),
    [
        ("A", "www.example 9 IN A 192.168.1.1"),
        ("A", "www.example 9 IN A 198.51.100.1\nwww.example 9 IN A 127.0.0.1"),
        ("A", "www.example 9 IN CNAME a.plex.direct.\na.plex.direct 9 IN A 10.0.0.1"),
        ("AAAA", "www.example 9 IN AAAA ::ffff:10.0.0.1"),
        ("AAAA", "www.example 9 IN AAAA 64:ff9b::a00:1"),
        ("HTTPS", "www.example 9 IN HTTPS 1 . alpn=h2 ipv4hint=198.51.100.1,10.0.0.1"),
        ("SVCB", "www.example 9 IN SVCB 1 dot.example. alpn=dot ipv6hint=2001:db8::1,fd00::1"),
    ],
)
def test_an_answer_with_a_private_address_becomes_nodata(qtype: str, zone: str) -> None:
    """NODATA with an SOA and the reason, from the cache too; nothing of the answer is left."""
    world = Standstill(**PROTECTED)
    assert world.forwarded("www.example", qtype, zone).source == "local"
    for now in (1000.0, 1059.0):
        wire = world.wire("www.example", qtype, now=now)
        assert read(wire).header.rcode == 0
        assert answers(wire) == []
        assert [str(record.rname) for record in read(wire).auth] == ["www.example."]
        code, text = ede(wire) or (0, "")
        assert code == 15
        assert text.startswith("rebinding protection: ")
        assert text.endswith(" is a private address")


def test_the_reason_names_the_address() -> None:
    """The Extended DNS Error has the address, so that an administrator sees what to allow."""
    world = Standstill(**PROTECTED)
    world.forwarded("www.example", "A", "www.example 9 IN A 192.168.1.1")
    assert ede(world.wire("www.example")) == (15, "rebinding protection: 192.168.1.1 is a private address")


@pytest.mark.parametrize(
    ("name", "qtype", "zone"),
    [
        ("www.example", "A", "www.example 60 IN A 198.51.100.7"),
        ("www.example", "HTTPS", "www.example 60 IN HTTPS 1 . ipv4hint=198.51.100.7"),
        ("www.example", "TXT", "www.example 60 IN TXT 10.0.0.1"),
        ("a.plex.direct", "A", "a.plex.direct 60 IN A 192.168.1.1"),
        ("plex.direct", "AAAA", "plex.direct 60 IN AAAA fd00::1"),
        ("x.apps.example", "A", "x.apps.example 60 IN CNAME www.example.\nwww.example 60 IN A 10.1.1.1"),
    ],
)
def test_other_answers_are_given(name: str, qtype: str, zone: str) -> None:
    """Public addresses, other types, and names that may have private addresses."""
    assert Standstill(block={"allow": ["."]}, **PROTECTED).forwarded(name, qtype, zone).source == "upstream"


def test_other_classes_have_no_addresses() -> None:
    """A record of class CH is not an IPv4 address, whatever it holds."""
    wire = response_wire("www.example", "A", "www.example 60 IN A 192.168.1.1").replace(b"\xc0\x0c\0\1\0\1", b"\xc0\x0c\0\1\0\3")
    forward = (world := Standstill(**PROTECTED)).ask("www.example")
    assert isinstance(forward, Forward)
    assert world.resolver.on_answer(forward, parse_message(wire), 1000.0).source == "upstream"


def test_it_is_off_by_default() -> None:
    """Without the key, private addresses are given."""
    assert Standstill().forwarded("www.example", "A", "www.example 60 IN A 192.168.1.1").source == "upstream"


def test_block_allow_does_not_allow_private_addresses() -> None:
    """That a name is never blocked by a feed does not let it lead into this network."""
    world = Standstill(block={"allow": ["www.example"]}, **PROTECTED)
    assert world.forwarded("www.example", "A", "www.example 60 IN A 192.168.1.1").source == "local"


def test_what_a_feed_lists_is_blocked_by_it() -> None:
    """A listed name is blocked as such, wherever it leads."""
    world = Standstill(**PROTECTED)
    zone = "www.example 60 IN CNAME malware.test.\nmalware.test 60 IN A 10.0.0.1"
    assert world.forwarded("www.example", "A", zone).source == "blocked"


def test_a_change_holds_for_cached_answers() -> None:
    """Turned on, an answer in the cache is refused at the next query; turned off, it is asked for again."""
    world = Standstill()
    world.forwarded("www.example", "A", "www.example 60 IN A 192.168.1.1")
    assert answers(world.wire("www.example")) == ["192.168.1.1"]
    off, on = world.config, msgspec.structs.replace(world.config, rebinding=make_config(**PROTECTED).rebinding)
    world.resolver.adopt(world.resolver.rules.with_config(on))
    assert answers(world.wire("www.example")) == []
    assert answers(world.wire("www.example", now=1001.0)) == []
    world.resolver.adopt(world.resolver.rules.with_config(off))
    assert not isinstance(world.ask("www.example", now=1002.0), Answer)
    world.forwarded("www.example", "A", "www.example 60 IN A 192.168.1.1", now=1002.0)
    assert answers(world.wire("www.example", now=1003.0)) == ["192.168.1.1"]


def test_a_stale_answer_is_refused_too() -> None:
    """No failure of the upstreams brings a private address back."""
    world = Standstill()
    world.forwarded("www.example", "A", "www.example 60 IN A 192.168.1.1")
    on = msgspec.structs.replace(world.config, rebinding=make_config(**PROTECTED).rebinding)
    forward = world.ask("www.example", now=1100.0)
    assert not isinstance(forward, Answer)
    world.resolver.adopt(world.resolver.rules.with_config(on))
    stale = world.resolver.on_failure(forward, 22, "no upstream", None, 1100.0)  # type: ignore[arg-type]  # a Forward
    assert stale.entry.counts[:2] == b"\0\0"
    assert stale.entry.ede == (15, b"rebinding protection: 192.168.1.1 is a private address")


@pytest.mark.parametrize(("private_answers", "source"), [("auto", "upstream"), (True, "upstream"), (False, "local")])
def test_a_zone_may_have_private_addresses(private_answers: bool | str, source: str) -> None:
    """By default in a zone with servers of its own. An alias of a public name into the zone is refused."""
    zone = {"names": ["corp.example"], "servers": ["udp://192.0.2.53:53"], "private_answers": private_answers}
    world = Standstill(zone=[zone], **PROTECTED)
    assert world.forwarded("nas.corp.example", "A", "nas.corp.example 60 IN A 10.0.0.9").source == source
    forward = world.ask("evil.example")
    assert isinstance(forward, Forward)
    first = parse_message(response_wire("evil.example", "A", "evil.example 60 IN CNAME nas.corp.example."))
    further = world.resolver.further(forward, first)
    assert further is not None
    second = parse_message(response_wire("nas.corp.example", "A", "nas.corp.example 60 IN A 10.0.0.9"))
    assert world.resolver.on_answer(further, second, 1000.0).source == "local"


def test_a_local_record_may_lead_to_private_addresses() -> None:
    """The administrator made the alias. A public name that leads to a local record with a private address is refused."""
    tables = {
        "upstream": {"servers": ["192.0.2.1"]},
        "record": [{"name": "intranet.example", "cname": "nas.corp.example"}, {"name": "printer.example", "a": ["10.0.0.3"]}],
    }
    records = msgspec.to_builtins(from_tables(tables, "", Path("/nonexistent")).loaded_records)
    world = Standstill(loaded_records=records, **PROTECTED)
    assert answers(world.wire("printer.example")) == ["10.0.0.3"]
    for name, zone, source in (
        ("intranet.example", "nas.corp.example 60 IN A 10.0.0.9", "upstream"),
        ("evil.example", "evil.example 60 IN CNAME printer.example.", "local"),
    ):
        forward = world.ask(name)
        assert isinstance(forward, Forward)
        message = parse_message(response_wire(names.to_text(forward.asked_name), "A", zone))
        assert world.resolver.further(forward, message) is None
        assert world.resolver.on_answer(forward, message, 1000.0).source == source
