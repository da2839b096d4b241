"""Who must send a PROXY protocol header, and is believed: the networks of `server.proxy_protocol_from`."""

# kernel: pdns/fast/proxy_header.pyx

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network


class Balancers:
    """The load balancers that may speak for clients."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = tuple(map(ip_network, networks))

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        """Whether the peer at `address` (text, without scope) is one of them."""
        return bool(self._networks) and any(ip_address(address) in network for network in self._networks)
