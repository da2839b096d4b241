"""Rules for `[canaries]`. Values are returned in canonical spelling."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, Protocol, Self, TypeVar

from msgspec.structs import replace

from pdns.config.addresses import IPAddress, parse_address
from pdns.config.canary_schema import CanarySection
from pdns.config.groups import DEFAULT, ServerGroup, server_groups
from pdns.config.schema import Config
from pdns.config.shape import Report
from pdns.config.upstream_address import parse_upstream
from pdns.config.upstream_rules import parse_zone_name
from pdns.errors import InvalidAddress
from pdns.wire import names

MOST_NAMES: Final = 3  # in one list: three lies in a row convict, and each name must have had its turn
_MOST_ADDRESSES: Final = 8
_LONGEST_ZONE: Final = 200  # bytes: there must be room for a random label

T = TypeVar("T")


class CanaryRuleContext(Protocol):
    """The part of `pdns.config.rules.RuleContext` that is needed here."""

    report: Report

    def parse(self, key: str, text: str, parser: Callable[[str], T]) -> T | None: ...
    def canonical(self, key: str, texts: Iterable[str], parser: Callable[[str], object]) -> tuple[str, ...]: ...


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


def settle_canaries(section: CanarySection, around: CanaryRuleContext) -> CanarySection:
    """`[canaries]`."""
    for key in ("signed", "bogus", "resolves", "known"):
        if (count := len(getattr(section, key))) > MOST_NAMES:
            around.report.add(f"canaries.{key}", f"expected at most {MOST_NAMES}, got {count}")
    return replace(
        section,
        signed=around.canonical("canaries.signed", section.signed, parse_zone_name),
        bogus=around.canonical("canaries.bogus", section.bogus, parse_zone_name),
        resolves=around.canonical("canaries.resolves", section.resolves, parse_zone_name),
        empty_zone=section.empty_zone and (around.parse("canaries.empty_zone", section.empty_zone, _short_name) or ""),
        known=around.canonical("canaries.known", section.known, KnownName.of),
    )


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


def _short_name(text: str) -> str:
    name = parse_zone_name(text)
    if len(name) > _LONGEST_ZONE:
        raise InvalidAddress(f"expected a name of at most {_LONGEST_ZONE} bytes")
    return name
