"""Every group of upstreams of a configuration: that of all names, those with a section, and those of single zones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Self

from pdns.config.schema import Config, Group, Upstream, Zone
from pdns.config.value_types import Dnssec, Strategy

DEFAULT: Final = "default"  # the group of [upstream]


class ServerGroup(NamedTuple):
    """Upstreams that stand for each other."""

    servers: tuple[str, ...]
    strategy: Strategy
    fallback: str  # the group that is asked when this one fails; "": none
    timeout_s: float
    case_randomisation: bool
    ca_file: str
    dnssec: Dnssec = "trust-ad"

    @classmethod
    def of(cls, said: Upstream | Group | Zone) -> Self:
        """What a settled section says."""
        assert not isinstance(said.servers, str)
        dnssec: Dnssec = "trust-ad" if isinstance(said.dnssec, bool) else said.dnssec
        return cls(said.servers, said.strategy, said.fallback, said.timeout_s, said.case_randomisation, said.ca_file, dnssec)


def server_groups(config: Config) -> Mapping[str, ServerGroup]:
    """Each group by its name. A zone with servers of its own has a group named by `group_of`."""
    return dict(_groups(config))


def group_of(zone: Zone) -> str:
    """The name of the group that a zone's questions go to."""
    return zone.group or f"zone:{zone.names[0]}"


def upstream_servers(config: Config) -> tuple[str, ...]:
    """The servers of all groups, each once."""
    return tuple(dict.fromkeys(server for group in server_groups(config).values() for server in group.servers))


def _groups(config: Config) -> Iterator[tuple[str, ServerGroup]]:
    yield DEFAULT, ServerGroup.of(config.upstream)
    for group in config.group:
        yield group.name, ServerGroup.of(group)
    for zone in config.zone:
        if not zone.group:
            yield group_of(zone), ServerGroup.of(zone)
