"""Upstreams that stand for each other. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pdns.config.groups import ServerGroup
from pdns.config.value_types import Strategy
from pdns.upstream.server import UpstreamServer

MOST_IN_PARALLEL = 4
PATIENCE_WITH_FALLBACK_S = 2.0  # clients ask again after 5 s at the latest: until then the fallback must have answered


class UpstreamGroup:
    """`name` is its label; `fallback` is asked when this group has no answer."""

    __slots__ = ("all_lie", "fallback", "honest", "name", "ordered", "parallel", "servers", "timeout_s")

    def __init__(self, name: str, servers: Sequence[UpstreamServer], strategy: Strategy, timeout_s: float) -> None:
        self.name = name
        self.servers = servers
        self.honest = servers  # those that do not lie, or all if all do
        self.all_lie = False
        self.ordered = strategy == "ordered"
        self.parallel = strategy == "parallel" and len(servers) > 1
        self.timeout_s = timeout_s
        self.fallback: UpstreamGroup | None = None

    @property
    def is_down(self) -> bool:
        """Whether none of its upstreams is thought to answer."""
        return not any(server.health.up for server in self.servers)

    @property
    def usable(self) -> Sequence[UpstreamServer]:
        """Those to ask: the honest ones, unless none of them is any good."""
        honest = self.honest
        if honest is self.servers or any(server.health.up and server.usefulness.useful for server in honest):
            return honest
        return self.servers

    def choose_honest(self) -> bool:
        """Ask only honest servers from now on, or all if none is honest. True if none is and some were before."""
        honest = [server for server in self.servers if server.honesty.is_honest]
        all_lied, self.all_lie = self.all_lie, not honest
        self.honest = honest if 0 < len(honest) < len(self.servers) else self.servers
        return self.all_lie and not all_lied

    @property
    def patience_s(self) -> float:
        """How long a question may wait for this group."""
        return self.timeout_s if self.fallback is None else min(self.timeout_s, PATIENCE_WITH_FALLBACK_S)

    def in_charge(self) -> UpstreamGroup:
        """The group to ask first: this one, or while it is down the first fallback that is not. This one when all are."""
        group: UpstreamGroup | None = self
        while group is not None and group.is_down:
            group = group.fallback
        return group or self


def longest_s(groups: Mapping[str, ServerGroup]) -> float:
    """How long a question may be out, with every group that it falls back from."""
    return max(_course_s(group, groups) for group in groups.values())


def _course_s(group: ServerGroup, groups: Mapping[str, ServerGroup]) -> float:
    before_s = 0.0
    while group.fallback in groups:
        before_s += min(group.timeout_s, PATIENCE_WITH_FALLBACK_S)
        group = groups[group.fallback]
    return before_s + group.timeout_s
