"""From listeners and their certificates to what discovery says about them: RFC 9462 and 9461."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from pdns.config.addresses import Endpoint, parse_endpoint
from pdns.config.certificate_files import CertificateDetails, read_pair
from pdns.config.discovery_schema import DesignatedResolver, Designation
from pdns.config.listener_schema import ListenerSection
from pdns.config.schema import Server
from pdns.errors import InvalidCertificate

_ALPN: Final = {"tls": "dot", "quic": "doq", "https": "h2", "h3": "h3"}
MOST_RESOLVERS: Final = 8  # a client that asks over UDP must get them all


class _Fit(NamedTuple):
    """The certificate of a listener that clients who find it get to see."""

    name: str
    details: CertificateDetails
    uncovered: tuple[str, ...]


def designation_of(server: Server, listeners: Iterable[ListenerSection]) -> Designation | UnsetType:
    """What clients may be told; UNSET without encrypted listeners. Reads the files of certificates, which were checked before.

    A listener that demands client certificates is left out: a client that only found it has none.
    """
    plain = _plain_addresses(server)
    found: list[DesignatedResolver] = []
    names: list[str] = []
    uncovered: list[str] = []
    for listener in listeners:
        if listener.client_certificate == "required" or (fit := _fit(listener, plain)) is None:
            continue
        names += [name for name in fit.details.names if "*" not in name]
        uncovered += fit.uncovered
        found += _resolvers(listener, fit, plain)
    if not listeners:
        return UNSET
    merged = tuple(_merged(found)[:MOST_RESOLVERS])
    return Designation(resolvers=merged, names=tuple(dict.fromkeys(names)), uncovered=tuple(dict.fromkeys(uncovered)))


def _plain_addresses(server: Server) -> tuple[str, ...]:
    """Where clients ask without encryption, as far as the configuration names addresses. Loopback only if there is no other."""
    hosts = dict.fromkeys(parse_endpoint(text).host for text in server.listen)
    concrete = [host for host in hosts if not ipaddress.ip_address(host).is_unspecified]
    return tuple(_outside(concrete) or (concrete if len(concrete) == len(hosts) else ()))


def _outside(hosts: Iterable[str]) -> list[str]:
    return [host for host in hosts if not ipaddress.ip_address(host).is_loopback]


def _fit(listener: ListenerSection, plain: tuple[str, ...]) -> _Fit | None:
    """The first certificate with a name that leaves no address out, else the first with a name; None without any."""
    fits = []
    for pair in listener.pairs:
        try:
            details = read_pair(Path(pair.cert_file), Path(pair.key_file)).details
        except InvalidCertificate:
            continue  # it was readable a moment ago
        if (name := next((name for name in details.names if "*" not in name), "")) and "." in name:
            fits.append(_Fit(name, details, tuple(address for address in plain if not details.covers(address))))
    return min(fits, key=lambda fit: bool(fit.uncovered) or not fit.details.addresses, default=None)


def _resolvers(listener: ListenerSection, fit: _Fit, plain: tuple[str, ...]) -> list[DesignatedResolver]:
    """One for each port of the listener."""
    ports: dict[int, list[Endpoint]] = {}
    for text in listener.listen:
        endpoint = parse_endpoint(text)
        ports.setdefault(endpoint.port, []).append(endpoint)
    verified = bool(fit.details.addresses) and not fit.uncovered
    made = []
    for port, endpoints in ports.items():
        hosts = [one.host for one in endpoints]
        if any(ipaddress.ip_address(host).is_unspecified for host in hosts):
            hosts = [*fit.details.addresses] or [*plain]
        addresses = tuple(_outside(hosts) or hosts)
        made.append(
            DesignatedResolver(
                name=fit.name,
                alpn=(_ALPN[listener.transport],),
                port=port,
                addresses=addresses,
                path=listener.path,
                verified=verified,
            )
        )
    return [one for one in made if one.port]


def _merged(resolvers: Iterable[DesignatedResolver]) -> list[DesignatedResolver]:
    """Those that differ in nothing but the protocol become one: port 853 is DoT over TCP and DoQ over UDP."""
    merged: dict[DesignatedResolver, tuple[str, ...]] = {}
    for one in resolvers:
        key = replace(one, alpn=())
        merged[key] = (*merged.get(key, ()), *(alpn for alpn in one.alpn if alpn not in merged.get(key, ())))
    return [replace(key, alpn=alpn) for key, alpn in merged.items()]
