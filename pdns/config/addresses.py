"""Parsers for addresses in the configuration: endpoints, networks, feed sources, allowed names.

Every `parse_` function takes text and returns the canonical value or raises `InvalidAddress`; none uses a resolver.
`str()` of a result is its canonical spelling, and parses to the same value.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from pdns.errors import InvalidAddress, InvalidName
from pdns.wire import names

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

DNS_PORT: Final = 53

WEB_KINDS: Final = ("taxii+", "misp+", "misp-api+")  # protocols over HTTP other than a plain GET

_AXFR = "axfr://"
_ENDPOINT = '"ip:port" or "[ipv6]:port"'
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MISSPELT = re.compile(r"(?:ht+p|hpp|htt|hxxp|http)(s?)(?:[:;]/{0,3}|/{2})(?=[\w-]+\.)", re.IGNORECASE)
_BARE_HOST = re.compile(r"(?:www\.[\w.-]+\Z|(?:[a-z0-9-]+\.)+[a-z]{2,}(?::[0-9]+)?/)", re.IGNORECASE)
_HOST_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


class Endpoint(NamedTuple):
    """An address to listen on. `host` is an IP address in canonical text; port 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ZoneAddress(NamedTuple):
    """A zone to transfer, and the primary that has it. `zone` is in canonical text, without the last dot."""

    host: str
    port: int
    zone: str

    def __str__(self) -> str:
        return f"{_AXFR}{Endpoint(self.host, self.port)}/{self.zone}"


class AllowedName(NamedTuple):
    """A name in wire form that is never blocked, with everything below it; with `below_only` (`*.x`) only what is below."""

    name: bytes
    below_only: bool

    def __str__(self) -> str:
        return "*." * self.below_only + names.to_text(self.name)


def parse_address(text: str) -> IPAddress:
    """The IP address in `text`; an IPv4-mapped address is returned as IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise InvalidAddress("expected an IP address") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_endpoint(text: str, default_port: int = DNS_PORT) -> Endpoint:
    """The endpoint spelt `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:53`."""
    port: str | None = None
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise InvalidAddress(f"expected {_ENDPOINT}")
        port = rest[1:] if rest else None
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host = text
    try:
        address = parse_address(host)
    except InvalidAddress:
        raise InvalidAddress(f"expected {_ENDPOINT} with a numeric address") from None
    if port is None:
        return Endpoint(str(address), default_port)
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise InvalidAddress("expected a port from 0 to 65535")
    return Endpoint(str(address), int(port))


def reachable(endpoint: Endpoint) -> Endpoint:
    """`endpoint`, or this machine where it is a wildcard."""
    return endpoint._replace(host={"0.0.0.0": "127.0.0.1", "::": "::1"}.get(endpoint.host, endpoint.host))  # noqa: S104


def parse_network(text: str) -> IPNetwork:
    """The network spelt `192.0.2.0/24`, `2001:db8::/32`, or a bare address, which stands for itself alone."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        network = None
    if network is None or "%" in text:
        raise InvalidAddress("expected a network such as 192.0.2.0/24 or 2001:db8::/32")
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96 and (mapped := network.network_address.ipv4_mapped):
        raise InvalidAddress(f"expected it as an IPv4 network: {mapped}/{network.prefixlen - 96}")
    if ipaddress.ip_interface(text).ip != network.network_address:
        raise InvalidAddress(f"expected no bits beyond /{network.prefixlen}, as in {network}")
    return network


def parse_nat64_prefix(text: str) -> str:
    """The prefix of a NAT64, with a length permitted by RFC 6052 (2.2)."""
    network = parse_network(text)
    if network.version != 6 or network.prefixlen not in (32, 40, 48, 56, 64, 96):
        raise InvalidAddress("expected an IPv6 prefix of 32, 40, 48, 56, 64 or 96 bits, such as 2001:db8:64::/96")
    return str(network)


def parse_allowed(text: str) -> AllowedName:
    """The meaning of an `allow` entry, `x` or `*.x`."""
    below_only = text.startswith("*.")
    bare = text[2:] if below_only else text
    if "://" in text:
        raise InvalidAddress("expected a domain name, which is the part of a URL between // and the next /")
    try:
        name = names.from_text(bare)
    except InvalidName as error:
        raise InvalidAddress(f"expected a domain name ({error.reason})") from None
    spelt = names.to_text(name)
    if "\\" not in bare and spelt != "." and not _HOST_NAME.fullmatch(spelt):
        raise InvalidAddress('expected a domain name, or "*." and a domain name')
    if spelt.rpartition(".")[2].isdigit():
        raise InvalidAddress("expected a domain name, not an address")
    return AllowedName(name, below_only)


def parse_zone_name(text: str) -> str:
    """The canonical spelling of a name without `*.`."""
    if (allowed := parse_allowed(text)).below_only:
        raise InvalidAddress('expected a domain name without "*."')
    return names.to_text(allowed.name)


def parse_host(text: str) -> str:
    """A host as in URLs, without a port: a name in canonical text, or an IP address with or without brackets."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(parse_address(bare))
    except InvalidAddress:
        pass
    try:
        name = names.to_text(names.from_text(text))
    except InvalidName as error:
        raise InvalidAddress(f"expected a host name or an address ({error.reason})") from None
    if not _HOST_NAME.fullmatch(name) or name.rpartition(".")[2].isdigit():
        raise InvalidAddress("expected a host name or an address")
    return name


def parse_source(text: str, directory: Path) -> str:
    """The URL of a feed: http and https as they stand, and so those of `WEB_KINDS`; `file:` URLs and bare paths as
    `file:///absolute/path`; zone transfers as `ZoneAddress` spells them; `fleet:` and a name as they stand.

    Relative paths start at `directory`, `~` is a home directory.
    """
    if not text or _CONTROL.search(text):
        raise InvalidAddress("expected a URL or a path")
    scheme = _SCHEME.match(text)
    if scheme is None:
        return absolute_path(text, directory).as_uri()
    if scheme[1].lower() == "file":
        rest = text[scheme.end() :]
        if rest.startswith("//"):
            host, _, rest = rest[2:].partition("/")
            if host not in ("", "localhost"):
                raise InvalidAddress("expected file:path or file:///path, without a host")
            rest = f"/{rest}"
        return absolute_path(unquote(rest), directory).as_uri()
    if scheme[1].lower() == "axfr":
        return str(parse_zone(text))
    if scheme[1] == "fleet":
        return text
    kind, plus, web_scheme = scheme[1].lower().rpartition("+")
    if web_scheme not in ("http", "https") or kind + plus not in ("", *WEB_KINDS):
        raise InvalidAddress("expected an https:, http:, file: or axfr: URL, or a path")
    parse_web(text[len(kind + plus) :])
    return text


def meant_url(text: str) -> str:
    """The URL that was probably meant if the scheme is missing or misspelt; "" if `text` is a URL or looks unlike one."""
    if misspelt := _MISSPELT.match(text):
        return (
            f"http{misspelt[1].lower()}://{text[misspelt.end() :]}" if misspelt[0].lower() not in ("http://", "https://") else ""
        )
    return f"https://{text}" if _BARE_HOST.match(text) else ""


def parse_web(text: str, *schemes: str) -> str:
    """An http or https URL (or one of `schemes` alone) as it stands."""
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and parts.port != 0 and " " not in text and not _CONTROL.search(text)
    except ValueError:
        usable = False
    if not usable or parts.scheme.lower() not in (schemes or ("http", "https")):
        raise InvalidAddress(f"expected a URL such as {(schemes or ('https',))[0]}://example.net/list.txt")
    return text


def parse_zone(text: str) -> ZoneAddress:
    """The zone and its primary spelt `axfr://192.0.2.1/rpz.example` or `axfr://[2001:db8::1]:5353/rpz.example`."""
    where, slash, zone = text[len(_AXFR) :].partition("/")
    if not text.lower().startswith(_AXFR) or not slash or not zone:
        raise InvalidAddress("expected the address of the primary and the zone, as in axfr://192.0.2.1:53/rpz.example")
    endpoint = parse_endpoint(where)
    address = ipaddress.ip_address(endpoint.host)
    if endpoint.port == 0 or address.is_unspecified or address.is_multicast:
        raise InvalidAddress("expected the address of one primary, as in axfr://192.0.2.1:53/rpz.example")
    return ZoneAddress(endpoint.host, endpoint.port, host_name(zone, "the name of a zone after /"))


def zone_of(url: str) -> ZoneAddress | None:
    """The zone of an `axfr:` URL as `parse_source` returns it, None for any other URL."""
    return parse_zone(url) if url.startswith(_AXFR) else None


def web_url(url: str) -> str:
    """The server's address in an http or https URL, or a URL of one of `WEB_KINDS`."""
    return url[len(web_kind(url)) :]


def web_kind(url: str) -> str:
    """The member of `WEB_KINDS` that a URL begins with, or ""."""
    return next((kind for kind in WEB_KINDS if url.lower().startswith(kind)), "")


def source_path(url: str) -> Path | None:
    """The path of a `file:///` URL as `parse_source` returns it, None for any other URL."""
    return Path(unquote(url.removeprefix("file://"))) if url.startswith("file:///") else None


def absolute_path(text: str, directory: Path) -> Path:
    """`text` as an absolute path: `~` expanded, relative ones below `directory`. Symbolic links stay as they are."""
    if not text or _CONTROL.search(text):
        raise InvalidAddress("expected a path")
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise InvalidAddress("expected a full path, since there is no home directory for this ~") from None
    return Path(os.path.abspath(directory / path))  # noqa: PTH100 (resolve() would follow links, which may be swapped later)


def without_secrets(text: str) -> str:
    """`text` without secrets: the user, password and query of a URL become `***`."""
    scheme, separator, rest = text.partition("://")
    if separator:
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        # no port follows this colon: a password with a slash in it, so everything up to the last @ is hidden
        unparsable = not authority.startswith("[") and re.search(r":[^0-9]", authority)
        hidden, at, _ = (rest if unparsable and "@" not in authority else authority).rpartition("@")
        rest = f"***@{rest[len(hidden) + 1 :]}" if at else rest
        path, mark, _ = rest.partition("?")
        rest = f"{path}?***" if mark else rest
    return f"{scheme}{separator}{rest}"


def host_name(text: str, what: str) -> str:
    """The host name `text` in canonical form. Raises `InvalidAddress` that says that `what` was expected."""
    try:
        name = names.to_text(names.from_text(text))
    except InvalidName as error:
        raise InvalidAddress(f"expected {what} ({error.reason})") from None
    if not _HOST_NAME.fullmatch(name):
        raise InvalidAddress(f"expected {what}")
    return name
