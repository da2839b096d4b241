"""PROXY protocol headers, compiled and Python: the same client, the same size, the same refusal, whatever comes."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from pdns.errors import WireError
from pdns.fast import proxy_header as compiled
from pdns.net.balancers import Balancers
from pdns.wire import proxy_header as python
from pdns.wire.proxy_header import ProxyHeader, header_bytes
from tests.proxied import header, raw, tlv

CLIENTS = st.one_of(st.ip_addresses(), st.sampled_from(["0.0.0.0", "255.255.255.255", "ff02::1", "::", "::ffff:10.0.0.1"])).map(
    str
)
TLVS = st.lists(st.builds(tlv, st.integers(0, 255), st.binary(max_size=20)), max_size=4).map(b"".join)
SOUND = st.builds(header, CLIENTS, means=st.sampled_from([1, 2]), port=st.integers(0, 65535), tlvs=TLVS, checksum=st.booleans())
ANY = st.builds(
    raw, st.sampled_from([0x20, 0x21, 0x21, 0x22, 0x11]), st.integers(0, 255), st.binary(max_size=60), size=st.integers(0, 600)
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sound header with some bytes changed, or cut, or with something behind it."""
    wire = bytearray(draw(SOUND))
    for _ in range(draw(st.integers(0, 3))):
        wire[draw(st.integers(0, len(wire) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.one_of(st.none(), st.integers(0, len(wire))))
    return bytes(wire[:cut]) + draw(st.binary(max_size=40))


HOSTILE = st.one_of(SOUND, damaged(), ANY, st.binary(max_size=80), st.binary(max_size=40).map(lambda rest: b"PROXY " + rest))


def outcome_of(parse: Callable[[bytes], ProxyHeader], wire: bytes) -> ProxyHeader | str:
    """What it says, or why it is refused."""
    try:
        return parse(wire)
    except WireError as error:
        return error.reason


@given(HOSTILE)
def test_headers_are_read_alike(wire: bytes) -> None:
    """And nothing but a `WireError` with one of the known reasons comes out; a sound header lies within what came."""
    read = outcome_of(python.parse_header, wire)
    assert outcome_of(compiled.parse_header, wire) == read
    if isinstance(read, str):
        assert read in python.REASONS
    else:
        assert 16 <= read.size <= min(len(wire), python.MAX_HEADER_BYTES)


@given(HOSTILE)
def test_a_stream_and_a_datagram_are_read_alike(wire: bytes) -> None:
    """Byte by byte, a header is whole when it is in one piece, or is refused for the same reason at the latest then."""
    read = outcome_of(python.parse_header, wire)
    for count in range(len(wire) + 1):
        size = _size(wire[:count])
        if isinstance(size, str):
            assert size == read
            return
        if size and size <= count:
            assert outcome_of(python.parse_header, wire[:count]) == read
            return
    assert read in (python.NO_HEADER, python.MALFORMED)  # it is not whole


def _size(start: bytes) -> int | str:
    try:
        return header_bytes(start)
    except WireError as error:
        return error.reason


ADDRESSES = st.ip_addresses().filter(lambda address: getattr(address, "ipv4_mapped", None) is None)  # no peer has one


@given(st.lists(ADDRESSES, min_size=1, max_size=5), st.integers(1, 32), ADDRESSES)
def test_load_balancers_are_known_alike(
    networks: list[IPv4Address | IPv6Address], bits: int, address: IPv4Address | IPv6Address
) -> None:
    """Both tables know the same peers: in the networks, at their edges, and outside."""
    texts = [str(ip_network(f"{network}/{bits}", strict=False)) for network in networks]
    known, twin = Balancers(texts), compiled.Balancers(texts)
    edges = [edge for text in texts for edge in (ip_network(text)[0], ip_network(text)[-1])]
    for one in (address, *networks, *edges, *(edge + 1 for edge in edges if int(edge) + 1 < 2**edge.max_prefixlen)):
        assert getattr(one, "ipv4_mapped", None) or (str(one) in twin) is (str(one) in known)
