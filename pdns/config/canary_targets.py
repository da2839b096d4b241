"""Which servers get canaries, and the names whose addresses are known: what a worker needs of `[canaries]`."""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple, Self

from pdns.config.addresses import IPAddress, parse_address, parse_zone_name
from pdns.config.groups import DEFAULT, ServerGroup, server_groups
from pdns.config.schema import Config
from pdns.config.upstream_address import parse_upstream
from pdns.errors import InvalidAddress
from pdns.wire import names

_MOST_ADDRESSES: Final = 8


class KnownName(NamedTuple):
    """A name, in wire form, and all addresses that it may have."""

    name: bytes
    addresses: frozenset[IPAddress]

    @classmethod
    def of(cls, text: str) -> Self:
        """What a member of `canaries.known` says: a name, and its addresses after it. Raises `InvalidAddress`."""
        name, *addresses = text.split()[: _MOST_ADDRESSES + 2] or [""]
        if not 0 < len(addresses) <= _MOST_ADDRESSES:
            raise InvalidAddress(f'expected a name and 1 to {_MOST_ADDRESSES} addresses, as in "host.example 192.0.2.1"')
        return cls(names.from_text(parse_zone_name(name)), frozenset(map(parse_address, addresses)))

    def __str__(self) -> str:
        return " ".join([names.to_text(self.name), *map(str, sorted(self.addresses, key=lambda one: (one.version, int(one))))])


def watched_servers(config: Config) -> tuple[str, ...]:
    """The servers that get canaries: of those that every name may go to, all, none, or those with a public address."""
    enabled = config.canaries.enabled
    if not enabled:
        return ()
    servers = dict.fromkeys(server for group in _of_all_names(config) for server in group.servers)
    return tuple(server for server in servers if enabled is True or _is_public(server))


def _of_all_names(config: Config) -> list[ServerGroup]:
    """The group of `[upstream]`, and those that it falls back to. Servers of single zones know only their own names."""
    groups, found, name = server_groups(config), [], DEFAULT
    while name in groups:
        found.append(groups[name])
        name = groups[name].fallback
    return found


def _is_public(server: str) -> bool:
    return ipaddress.ip_address(parse_upstream(server).host).is_global
