"""Which addresses a feed may be fetched from: those of the internet, and those that its configuration names.

What a publisher says (a redirect, an answer of its DNS) must not make this machine ask itself, its neighbours or the metadata
service of a cloud.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from feeds.fetch.network import Network
from pdns.config.addresses import IPAddress, IPNetwork, parse_host, web_url
from pdns.config.schema import Feed
from pdns.errors import FeedError, InvalidAddress

_NEVER_BY_NAME = (
    ipaddress.ip_network("169.254.0.0/16"),  # metadata services of clouds are there
    ipaddress.ip_network("fe80::/10"),
    ipaddress.ip_network("fd00:ec2::254/128"),
    ipaddress.ip_network("100.100.100.200/32"),
)
_PRIVATE_TOO = (ipaddress.ip_network("fec0::/10"), ipaddress.ip_network("5f00::/16"))  # site-local, segment routing


class Targets:
    """For one attempt. `public` becomes true when the host of the feed's url was found at addresses of the internet."""

    def __init__(self, feed: Feed, network: Network, *, was_public: bool) -> None:
        """`was_public`: the copy that we have came from there, so its host has no business within our networks now."""
        configured = (web_url(feed.url), feed.checksum_url, feed.signature_url, feed.proxy)
        self._feed = feed.name
        self._home = _host(URL(web_url(feed.url)))
        self._hosts = {_host(URL(url)) for url in configured if url}
        self._networks = [ipaddress.ip_network(text) for text in feed.internal_networks]
        self._addresses = {address for host in self._hosts if (address := _address(host)) is not None}
        self._embeddings = network.embeddings
        self._was_public = was_public
        self.public = was_public

    def check_url(self, url: URL) -> None:
        """Raise `FeedError` for a URL whose host is an address that must not be asked."""
        address = _address(_host(url))
        if address is not None and not self._may_ask(address):
            raise FeedError(self._feed, self._reason(str(address), str(address)))

    def checked(self, host: str, found: list[ResolveResult]) -> list[ResolveResult]:
        """Which addresses in `found` may be asked; they are those of `host`. Raises `FeedError` when none may.

        A host that the configuration names may be in a network of one's own, as a mirror is; not so one that was in the
        internet before, and none by way of a link-local address. With addresses in both, those in the internet count.
        """
        name = _host(URL.build(scheme="http", host=host))
        addresses = [ipaddress.ip_address(result["host"].partition("%")[0]) for result in found]
        outside = [result for result, address in zip(found, addresses, strict=True) if self.is_public(address)]
        if outside:
            self.public = self.public or name == self._home
            return outside
        ours = name in self._hosts and not (name == self._home and self._was_public)
        allowed = [
            result
            for result, address in zip(found, addresses, strict=True)
            if self._may_ask(address) or (ours and not _is_in(address, _NEVER_BY_NAME))
        ]
        if not allowed and found:
            raise FeedError(self._feed, self._reason(host, str(addresses[0])))
        if name in self._hosts:
            self._addresses.update(ipaddress.ip_address(result["host"].partition("%")[0]) for result in allowed)
        return allowed

    def is_public(self, address: IPAddress) -> bool:
        """Whether `address`, and each IPv4 address inside it, is one of the internet, and none of this machine."""
        inside = [address]
        if isinstance(address, ipaddress.IPv6Address):
            if address.ipv4_mapped is not None:
                inside = [address.ipv4_mapped]
            else:
                embedded = [ipaddress.ip_address(packed) for packed in self._embeddings.inside(address.packed)]
                inside = embedded or inside
        return all(_is_global(one) for one in inside) and not _is_own(address)

    def _may_ask(self, address: IPAddress) -> bool:
        return self.is_public(address) or address in self._addresses or _is_in(address, self._networks)

    def _reason(self, host: str, address: str) -> str:
        where = f"{host} is at {address}, which" if host != address else address
        return f"not fetched: {where} is no address of the internet: add it to internal_networks if that is meant"


class CheckedResolver(AbstractResolver):
    """Finds hosts as `resolver` does; what is connected to is what `targets` lets through."""

    def __init__(self, resolver: AbstractResolver, targets: Targets) -> None:
        self._resolver = resolver
        self._targets = targets

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AddressFamily.AF_INET
    ) -> list[ResolveResult]:
        """Raises `OSError` for a host that is not found, and `FeedError` for one that must not be asked."""
        return self._targets.checked(host, await self._resolver.resolve(host, port, family))

    async def close(self) -> None:
        await self._resolver.close()


def _host(url: URL) -> str:
    """The host of a URL in its canonical spelling."""
    host = (url.host or "").partition("%")[0]
    try:
        return parse_host(host)
    except InvalidAddress:
        return host


def _address(host: str) -> IPAddress | None:
    with suppress(ValueError):
        return ipaddress.ip_address(host)
    return None


def _is_in(address: IPAddress, networks: Iterable[IPNetwork]) -> bool:
    return any(address in network for network in networks)


def _is_global(address: IPAddress) -> bool:
    if address.is_multicast or address.is_unspecified or address.is_reserved or address.is_private or not address.is_global:
        return False
    return not _is_in(address, _PRIVATE_TOO)


def _is_own(address: IPAddress) -> bool:
    """Whether it is an address of this machine: what leaves for it leaves from it. Sends nothing."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((str(address), 9))
            return ipaddress.ip_address(sock.getsockname()[0].partition("%")[0]) == address
    except OSError:
        return False
