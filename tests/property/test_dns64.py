"""DNS64: embedded addresses come back, and the compiled check of answers agrees with its specification."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

from hypothesis import example, given
from hypothesis import strategies as st

from pdns.config.schema import Cache, Dns64
from pdns.core.chain import follow
from pdns.core.dns64 import Translation
from pdns.core.embedded import NAT64_PREFIX_BITS, Embeddings
from pdns.fast.dns64 import has_to_change
from pdns.fast.plain import plain_entry
from pdns.wire import names
from pdns.wire import protocol as p
from pdns.wire.message import parse_message
from tests.fuzz.corpus import SOA
from tests.wire import response_wire

IPV4 = st.binary(min_size=4, max_size=4)
PREFIXES = st.tuples(st.binary(min_size=16, max_size=16), st.sampled_from(NAT64_PREFIX_BITS)).map(
    lambda made: IPv6Network((made[0][:8] + b"\0" + made[0][9:], made[1]), strict=False)
)
NETWORKS = st.tuples(st.binary(min_size=16, max_size=16), st.integers(0, 128)).map(lambda made: IPv6Network(made, strict=False))


@given(PREFIXES, IPV4)
def test_an_address_comes_back(prefix: IPv6Network, ipv4: bytes) -> None:
    """With every prefix, for every address: inside the prefix, with zeros where RFC 6052 has them, and found by what blocks."""
    one = Translation(Dns64(prefix=str(prefix)))
    packed = one.embed(ipv4)
    assert IPv6Address(packed) in prefix
    assert packed[8] == 0
    assert one.extract(packed) == ipv4
    assert ipv4 in Embeddings([str(prefix)]).inside(packed)
    name = names.from_text(IPv6Address(packed).reverse_pointer)
    pointer = one.pointer(name)
    assert pointer is not None
    assert names.to_text(pointer) == ".".join(map(str, reversed(ipv4))) + ".in-addr.arpa"


@given(PREFIXES, st.binary(min_size=16, max_size=16))
def test_what_is_extracted_leads_back(prefix: IPv6Network, packed: bytes) -> None:
    """No other address than the one that is made of it has an IPv4 address."""
    one = Translation(Dns64(prefix=str(prefix)))
    for address in (packed, prefix.network_address.packed[: prefix.prefixlen // 8] + packed[prefix.prefixlen // 8 :]):
        ipv4 = one.extract(address)
        assert ipv4 is None or one.embed(ipv4) == address


@st.composite
def excluded(draw: st.DrawFn) -> tuple[list[IPv6Network], list[bytes]]:
    """Networks, and addresses in them and at their ends."""
    networks = draw(st.lists(NETWORKS, max_size=3))
    edges = [end for one in networks for end in (int(one.network_address), int(one.broadcast_address))]
    found: list[bytes] = []
    for _ in range(draw(st.integers(0, 4))):
        edge = draw(st.sampled_from(edges) | st.integers(0, 2**128 - 1)) if edges else draw(st.integers(0, 2**128 - 1))
        found.append(((edge + draw(st.integers(-1, 1))) % 2**128).to_bytes(16))
    return networks, found


@given(excluded(), st.sampled_from(["AAAA", "A", "TXT"]), st.sampled_from([0, 3]), st.booleans())
@example(([IPv6Network("::ffff:0:0/96")], [IPv6Address("::ffff:192.0.2.1").packed]), "AAAA", 0, False)
@example(([], []), "AAAA", 0, True)
def test_the_kernel_hands_over_what_is_to_be_changed(
    made: tuple[list[IPv6Network], list[bytes]], qtype: str, rcode: int, chained: bool
) -> None:
    """Answers to AAAA with addresses in and beside excluded networks, and without any; and other answers."""
    networks, addresses = made
    end = "b.example" if chained else "www.example"
    lines = [f"{end} 60 IN AAAA {IPv6Address(packed)}" for packed in addresses] if qtype == "AAAA" and rcode == 0 else []
    chain = ["www.example 60 IN CNAME b.example."] if chained else []
    wire = response_wire("www.example", qtype, "\n".join(chain + lines), authority="" if lines else SOA, rcode=rcode)
    one = Translation(Dns64(prefix="64:ff9b::/96", exclude=tuple(map(str, networks))))
    qname = names.from_text("www.example")
    key = qname + wire[len(qname) + 12 : len(qname) + 16]
    assert plain_entry(wire, key, Cache(), False, 0.0, 0) is not None
    number = int.from_bytes(key[-4:-2])
    message = parse_message(wire)
    expected = number == p.AAAA and rcode == 0 and one.has_to_change(message, follow(message, qname, number, do=False))
    assert has_to_change(wire, key, one.excluded) is expected
