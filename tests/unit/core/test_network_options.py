"""Options of DHCP and RA, read by a decoder that knows only RFC 9463 and RFC 9460."""

from __future__ import annotations

import ipaddress
from io import BytesIO
from typing import Any

import dns.name
import pytest

from pdns.config.discovery_schema import DesignatedResolver
from pdns.core.network_options import dhcpv4_option, dhcpv6_options, ra_options

DOT = DesignatedResolver(name="dns.example", alpn=("dot", "doq"), port=853, addresses=("10.0.0.53", "10.0.0.54", "2001:db8::53"))
DOH = DesignatedResolver(name="d.example", alpn=("h2",), port=8443, addresses=("2001:db8::53", "2001:db8::54"), path="/dns-query")


class Reader(BytesIO):
    """Bytes, read in order."""

    def number(self, size: int) -> int:
        data = self.read(size)
        assert len(data) == size
        return int.from_bytes(data)

    def part(self, length_bytes: int) -> bytes:
        size = self.number(length_bytes)
        data = self.read(size)
        assert len(data) == size
        return data


def name_of(wire: bytes) -> str:
    name, used = dns.name.from_wire(wire, 0)
    assert used == len(wire)
    return name.to_text(omit_final_dot=True)


def addresses_of(packed: bytes, size: int) -> list[str]:
    assert len(packed) % size == 0
    return [str(ipaddress.ip_address(packed[at : at + size])) for at in range(0, len(packed), size)]


def params_of(data: bytes) -> dict[int, bytes]:
    """By key, which must ascend and be none of the hints (RFC 9463, 3.1.5)."""
    reader = Reader(data)
    found: dict[int, bytes] = {}
    while reader.tell() < len(data):
        key = reader.number(2)
        assert key > max(found, default=-1)
        found[key] = reader.part(2)
    assert not {4, 6} & found.keys()
    return found


def decoded(reader: Reader, address_bytes: int, length_bytes: int, params: bytes | None = None) -> tuple[Any, ...]:
    """Name and what follows it."""
    name, packed = name_of(reader.part(length_bytes)), reader.part(length_bytes)
    return name, addresses_of(packed, address_bytes), params_of(reader.read() if params is None else params)


DOT_PARAMS = {1: b"\3dot\3doq"}
DOH_PARAMS = {1: b"\2h2", 3: (8443).to_bytes(2), 7: b"/dns-query{?dns}"}


def test_dhcpv4() -> None:
    """One instance for each resolver with an IPv4 address; the priorities are those of the SVCB records."""
    reader = Reader(dhcpv4_option((DOH, DOT)))
    instance = Reader(reader.part(2))
    assert reader.read() == b""
    assert instance.number(2) == 2
    assert decoded(instance, 4, 1) == ("dns.example", ["10.0.0.53", "10.0.0.54"], DOT_PARAMS)
    assert dhcpv4_option((DOH,)) == b""


def test_dhcpv6() -> None:
    """An option for each resolver with an IPv6 address."""
    first, second = map(Reader, dhcpv6_options((DOT, DOH)))
    assert (first.number(2), second.number(2)) == (1, 2)
    assert decoded(first, 16, 2) == ("dns.example", ["2001:db8::53"], DOT_PARAMS)
    assert decoded(second, 16, 2) == ("d.example", ["2001:db8::53", "2001:db8::54"], DOH_PARAMS)


@pytest.mark.parametrize("length", range(1, 17))
def test_ra(length: int) -> None:
    """The whole option, of any length, padded with zeros to eight bytes."""
    resolver = DesignatedResolver(name=f"{'a' * length}.example", alpn=("dot",), port=853, addresses=("2001:db8::53",))
    (option,) = ra_options((resolver,))
    reader = Reader(option)
    assert (reader.number(1), reader.number(1) * 8) == (144, len(option))
    assert (reader.number(2), reader.number(4)) == (1, 1800)
    name, packed, params = name_of(reader.part(2)), reader.part(2), reader.part(2)
    assert (name, addresses_of(packed, 16)) == (resolver.name, ["2001:db8::53"])
    assert params_of(params) == {1: b"\3dot"}
    padding = reader.read()
    assert padding == bytes(len(padding))
    assert len(padding) < 8


def test_no_address_no_option() -> None:
    """IPv4 alone has no options for IPv6."""
    only = DesignatedResolver(name="dns.example", alpn=("dot",), port=853, addresses=("10.0.0.53",))
    assert (dhcpv6_options((only,)), ra_options((only,))) == ([], [])


def test_loopback_is_not_announced() -> None:
    """It would be the client itself."""
    here = DesignatedResolver(name="dns.example", alpn=("dot",), port=853, addresses=("127.0.0.1", "::1"))
    assert (dhcpv4_option((here,)), dhcpv6_options((here,)), ra_options((here,))) == (b"", [], [])
