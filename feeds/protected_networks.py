"""Networks that no list blocks by itself: too wide ones, our own, and those that many depend on."""

from __future__ import annotations

import ipaddress
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pdns.config.addresses import IPNetwork, parse_endpoint, zone_of
from pdns.config.schema import Config
from pdns.config.upstream_address import parse_upstream

NETWORKS: Final = Path(__file__).parent / "networks.txt"
_NARROWEST_OWN: Final = {4: 8, 6: 16}  # who lets in more than this lets in the world: that is nothing of one's own
Reason = tuple[str, str]  # why, and its kind


def networks_of(config: Config) -> dict[str, Reason]:
    """Our own networks and addresses: clients', listeners', upstreams', sinkholes', feeds' primaries."""
    found: dict[str, Reason] = {}
    for network in config.access.networks:
        found[network] = ("of clients (access.networks)", "network")
    for tenant in config.tenant:
        found |= dict.fromkeys(tenant.networks, (f"of tenant {tenant.name}", "network"))
    for address in config.block.sinkhole:
        found[address] = ("a sinkhole address", "network")
    for listener in config.server.listen:
        host = parse_endpoint(listener).host
        if not ipaddress.ip_address(host).is_unspecified:
            found[host] = ("an address of this resolver", "network")
    for server in config.upstream.servers:
        found[parse_upstream(server).host] = ("an upstream", "network")
    for feed in config.feed:
        if (zone := zone_of(feed.url)) is not None:
            found[zone.host] = (f"where feed {feed.name} comes from", "network")
    return {str(ipaddress.ip_network(text)): reason for text, reason in found.items() if _is_own(ipaddress.ip_network(text))}


def _is_own(network: IPNetwork) -> bool:
    return network.prefixlen >= _NARROWEST_OWN[network.version]


class ProtectedNetworks:
    """All protected networks, ready to be compared with lists."""

    def __init__(self, own: Mapping[str, Reason], widest: tuple[int, int], *, shipped: bool) -> None:
        """`widest`: the shortest prefixes of IPv4 and IPv6 that are fine; `shipped`: those of `networks.txt` too."""
        self._widest = {32: widest[0], 128: widest[1]}
        self._at: dict[int, dict[tuple[int, int], Reason]] = {32: {}, 128: {}}  # bits -> (prefix length, prefix) -> why
        for text, reason in (*(_shipped() if shipped else ()), *own.items()):
            network = ipaddress.ip_network(text)
            bits = network.max_prefixlen
            self._at[bits][network.prefixlen, int(network.network_address) >> (bits - network.prefixlen)] = reason
        self._lengths = {bits: sorted({length for length, _ in found}) for bits, found in self._at.items()}
        self._starts = {
            bits: sorted((prefix << (bits - length), length) for length, prefix in found) for bits, found in self._at.items()
        }

    def reasons(self, key: bytes) -> Iterator[Reason]:
        """Why the network with this key (as in `feeds.entries`) is caught: it is too wide, or overlaps a protected one."""
        bits, length, number = 8 * (len(key) - 1), key[-1], int.from_bytes(key[:-1])
        if length < self._widest[bits]:
            yield f"wider than /{self._widest[bits]}", "wide"
        protected = self._at[bits]
        for above in self._lengths[bits]:
            if above > length:
                break
            if (reason := protected.get((above, number >> (bits - above)))) is not None:
                yield reason
        starts, at = self._starts[bits], bisect_left(self._starts[bits], (number, length + 1))
        while at < len(starts) and starts[at][0] < number + (1 << (bits - length)):
            start, within = starts[at]
            if within > length:
                why, kind = protected[within, start >> (bits - within)]
                yield f"has {_text(start, within, bits)} in it: {why}", kind
            at += 1


def network_key(text: str) -> bytes:
    """The key of the network or address that `text` spells; empty when it spells none."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return b""
    return network.network_address.packed + bytes((network.prefixlen,))


def network_text(key: bytes) -> str:
    """What `network_key` made `key` of."""
    return _text(int.from_bytes(key[:-1]), key[-1], 8 * (len(key) - 1))


def _text(number: int, length: int, bits: int) -> str:
    address = ipaddress.IPv4Address(number) if bits == 32 else ipaddress.IPv6Address(number)
    return str(address) if length == bits else f"{address}/{length}"


def _shipped() -> Iterator[tuple[str, Reason]]:
    reason = ("", "")
    for line in NETWORKS.read_text(encoding="ascii").splitlines():
        if line.startswith("# "):
            kind, _, why = line[2:].partition(": ")
            reason = (why, kind)
        elif line:
            yield line, reason
