"""The compiled check of private addresses and its specification agree on every address."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

from hypothesis import example, given
from hypothesis import strategies as st

from pdns.config.schema import Rebinding
from pdns.core.chain import follow
from pdns.core.embedded import NAT64_PREFIX_BITS, Embeddings
from pdns.core.rebinding import PRIVATE_NETWORKS, PrivateAnswers
from pdns.fast.private import hints_are_private, is_private
from pdns.wire.message import parse_message
from tests.unit.core.test_rebinding import PRIVATE, PUBLIC
from tests.wire import response_wire

_FORMS = [
    bytes(10) + b"\xff\xff", bytes(12), bytes(8) + b"\xff\xff\0\0", bytes.fromhex("0064ff9b") + bytes(8),
    bytes.fromhex("0064ff9b0001"), bytes.fromhex("0064ff9b0001ab"), bytes.fromhex("0064ff9b0001abcd"),
    b"\x20\x02", b"\x20\1\0\0", bytes.fromhex("20010000c0000201"),
    bytes.fromhex("2a00145000000000" "00005efe"), bytes.fromhex("2a00145000000000" "02005efe"),
]  # fmt: skip


@st.composite
def near(draw: st.DrawFn, network: IPv4Network | IPv6Network) -> bytes:
    """The first or last address of a network, or a neighbour."""
    size = network.max_prefixlen // 8
    edge: int = draw(st.sampled_from([int(network.network_address), int(network.broadcast_address)]))
    step: int = draw(st.integers(-1, 1))
    return ((edge + step) % (1 << 8 * size)).to_bytes(size)


NEAR = st.sampled_from(PRIVATE_NETWORKS).flatmap(near)
IPV4 = NEAR.filter(lambda packed: len(packed) == 4) | st.binary(min_size=4, max_size=4)
PREFIXES = st.lists(
    st.tuples(
        st.binary(min_size=16, max_size=16) | st.sampled_from([(form + bytes(16))[:16] for form in _FORMS]),
        st.sampled_from(NAT64_PREFIX_BITS),
    ).map(lambda made: IPv6Network((made[0], made[1]), strict=False)),
    max_size=3,
)


@st.composite
def embedded(draw: st.DrawFn, prefixes: list[IPv6Network]) -> bytes:
    """An IPv6 address with an IPv4 address somewhere inside, perhaps inverted, and other bytes around it."""
    heads = [*_FORMS, *(network.network_address.packed[: network.prefixlen // 8] for network in prefixes)]
    head = draw(st.sampled_from(heads))
    ipv4 = draw(IPV4)
    if draw(st.booleans()):
        ipv4 = bytes(byte ^ 0xFF for byte in ipv4)
    gap = draw(st.sampled_from([b"", b"\0", b"\1", bytes(2), bytes(4), bytes(6), bytes(8)]))
    made = head + gap + ipv4
    if 4 <= len(head) <= 8 and draw(st.booleans()):  # RFC 6052, 2.2: around the byte that must be zero
        made = head + ipv4[: 8 - len(head)] + draw(st.sampled_from([b"\0", b"\1"])) + ipv4[8 - len(head) :]
    rest = draw(st.sampled_from([bytes(16), b"\xff" * 16]) | st.binary(min_size=16, max_size=16))
    return (made + rest)[:16]


def both(packed: bytes, prefixes: list[IPv6Network]) -> tuple[bool, bool]:
    """What the kernel and the specification find of one address."""
    specified = PrivateAnswers(Rebinding(block_private_answers=True), Embeddings(map(str, prefixes)))
    return is_private(packed, specified.nat64), specified.is_private(packed)


@given(NEAR | IPV4 | st.binary(min_size=16, max_size=16), PREFIXES)
@example(bytes(16), [])
@example(b"\xff" * 16, [])
def test_addresses_are_private_alike(packed: bytes, prefixes: list[IPv6Network]) -> None:
    """Addresses at the boundaries of each network, and any others."""
    kernel, specification = both(packed, prefixes)
    assert kernel == specification


@given(st.data(), PREFIXES)
def test_embedded_addresses_are_private_alike(data: st.DataObject, prefixes: list[IPv6Network]) -> None:
    """Every way in which IPv6 holds IPv4, with the bytes around it as they should be and otherwise."""
    kernel, specification = both(data.draw(embedded(prefixes)), prefixes)
    assert kernel == specification


def test_the_listed_examples_are_private_alike() -> None:
    """The addresses of the unit tests."""
    prefixes = [IPv6Network(text) for text in ("2001:db8:64::/96", "2001:db8:100::/40", "2001:db8:aaaa::/64")]
    for text in PRIVATE + PUBLIC:
        packed = ip_network(text).network_address.packed
        assert both(packed, prefixes) == (text in PRIVATE,) * 2, text


@given(st.lists(st.tuples(st.sampled_from([1, 4, 6, 7]), st.lists(NEAR | IPV4, max_size=3)), max_size=3), st.binary(max_size=8))
@example([(4, [bytes([10, 0, 0, 1])])], b"")
def test_hints_are_private_alike(params: list[tuple[int, list[bytes]]], rest: bytes) -> None:
    """SvcParams with hints of right and wrong sizes, whole or cut short."""
    data = b"".join(
        key.to_bytes(2) + len(value := b"".join(addresses)).to_bytes(2) + value for key, addresses in params
    )  # fmt: skip
    for target in (b"\0", b"\1x\7example\0"):
        rdata = b"\0\1" + target + data + rest
        text = rf"www.example 60 IN TYPE65 \# {len(rdata)} {rdata.hex()}"
        message = parse_message(_response(rdata))
        chain = follow(message, b"\3www\7example\0", 65, do=False)
        specified = PrivateAnswers(Rebinding(block_private_answers=True), Embeddings(()))
        found = specified.find(b"\3www\7example\0", message, chain)
        assert hints_are_private(rdata, specified.nat64) == (found is not None), text


def _response(rdata: bytes) -> bytes:
    """A response with one HTTPS record of this RDATA, sound or not."""
    empty = response_wire("www.example", "HTTPS")
    record = b"\xc0\x0c\0\x41\0\1\0\0\0\x3c" + len(rdata).to_bytes(2) + rdata
    return empty[:6] + b"\0\1" + empty[8:] + record
