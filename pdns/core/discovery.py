"""What this resolver says of itself: how it is reached over encrypted transports (RFC 9462), and what it does (RFC 9606)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final, Self

from msgspec import UNSET

from pdns.config.discovery_schema import DesignatedResolver
from pdns.config.schema import Config
from pdns.core.answers import answer_entry
from pdns.core.entry import Entry
from pdns.core.query import Query
from pdns.wire import names
from pdns.wire import protocol as p

TTL_S: Final = 300  # a listener that is given up must be forgotten soon
ERRORS: Final = "0,3,6-12,14-19,21-23,25,27,29,30,35"  # Extended DNS Errors that clients may get, those of upstreams included
DDR_NAME: Final = names.from_text("_dns.resolver.arpa")
_INFO_NAME: Final = names.from_text("resolver.arpa")
_ALPN, _PORT, _IPV4HINT, _IPV6HINT, _DOHPATH = 1, 3, 4, 6, 7  # RFC 9460, 14.3.2; RFC 9461, 5
_PORTS: Final = {"dot": 853, "doq": 853, "h2": 443, "h3": 443}  # what clients take without the parameter `port` (RFC 9461, 4.2)
_TEMPLATE: Final = "{?dns}"  # of GET requests (RFC 6570)
_ARCOUNT: Final = slice(10, 12)


class OwnAnswer(Entry):
    """An answer about this resolver: with addresses in the additional section, or AA, without which clients believe no RESINFO
    (RFC 9606, 3).
    """

    __slots__ = ("additional", "additional_count", "authoritative")

    def __init__(self, rtype: int, rdatas: list[bytes], now: float, *, authoritative: bool = False) -> None:
        plain = answer_entry(rtype, rdatas, "local", now, TTL_S)
        super().__init__(p.NOERROR, "local", now, TTL_S, body=plain.body, counts=plain.counts, ttls=plain.ttls)
        self.authoritative = authoritative
        self.additional = b""
        self.additional_count = 0

    def render(self, query: Query, now: float, max_bytes: int, *, stale_ttl_s: int = -1) -> bytes:
        """As `Entry.render`. Addresses that do not fit are left out without TC (RFC 2181, 9)."""
        wire = super().render(query, now, max_bytes, stale_ttl_s=stale_ttl_s)
        flags = int.from_bytes(wire[2:4])
        if flags & p.TC:
            return wire
        if self.authoritative:
            flags |= p.AA
        end = p.HEADER_BYTES + len(query.question) + len(self.body)
        additional, count = self.additional, int.from_bytes(wire[_ARCOUNT]) + self.additional_count
        if not additional or len(wire) + len(additional) > max_bytes:
            return wire[:2] + flags.to_bytes(2) + wire[4:]
        return wire[:2] + flags.to_bytes(2) + wire[4:10] + count.to_bytes(2) + wire[12:end] + additional + wire[end:]


class OwnNames:
    """The answers of one configuration."""

    def __init__(self, resolvers: Iterable[DesignatedResolver], own: Iterable[str], info_url: str) -> None:
        """`own`: names of this resolver."""
        resolvers = tuple(resolvers)
        verified = [one for one in resolvers if one.verified]
        self._svcb: dict[bytes, list[DesignatedResolver]] = {DDR_NAME: verified} if verified else {}
        for name in own:
            self._svcb[b"\4_dns" + names.from_text(name)] = [one for one in resolvers if one.name == name] or [*resolvers]
        self._info = {names.from_text(name) for name in own} | ({_INFO_NAME} if verified else set())
        self._info_rdata = resinfo_rdata(info_url)
        self.filter_keys = frozenset(names.filter_key(name) for name in (*self._svcb, *self._info))

    @classmethod
    def of(cls, config: Config) -> Self:
        """Those of a settled configuration; none without encrypted listeners."""
        designation, section = config.designation, config.discovery
        if designation is UNSET or not section.enabled:
            return cls((), (), "")
        return cls(designation.resolvers, designation.names, section.info_url)

    def answer(self, qname: bytes, qtype: int, now: float, *, do: bool = False) -> OwnAnswer | None:
        """What is said of a name in lower case; None where nothing is.

        A client with `do` gets no SVCB records of a public name: they are not signed, and the public ones may be.
        """
        if qtype == p.RESINFO and qname in self._info:
            return OwnAnswer(p.RESINFO, [self._info_rdata], now, authoritative=True)
        if qtype != p.SVCB or (do and qname != DDR_NAME) or (resolvers := self._svcb.get(qname)) is None:
            return None
        entry = OwnAnswer(p.SVCB, [svcb_rdata(one, priority) for priority, one in enumerate(resolvers, 1)], now)
        for name, addresses in {one.name: one.addresses for one in reversed(resolvers)}.items():
            for address in map(ipaddress.ip_address, addresses):
                rtype = p.A if address.version == 4 else p.AAAA
                head = names.from_text(name) + rtype.to_bytes(2) + p.CLASS_IN.to_bytes(2) + TTL_S.to_bytes(4)
                entry.additional += head + len(address.packed).to_bytes(2) + address.packed
                entry.additional_count += 1
        return entry


def svcb_rdata(resolver: DesignatedResolver, priority: int) -> bytes:
    """The RDATA of the SVCB record (RFC 9460, 2.2): its keys in ascending order."""
    rdata = priority.to_bytes(2) + names.from_text(resolver.name)
    for key, value in svc_params(resolver):
        rdata += key.to_bytes(2) + len(value).to_bytes(2) + value
    return rdata


def svc_params(resolver: DesignatedResolver, *, hints: bool = True) -> list[tuple[int, bytes]]:
    """The service parameters; without `hints` those that RFC 9463 allows in options of DHCP and RA (3.1.5)."""
    params = [(_ALPN, b"".join(bytes([len(one)]) + one.encode() for one in resolver.alpn))]
    if has_other_port(resolver):
        params.append((_PORT, resolver.port.to_bytes(2)))
    addresses = [ipaddress.ip_address(address) for address in resolver.addresses] if hints else []
    for key, version in ((_IPV4HINT, 4), (_IPV6HINT, 6)):
        if packed := b"".join(address.packed for address in addresses if address.version == version):
            params.append((key, packed))
    if resolver.path:
        params.append((_DOHPATH, (resolver.path + _TEMPLATE).encode()))
    return params


def has_other_port(resolver: DesignatedResolver) -> bool:
    """Whether clients must be told the port."""
    return any(resolver.port != _PORTS[alpn] for alpn in resolver.alpn)


def svcb_text(resolver: DesignatedResolver, priority: int) -> str:
    """The same in the presentation format, after the type (RFC 9460, 2.1)."""
    addresses = [ipaddress.ip_address(address) for address in resolver.addresses]
    parts = [str(priority), f"{resolver.name}.", f"alpn={','.join(resolver.alpn)}"]
    if has_other_port(resolver):
        parts.append(f"port={resolver.port}")
    for key, version in (("ipv4hint", 4), ("ipv6hint", 6)):
        if hinted := [str(address) for address in addresses if address.version == version]:
            parts.append(f"{key}={','.join(hinted)}")
    if resolver.path:
        parts.append(f'dohpath="{resolver.path}{_TEMPLATE}"')
    return " ".join(parts)


def resinfo_rdata(info_url: str) -> bytes:
    """The RDATA of the RESINFO record: texts as in TXT (RFC 9606, 5). `qnamemin` is not claimed: others resolve for us."""
    texts = [f"exterr={ERRORS}", *([f"infourl={info_url}"] if info_url else [])]
    return b"".join(bytes([len(text)]) + text.encode() for text in texts)
