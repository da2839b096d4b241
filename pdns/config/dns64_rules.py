"""Rules for `[dns64]`. Values are returned in canonical spelling."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol, TypeVar

from msgspec.structs import replace

from pdns.config import addresses
from pdns.config.schema import Dns64
from pdns.config.shape import Report, show
from pdns.errors import InvalidAddress

_WELL_KNOWN: Final = ipaddress.IPv6Network("64:ff9b::/96")
_LOCAL: Final = ipaddress.IPv6Network("64:ff9b:1::/48")
_OTHER_USES: Final = {  # no NAT64 is reached there
    ipaddress.IPv6Network(text): use
    for text, use in (
        ("::/8", "reserved, except 64:ff9b::/96 and 64:ff9b:1::/48"),
        ("2001::/32", "Teredo"),
        ("2002::/16", "6to4"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    )
}

T = TypeVar("T")


class Dns64Context(Protocol):
    """The part of `pdns.config.rules.RuleContext` that is needed here."""

    report: Report
    nat64_prefixes: Mapping[str, str]  # of the section [block], each with its key

    def parse(self, key: str, text: str, parser: Callable[[str], T]) -> T | None: ...
    def canonical(self, key: str, texts: Iterable[str], parser: Callable[[str], object]) -> tuple[str, ...]: ...


def settle_dns64(dns64: Dns64, around: Dns64Context) -> Dns64:
    """`[dns64]`."""
    prefix = around.parse("dns64.prefix", dns64.prefix, _prefix) if dns64.prefix else ""
    if prefix:
        _check_overlap(ipaddress.IPv6Network(prefix), around)
    return replace(
        dns64,
        prefix=prefix or "",
        networks=around.canonical("dns64.networks", dns64.networks, addresses.parse_network),
        exclude=around.canonical("dns64.exclude", dns64.exclude, _ipv6_network),
        ipv4_exclude=around.canonical("dns64.ipv4_exclude", dns64.ipv4_exclude, _ipv4_network),
    )


def _prefix(text: str) -> str:
    prefix = addresses.parse_nat64_prefix(text)
    network = ipaddress.IPv6Network(prefix)
    if network.network_address.packed[8]:
        raise InvalidAddress("expected a prefix in which the bits from 64 to 71 are zero (RFC 6052, 2.2)")
    for other, use in _OTHER_USES.items():
        if network.overlaps(other) and network != _WELL_KNOWN and not network.subnet_of(_LOCAL):
            raise InvalidAddress(f"expected the prefix of a NAT64; {other} is {use}")
    return prefix


def _check_overlap(prefix: ipaddress.IPv6Network, around: Dns64Context) -> None:
    """An address behind two prefixes of different lengths would be read in two ways."""
    for text, key in around.nat64_prefixes.items():
        other = ipaddress.IPv6Network(text)
        if other.overlaps(prefix) and other != prefix:
            around.report.add("dns64.prefix", f"expected no prefix that overlaps {key} ({other}), got {show(str(prefix))}")


def _ipv6_network(text: str) -> str:
    try:
        network = ipaddress.IPv6Network(text)
    except ValueError:
        raise InvalidAddress("expected an IPv6 network such as 2001:db8::/32, with no bits beyond its length") from None
    mapped = network.network_address.ipv4_mapped
    if mapped is None:
        return str(network)
    high, low = divmod(int(mapped), 0x10000)  # Python 3.13 writes these with dots, earlier versions without
    return f"::ffff:{high:x}:{low:x}/{network.prefixlen}"


def _ipv4_network(text: str) -> str:
    network = addresses.parse_network(text)
    if network.version != 4:
        raise InvalidAddress("expected an IPv4 network such as 192.0.2.0/24")
    return str(network)
