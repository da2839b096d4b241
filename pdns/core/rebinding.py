"""Protection from DNS rebinding: an answer for a public name must not hold an address of the networks behind this resolver."""

# kernel: pdns/fast/private.pyx

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address

from pdns.config.schema import Rebinding
from pdns.core.allow_list import AllowList
from pdns.core.answers import negative_entry
from pdns.core.chain import Chain
from pdns.core.embedded import Embeddings
from pdns.core.entry import Entry
from pdns.core.response_check import service_of
from pdns.wire import protocol as p
from pdns.wire.message import Message

PRIVATE_NETWORKS: tuple[IPv4Network | IPv6Network, ...] = (
    IPv4Network("0.0.0.0/8"),  # Linux connects 0.0.0.0 to the machine itself
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),  # shared (RFC 6598)
    IPv4Network("127.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv6Network("::/127"),  # unspecified and loopback
    IPv6Network("fc00::/7"),
    IPv6Network("fe80::/10"),
    IPv6Network("fec0::/10"),  # site-local, which some still use (RFC 3879)
)
_HEADS = {
    size: tuple(
        (int(network.network_address) >> (shift := network.max_prefixlen - network.prefixlen), shift)
        for network in PRIVATE_NETWORKS
        if network.max_prefixlen == 8 * size
    )
    for size in (4, 16)
}
_MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291, 2.5.5.2
_ISATAP = (b"\0\0\x5e\xfe", b"\2\0\x5e\xfe")  # RFC 5214, 6.1


class PrivateAnswers:
    """Finds private addresses in answers. With `enabled` false there is nothing to look for."""

    def __init__(self, config: Rebinding, embeddings: Embeddings) -> None:
        self.enabled = config.block_private_answers
        self.nat64 = embeddings.nat64
        self._embeddings = embeddings
        self._allow = AllowList(config.allow)

    def find(self, qname: bytes, message: Message, chain: Chain) -> bytes | None:
        """The first private address (4 or 16 bytes) in the answer to a query for `qname`; None where there is none, or where it
        is allowed.
        """
        if not self.enabled or self._allow.allows(qname):
            return None
        return next(filter(self.is_private, _addresses(message, chain)), None)

    def is_private(self, packed: bytes) -> bool:
        """Whether the address (4 or 16 bytes), or an IPv4 address inside it, is in one of `PRIVATE_NETWORKS`."""
        if _is_in_private_network(packed):
            return True
        return len(packed) == 16 and any(map(_is_in_private_network, self._inside(packed)))

    def _inside(self, packed: bytes) -> Iterator[bytes]:
        if packed[:12] == _MAPPED or packed[8:12] in _ISATAP:
            yield packed[12:]
        yield from self._embeddings.inside(packed)


def denied_entry(qname: bytes, address: bytes, now: float, ttl_s: int, rules_epoch: int) -> Entry:
    """NODATA instead of an answer that holds `address`. The Extended DNS Error is 15, Blocked: the operator's policy refuses the
    answer (RFC 8914, 4.16).
    """
    entry = negative_entry(p.NOERROR, qname, qname, "local", now, ttl_s)
    entry.ede = (p.EDE_BLOCKED, f"rebinding protection: {ip_address(address)} is a private address".encode())
    entry.rules_epoch = rules_epoch
    return entry


def _is_in_private_network(packed: bytes) -> bool:
    number = int.from_bytes(packed)
    return any(number >> shift == head for head, shift in _HEADS[len(packed)])


def _addresses(message: Message, chain: Chain) -> Iterator[bytes]:
    for record in chain.records:
        if record.rclass != p.CLASS_IN:
            continue
        if record.rtype in (p.A, p.AAAA):
            yield message.wire[record.rdata_at : record.end]
        elif record.rtype in (p.HTTPS, p.SVCB):
            yield from service_of(message, record)[1]
