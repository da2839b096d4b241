"""IPv4 addresses inside IPv6 addresses: whoever goes to the one arrives at the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Network

from pdns.core.listing import AddressListing, Listings

NAT64_PREFIX_BITS = (32, 40, 48, 56, 64, 96)  # RFC 6052, 2.2
_WELL_KNOWN_NAT64 = bytes.fromhex("0064ff9b") + bytes(8)  # 64:ff9b::/96 (RFC 6052, 2.1)
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")  # RFC 8215: networks choose a prefix of any length within it
_LAST_FOUR = (
    _WELL_KNOWN_NAT64,
    bytes(12),  # IPv4-compatible (RFC 4291, 2.5.5.1)
    bytes(8) + b"\xff\xff\0\0",  # IPv4-translated (RFC 2765, 2.1)
)  # IPv4-mapped is the blockset's business
_6TO4, _TEREDO = b"\x20\x02", b"\x20\x01\0\0"  # RFC 3056, 2; RFC 4380, 4


class Embeddings:
    """Looks an address up together with the IPv4 addresses inside it."""

    def __init__(self, nat64_prefixes: Iterable[str]) -> None:
        """`nat64_prefixes`: the prefixes of one's own NAT64, of a length in `NAT64_PREFIX_BITS`."""
        own = [IPv6Network(text) for text in nat64_prefixes]
        self._prefixes = [(network.network_address.packed[: network.prefixlen // 8], network.prefixlen) for network in own]
        local = _LOCAL_NAT64.network_address.packed[: _LOCAL_NAT64.prefixlen // 8]
        self._prefixes += [(local, bits) for bits in NAT64_PREFIX_BITS if bits >= _LOCAL_NAT64.prefixlen]

    def lookup(self, blockset: Listings, packed: bytes) -> tuple[AddressListing, ...]:
        """Every listed network that holds the address (4 or 16 bytes) or an IPv4 address inside it."""
        listings = blockset.lookup_address(packed)
        if len(packed) == 16 and blockset.lists_addresses:
            for inside in dict.fromkeys(self.inside(packed)):
                listings += blockset.lookup_address(inside)
        return listings

    def inside(self, packed: bytes) -> Iterator[bytes]:
        """Each IPv4 address in the IPv6 address `packed`, but that of an IPv4-mapped one."""
        if packed[:12] in _LAST_FOUR:
            yield packed[12:]
        elif packed[:2] == _6TO4:
            yield packed[2:6]
        elif packed[:4] == _TEREDO:
            yield packed[4:8]  # the server
            yield bytes(byte ^ 0xFF for byte in packed[12:])  # the client behind it
        for prefix, bits in self._prefixes:
            if packed.startswith(prefix) and (inside := _translated(packed, bits)) is not None:
                yield inside


def _translated(packed: bytes, bits: int) -> bytes | None:
    """The IPv4 address behind a NAT64 prefix of `bits`; None where bits that must be zero are not (RFC 6052, 2.2)."""
    if bits == 96:
        return packed[12:]
    if packed[8]:
        return None
    at = bits // 8
    joined = packed[at:8] + packed[9:]
    return None if any(joined[4:]) else joined[:4]
