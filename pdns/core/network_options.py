"""The options by which DHCP servers and routers announce an encrypted resolver (RFC 9463), as bytes."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

from pdns.config.discovery_schema import DesignatedResolver
from pdns.core.discovery import svc_params
from pdns.wire import names

DHCPV4_OPTION: Final = 162
DHCPV6_OPTION: Final = 144
RA_OPTION: Final = 144
RA_LIFETIME_S: Final = 1800  # three times the longest usual interval between router advertisements
MOST_DHCPV4_BYTES: Final = 255  # longer ones are split (RFC 3396), which not every server can


def dhcpv4_option(resolvers: Iterable[DesignatedResolver]) -> bytes:
    """The data of option 162 (RFC 9463, 5.1): one instance for each resolver with an IPv4 address; b"" without any."""
    data = b""
    for priority, one in enumerate(resolvers, 1):
        if addresses := _packed(one, 4):
            name = names.from_text(one.name)
            instance = priority.to_bytes(2) + bytes([len(name)]) + name + bytes([len(addresses)]) + addresses + _params(one)
            data += len(instance).to_bytes(2) + instance
    return data


def dhcpv6_options(resolvers: Iterable[DesignatedResolver]) -> list[bytes]:
    """The data of each option 144 (RFC 9463, 4.1): one for each resolver with an IPv6 address."""
    return [
        priority.to_bytes(2) + _sized(names.from_text(one.name)) + _sized(addresses) + _params(one)
        for priority, one in enumerate(resolvers, 1)
        if (addresses := _packed(one, 6))
    ]


def ra_options(resolvers: Iterable[DesignatedResolver], lifetime_s: int = RA_LIFETIME_S) -> list[bytes]:
    """The whole of each option of router advertisements (RFC 9463, 6.1), padded to a multiple of eight bytes."""
    options = []
    for priority, one in enumerate(resolvers, 1):
        if not (addresses := _packed(one, 6)):
            continue
        body = priority.to_bytes(2) + lifetime_s.to_bytes(4) + _sized(names.from_text(one.name)) + _sized(addresses)
        body += _sized(_params(one))
        units = -(-(len(body) + 2) // 8)
        options.append(bytes([RA_OPTION, units]) + body.ljust(units * 8 - 2, b"\0"))
    return options


def _packed(resolver: DesignatedResolver, version: int) -> bytes:
    addresses = map(ipaddress.ip_address, resolver.addresses)
    return b"".join(one.packed for one in addresses if one.version == version and not one.is_loopback)


def _params(resolver: DesignatedResolver) -> bytes:
    return b"".join(key.to_bytes(2) + _sized(value) for key, value in svc_params(resolver, hints=False))


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data
