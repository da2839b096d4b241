"""Rules for `[[listener]]`. Values are returned in canonical spelling: endpoints with their port, absolute paths."""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from msgspec.structs import replace

from pdns.config.addresses import Endpoint, parse_endpoint
from pdns.config.certificate_files import (
    CertificateDetails,
    CertificatePair,
    is_readable_by_all,
    read_client_authority,
    read_pair,
)
from pdns.config.credentials import secret_path
from pdns.config.listener_schema import ListenerCertificate, ListenerSection
from pdns.config.quic_rules import check_quic
from pdns.config.shape import Report, show
from pdns.config.system import is_local
from pdns.config.upstream_address import UpstreamAddress
from pdns.errors import InvalidCertificate

DEFAULT_PORTS: Final[Mapping[str, int]] = {"tls": 853, "https": 443, "quic": 853, "h3": 443}  # RFC 7858, 8484, 9250, 9114
DEFAULT_PATH: Final = "/dns-query"  # RFC 8484, 4.1.1, and what every client offers first
MOST_LISTENERS: Final = 32
MOST_ADDRESSES: Final = 16  # of one listener
MOST_CERTIFICATES: Final = 64  # of one listener
_OVER_HTTP: Final = ("https", "h3")
_OVER_TCP: Final = ("tls", "https")
_PATH: Final = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]+){1,8}")  # segments of RFC 3986, 3.3; the token of a tenant follows
_LONGEST_PATH: Final = 128
_DAY_S: Final = 86400.0

T = TypeVar("T")


class EncryptedSocket(NamedTuple):
    """What one listener binds."""

    endpoint: Endpoint
    transport: str

    @property
    def is_tcp(self) -> bool:
        return self.transport in _OVER_TCP


class ListenerRuleContext(Protocol):
    """The part of `pdns.config.rules.RuleContext` that is needed here."""

    report: Report
    directory: Path
    listening: dict[Endpoint, str]
    encrypted: dict[EncryptedSocket, str]
    certificates_in_force: Container[tuple[str, ...]]

    def parse(self, key: str, text: str, parser: Callable[[str], T]) -> T | None: ...
    def parse_all(self, key: str, texts: Iterable[str], parser: Callable[[str], T]) -> dict[T, str]: ...


def settle_listeners(listeners: tuple[ListenerSection, ...], around: ListenerRuleContext) -> tuple[ListenerSection, ...]:
    """Every `[[listener]]` in canonical form. Broken rules are reported."""
    if len(listeners) > MOST_LISTENERS:
        around.report.add("listener", f"expected at most {MOST_LISTENERS}, got {len(listeners)}")
        return ()
    return tuple(_settle(listener, f"listener[{index}]", around) for index, listener in enumerate(listeners))


def clash(taken: Mapping[EncryptedSocket, str], endpoint: Endpoint, *, tcp: bool, udp: bool) -> str:
    """The key of the encrypted listener whose socket is in the way of one at `endpoint`, or ""."""
    for one, key in taken.items():
        if (tcp if one.is_tcp else udp) and _overlap(one.endpoint, endpoint):
            return key
    return ""


def reaches_itself(upstream: UpstreamAddress, taken: Mapping[EncryptedSocket, str]) -> str:
    """The key of the encrypted listener that a query to `upstream` would reach, or ""."""
    for (endpoint, transport), key in taken.items():
        if endpoint.port != upstream.port or transport != upstream.transport:
            continue
        listener, asked = ipaddress.ip_address(endpoint.host), ipaddress.ip_address(upstream.host)
        if listener == asked or (listener.is_unspecified and listener.version == asked.version and is_local(upstream.host)):
            return key
    return ""


class ListenerNote(NamedTuple):
    """Something about a valid listener that an administrator should know."""

    key: str
    text: str


def certificate_pairs(listener: ListenerSection, at: str = "listener") -> Iterator[tuple[str, ListenerCertificate]]:
    """Each certificate of a listener with the key of its table."""
    for number, pair in enumerate(listener.pairs):
        yield (at if number == 0 else f"{at}.certificate[{number - 1}]"), pair


def details_of(listener: ListenerSection) -> tuple[CertificateDetails, ...]:
    """What the certificates of a settled listener say, in order: names and addresses that they are valid for, among others.

    Without those that cannot be read now.
    """
    found = []
    for pair in listener.pairs:
        with suppress(InvalidCertificate):
            found.append(read_pair(Path(pair.cert_file), Path(pair.key_file)).details)
    return tuple(found)


def listener_notes(listeners: Iterable[ListenerSection], now_s: float | None = None) -> list[ListenerNote]:
    """What is valid and still harms clients: expired certificates, certificates without names, keys that every user may read.

    `listeners` are settled. `now_s`: seconds since the epoch; None: now.
    """
    now_s = time.time() if now_s is None else now_s
    notes: list[ListenerNote] = []
    for index, listener in enumerate(listeners):
        for at, pair in certificate_pairs(listener, f"listener[{index}]"):
            if is_readable_by_all(Path(pair.key_file)):
                notes.append(ListenerNote(f"{at}.key_file", f"every user of this machine may read {pair.key_file}: chmod 640"))
            try:
                details = read_pair(Path(pair.cert_file), Path(pair.key_file)).details
            except InvalidCertificate as error:
                notes.append(ListenerNote(f"{at}.{error.key}", error.reason))
                continue
            if details.not_after_s <= now_s:
                days = (now_s - details.not_after_s) / _DAY_S
                expired = f"the certificate in {pair.cert_file} expired {days:.0f} days ago: encrypted clients refuse it"
                notes.append(ListenerNote(f"{at}.cert_file", expired))
            elif details.not_before_s > now_s:
                notes.append(ListenerNote(f"{at}.cert_file", f"the certificate in {pair.cert_file} is not valid yet"))
            if not details.names and not details.addresses:
                nameless = f"the certificate in {pair.cert_file} has no subject alternative name: clients refuse it (RFC 9525)"
                notes.append(ListenerNote(f"{at}.cert_file", nameless))
            if details.key_type == "Ed25519":
                unusual = "most browsers and phones do not accept Ed25519: use ECDSA P-256, or add it as a further certificate"
                notes.append(ListenerNote(f"{at}.cert_file", unusual))
    return notes


def _settle(listener: ListenerSection, at: str, around: ListenerRuleContext) -> ListenerSection:
    settled: dict[str, Any] = {"listen": _endpoints(listener, at, around), "path": _path(listener, at, around)}
    if len(listener.certificate) > MOST_CERTIFICATES:
        around.report.add(f"{at}.certificate", f"expected at most {MOST_CERTIFICATES}, got {len(listener.certificate)}")
        return listener
    pairs = [_pair(pair, key, around) for key, pair in certificate_pairs(listener, at)]
    settled |= {"cert_file": pairs[0].cert_file, "key_file": pairs[0].key_file, "certificate": tuple(pairs[1:])}
    settled |= _client_files(listener, at, around)
    check_quic(listener, at, around.report)
    return replace(listener, **settled)


def _endpoints(listener: ListenerSection, at: str, around: ListenerRuleContext) -> tuple[str, ...]:
    if len(listener.listen) > MOST_ADDRESSES:
        around.report.add(f"{at}.listen", f"expected at most {MOST_ADDRESSES} addresses, got {len(listener.listen)}")
        return ()
    port = DEFAULT_PORTS[listener.transport]
    found = around.parse_all(f"{at}.listen", listener.listen, lambda text: parse_endpoint(text, port))
    for endpoint, key in found.items():
        ours = EncryptedSocket(endpoint, listener.transport)
        plain = next((name for other, name in around.listening.items() if _overlap(other, endpoint)), "")
        if taken := plain or clash(around.encrypted, endpoint, tcp=ours.is_tcp, udp=not ours.is_tcp):
            what = "TCP" if ours.is_tcp else "UDP"
            around.report.add(key, f"{endpoint} over {what} is already {taken}")
        around.encrypted.setdefault(ours, key)
    return tuple(map(str, found))


def _overlap(one: Endpoint, other: Endpoint) -> bool:
    """Whether both cannot be bound: the same address, or all addresses and one of them. Port 0 is in no one's way."""
    if one.port != other.port or not one.port:
        return False
    first, second = ipaddress.ip_address(one.host), ipaddress.ip_address(other.host)
    return first == second or (first.version == second.version and (first.is_unspecified or second.is_unspecified))


def _path(listener: ListenerSection, at: str, around: ListenerRuleContext) -> str:
    if listener.transport not in _OVER_HTTP:
        if listener.path:
            around.report.add(f"{at}.path", f'only for transport = "https" or "h3", not "{listener.transport}"')
        return ""
    path = listener.path or DEFAULT_PATH
    if not path.startswith("/"):
        around.report.add(f"{at}.path", f'expected a path that begins with "/", such as "{DEFAULT_PATH}", got {show(path)}')
    elif not _PATH.fullmatch(path) or len(path) > _LONGEST_PATH or {".", ".."} & set(path.split("/")):
        expected = f'expected a path such as "{DEFAULT_PATH}", without "/" at the end, query or %'
        around.report.add(f"{at}.path", f"{expected}, at most {_LONGEST_PATH} characters, got {show(path)}")
    return path


def _pair(pair: ListenerCertificate, at: str, around: ListenerRuleContext) -> ListenerCertificate:
    cert_file = around.parse(f"{at}.cert_file", pair.cert_file, lambda text: secret_path(text, around.directory))
    key_file = around.parse(f"{at}.key_file", pair.key_file, lambda text: secret_path(text, around.directory))
    if cert_file is None or key_file is None:
        return pair
    settled = ListenerCertificate(cert_file=str(cert_file), key_file=str(key_file))
    if (settled.cert_file, settled.key_file) not in around.certificates_in_force:
        _reported(at, around, lambda: read_pair(cert_file, key_file))
    return settled


def _reported(at: str, around: ListenerRuleContext, read: Callable[[], CertificatePair | tuple[bytes, bytes]]) -> None:
    try:
        read()
    except InvalidCertificate as error:
        around.report.add(f"{at}.{error.key}", error.reason)


def _client_files(listener: ListenerSection, at: str, around: ListenerRuleContext) -> dict[str, str]:
    """The files for client certificates."""
    if listener.client_certificate == "off":
        for key in ("client_ca_file", "client_crl_file"):
            if getattr(listener, key):
                around.report.add(f"{at}.client_certificate", f'expected "optional" or "required" with {key}, got "off"')
                break
        return {}
    if not listener.client_ca_file:
        reason = f'required with client_certificate = "{listener.client_certificate}": the authority that signs them'
        around.report.add(f"{at}.client_ca_file", reason)
        return {}
    files: dict[str, Path | None] = {}
    for key in ("client_ca_file", "client_crl_file"):
        if text := getattr(listener, key):
            files[key] = around.parse(f"{at}.{key}", text, lambda text: secret_path(text, around.directory))
    authority, revoked = files["client_ca_file"], files.get("client_crl_file")
    if authority is not None and (str(authority), str(revoked or "")) not in around.certificates_in_force:
        _reported(at, around, lambda: read_client_authority(authority, revoked))
    return {key: str(path or "") for key, path in files.items()}
