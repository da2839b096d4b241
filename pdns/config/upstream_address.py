"""Addresses of upstreams. None uses a resolver: an address says where the server is, and how it proves who it is."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from typing import Final, NamedTuple

from pdns.config.addresses import Endpoint, host_name, parse_endpoint
from pdns.config.dns_stamps import STAMP, stamp_text
from pdns.errors import InvalidAddress
from pdns.wire.transport import Transport

PIN: Final = "pin"  # SHA-256 of the public key of the server's certificate (RFC 7858, 4.2)
TBS: Final = "tbs"  # SHA-256 of the signed part of a certificate in the verified chain, as in DNS stamps

_TRANSPORTS: Final = (Transport.UDP, Transport.TCP, Transport.TLS, Transport.HTTPS, Transport.QUIC)
_DEFAULT_PATH = "/dns-query"
_PATH = re.compile(r"/[!$&-;=?-Z_a-z~%@]*")  # RFC 3986, 3.3 and 3.4
_HOST = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+\.?(:[0-9]+)?")
_DIGEST = re.compile(rf"({PIN}|{TBS})=sha256/([A-Za-z0-9+/]{{43}}=)")


class UpstreamAddress(NamedTuple):
    """An upstream. `server_name` is the name that its certificate must be valid for; with "" an encrypted one has a pin.

    `path` is that of a URL, with https only. `proofs` are digests of keys and certificates, as `pin=sha256/BASE64` and
    `tbs=sha256/BASE64`: one of each kind that is there must match.
    """

    transport: Transport
    host: str
    port: int
    server_name: str
    path: str = ""
    proofs: tuple[str, ...] = ()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.host, self.port)

    @property
    def authority(self) -> str:
        """Host and port as in URLs, by name if there is one."""
        if not self.server_name:
            return str(self.endpoint)
        return self.server_name if self.port == self.transport.default_port else f"{self.server_name}:{self.port}"

    def digests(self, kind: str) -> frozenset[bytes]:
        """The SHA-256 digests of the kind `PIN` or `TBS`."""
        start = f"{kind}=sha256/"
        return frozenset(base64.b64decode(proof[len(start) :]) for proof in self.proofs if proof.startswith(start))

    def __str__(self) -> str:
        proof = ";".join(filter(None, (self.server_name, *self.proofs)))
        return f"{self.transport}://{self.endpoint}{self.path}" + (f"#{proof}" if proof else "")


def parse_upstream(text: str) -> UpstreamAddress:
    """The upstream spelt `udp://ip[:53]`, `tcp://ip[:53]`, `tls://ip[:853]#server.name`, `https://ip[:443]/path#server.name`,
    `quic://ip[:853]#server.name`, `ip[:53]` (udp), or as a DNS stamp.

    After `#`, separated by `;`: the name, pins, or both.
    """
    if text.startswith(STAMP):
        text = stamp_text(text)
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = Transport.UDP, text
    if scheme not in _TRANSPORTS:
        raise InvalidAddress("expected udp://, tcp://, tls://, https:// or quic:// before the address, or a DNS stamp (sdns://)")
    transport = Transport(scheme)
    where, hash_sign, proof = rest.partition("#")
    path = ""
    if transport is Transport.HTTPS:
        where, path = _split_path(where)
    if transport.is_encrypted and _HOST.fullmatch(where) and not _is_address(where):
        host, colon, port = where.partition(":")
        example = f"{transport}://192.0.2.1{colon}{port}{path}#{host.lower()}"
        raise InvalidAddress(f'expected the address of the server, since no name is looked up to reach it, as in "{example}"')
    endpoint = parse_endpoint(where, transport.default_port)
    address = ipaddress.ip_address(endpoint.host)
    if address.is_unspecified or address.is_multicast:
        raise InvalidAddress("expected the address of one server")
    if endpoint.port == 0:
        raise InvalidAddress("expected a port from 1 to 65535")
    if hash_sign and not transport.is_encrypted:
        raise InvalidAddress("expected #server.name with tls://, https:// or quic:// only")
    server_name, proofs = _proof(proof)
    if transport.is_encrypted and not server_name and not any(one.startswith(PIN) for one in proofs):
        example = f"{transport}://{endpoint}{path}#dns.example.net"
        raise InvalidAddress(f'expected also the name in its certificate, as in "{example}"')
    if transport is Transport.QUIC and any(one.startswith(TBS) for one in proofs):
        raise InvalidAddress(
            "expected pin= instead of tbs= with quic://: digests of certificates are checked by TLS over TCP only"
        )
    return UpstreamAddress(transport, *endpoint, server_name, path, proofs)


def _split_path(where: str) -> tuple[str, str]:
    where, _, path = where.partition("/")
    path = f"/{path}" if path else _DEFAULT_PATH
    if "{" in path:
        raise InvalidAddress("expected a path without {?dns}: queries are sent by POST")
    if not _PATH.fullmatch(path):
        raise InvalidAddress(f"expected a path as in URLs after the address, such as {_DEFAULT_PATH}")
    return where, path


def _proof(text: str) -> tuple[str, tuple[str, ...]]:
    """The name and the digests after `#`."""
    name, proofs = "", []
    for index, part in enumerate(text.split(";") if text else ()):
        if index == 0 and "=" not in part:
            name = host_name(part, "a host name after #")
            continue
        digest = _DIGEST.fullmatch(part)
        if digest is None or not _is_base64(digest[2]):
            raise InvalidAddress("expected after the name, separated by ;, pins such as pin=sha256/ and 44 characters of base64")
        proofs.append(part)
    return name, tuple(dict.fromkeys(proofs))


def _is_base64(text: str) -> bool:
    """Whether `text` is the only spelling of what it stands for."""
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode() == text
    except binascii.Error:
        return False


def _is_address(where: str) -> bool:
    try:
        parse_endpoint(where)
    except InvalidAddress:
        return False
    return True
