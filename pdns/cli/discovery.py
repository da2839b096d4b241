"""What `pdns check` says about discovery: the records to publish, and lines for DHCP servers and routers."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET

from pdns.config.discovery_schema import DesignatedResolver
from pdns.config.schema import Config
from pdns.core.discovery import TTL_S, has_other_port, svcb_text
from pdns.core.network_options import (
    DHCPV4_OPTION,
    DHCPV6_OPTION,
    MOST_DHCPV4_BYTES,
    RA_LIFETIME_S,
    dhcpv4_option,
    dhcpv6_options,
    ra_options,
)


def discovery_summary(config: Config) -> Iterator[tuple[str, str]]:
    """Titles and values, as those of `pdns.cli.check.summary`; nothing without encrypted listeners."""
    designation = config.designation
    if designation is UNSET or not config.discovery.enabled:
        return
    verified = [one for one in designation.resolvers if one.verified]
    for one in verified:
        yield "discovery", f"_dns.resolver.arpa leads to {one.name}, port {one.port} ({', '.join(one.alpn)})"
    if not verified:
        yield "discovery", "_dns.resolver.arpa is NODATA: see the note"
    for name in designation.names:
        for priority, one in enumerate(designation.resolvers, 1):
            if one.name == name:
                yield "publish", f"_dns.{name}. {TTL_S} IN SVCB {svcb_text(one, priority)}"
    yield from _options(designation.resolvers)


def discovery_notes(config: Config) -> Iterator[str]:
    """Why clients that know only an address of this resolver cannot find the encrypted listeners."""
    designation = config.designation
    if designation is UNSET or not config.discovery.enabled or not designation.resolvers:
        return
    if designation.uncovered:
        addresses = ", ".join(designation.uncovered)
        yield f"discovery: a certificate is not valid for {addresses}: clients that know only this address stay unencrypted"
    elif not any(one.verified for one in designation.resolvers):
        yield "discovery: no certificate is valid for an IP address: clients that know only an address stay unencrypted"


def _options(resolvers: tuple[DesignatedResolver, ...]) -> Iterator[tuple[str, str]]:
    """The options of RFC 9463 in hexadecimal, then as the lines of servers that send them."""
    v4, v6, ra = dhcpv4_option(resolvers), dhcpv6_options(resolvers), ra_options(resolvers)
    if len(v4) > MOST_DHCPV4_BYTES:
        v4 = dhcpv4_option(resolvers[:1])
    if v4:
        yield "dhcpv4", f"option {DHCPV4_OPTION}: {v4.hex()}"
    for data in v6:
        yield "dhcpv6", f"option {DHCPV6_OPTION}: {data.hex()}"
    for data in ra:
        yield "ra", f"option {data[0]}: {data.hex()}"
    if v4:
        yield "kea", kea_line(DHCPV4_OPTION, v4)
    for data in v6:
        yield "kea", kea_line(DHCPV6_OPTION, data)
    if v4:
        yield "dnsmasq", f"dhcp-option={DHCPV4_OPTION},{v4.hex(':')}"
    for data in v6:
        yield "dnsmasq", f"dhcp-option=option6:{DHCPV6_OPTION},{data.hex(':')}"
    for priority, one in enumerate(resolvers, 1):
        if ra_options((one,)):
            yield "radvd", radvd_line(one, priority)


def kea_line(code: int, data: bytes) -> str:
    """A member of `option-data` of Kea, in `Dhcp4` or `Dhcp6`."""
    return f'{{ "code": {code}, "csv-format": false, "data": "{data.hex()}" }}'


def radvd_line(resolver: DesignatedResolver, priority: int) -> str:
    """A block of an interface of radvd. No release up to 2.21 has it."""
    parts = [f"AdvDNRPriority {priority};", f"AdvDNRLifetime {RA_LIFETIME_S};"]
    parts += [f"AdvDNRAddr {address};" for address in resolver.addresses if ":" in address]
    parts.append(f'AdvDNRSvcAlpn "{",".join(resolver.alpn)}";')
    if has_other_port(resolver):
        parts.append(f"AdvDNRSvcPort {resolver.port};")
    if resolver.path:
        parts.append(f'AdvDNRSvcDohpath "{resolver.path}{{?dns}}";')
    return f"DNR {resolver.name} {{ {' '.join(parts)} }};"
