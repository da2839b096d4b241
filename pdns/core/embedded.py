"""IPv4 addresses inside IPv6 addresses: whoever goes to the one arrives at the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Network
from typing import Self

from pdns.config.schema import Config
from pdns.core.listing import AddressListing, Listings

NAT64_PREFIX_BITS = (32, 40, 48, 56, 64, 96)  # RFC 6052, 2.2
_WELL_KNOWN_NAT64 = bytes.fromhex("0064ff9b") + bytes(8)  # 64:ff9b::/96 (RFC 6052, 2.1)
_LOCAL_NAT64 = bytes.fromhex("0064ff9b0001")  # 64:ff9b:1::/48 (RFC 8215): networks choose a prefix of any length within it
_LAST_FOUR = (
    _WELL_KNOWN_NAT64,
    bytes(12),  # IPv4-compatible (RFC 4291, 2.5.5.1)
    bytes(8) + b"\xff\xff\0\0",  # IPv4-translated (RFC 2765, 2.1)
)  # IPv4-mapped is the blockset's business
_6TO4, _TEREDO = b"\x20\x02", b"\x20\x01\0\0"  # RFC 3056, 2; RFC 4380, 4


class Embeddings:
    """Looks an address up together with the IPv4 addresses inside it."""

    def __init__(self, nat64_prefixes: Iterable[str]) -> None:
        """`nat64_prefixes`: the prefixes of one's own NAT64, of a length in `NAT64_PREFIX_BITS`. What follows an IPv4 address
        behind one is ignored, as a translator does. In `64:ff9b:1::/48` each length is tried if none of the prefixes fits.
        """
        own = [IPv6Network(text) for text in nat64_prefixes]
        self._prefixes = [(network.network_address.packed[: network.prefixlen // 8], network.prefixlen) for network in own]

    @classmethod
    def of(cls, config: Config) -> Self:
        """By every prefix of NAT64 that is configured."""
        own = (*config.block.nat64_prefixes, config.dns64.prefix)
        return cls(dict.fromkeys(filter(None, own)))

    @property
    def nat64(self) -> bytes:
        """The prefixes of one's own NAT64, for a kernel: of each the length in bytes, then the prefix filled up to 16 bytes."""
        return b"".join(bytes((bits // 8,)) + prefix.ljust(16, b"\0") for prefix, bits in self._prefixes)

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
        own = [_behind(packed, bits // 8)[:4] for prefix, bits in self._prefixes if packed.startswith(prefix)]
        yield from own
        if not own and packed.startswith(_LOCAL_NAT64):
            yield from _by_any_length(packed)


def _by_any_length(packed: bytes) -> Iterator[bytes]:
    """The IPv4 address for each length that the prefix of `packed` can have: bits that must be zero (RFC 6052, 2.2) are zero."""
    for bits in NAT64_PREFIX_BITS:
        if bits >= 8 * len(_LOCAL_NAT64):
            joined = _behind(packed, bits // 8)
            if bits == 96 or not (packed[8] or any(joined[4:])):
                yield joined[:4]


def _behind(packed: bytes, at: int) -> bytes:
    """What follows a prefix of `at` bytes, without the byte in the middle that holds no part of an IPv4 address."""
    return packed[at:8] + packed[9:] if at <= 8 else packed[at:]
