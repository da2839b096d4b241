"""What was found of encrypted transports. Times in the units of their names, memory in bytes."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from loadtest import encrypted_goals as goals
from loadtest.encrypted_goals import BARE, OURS, TLS, EncryptedPath
from loadtest.goals import Verdict
from loadtest.programs import Latency


class EncryptedCost(msgspec.Struct, frozen=True, kw_only=True):
    """One path of one server, over all rounds."""

    key: str
    server: str
    cpu_us: float  # CPU time of the server for a query: the least of the rounds
    median_cpu_us: float
    ratio: float  # to the bare server in the same round: the median of the rounds; 0: there is none
    ratios: list[float]
    doubts: list[str] = []  # why its numbers are not to be used; empty when they are
    busy: float  # share of the time in which the server ran
    answer_bytes: float
    latency_us: Latency
    problem: str = ""  # why it was not measured, or is not what the path says


class IdleMemory(msgspec.Struct, frozen=True, kw_only=True):
    """Memory of one idle connection on which one query was answered, in bytes (PSS)."""

    server: str
    transport: str
    connection_bytes: float


class BesideConnections(msgspec.Struct, frozen=True, kw_only=True):
    """p99 of UDP in microseconds: alone, and while others connect over TLS."""

    server: str
    alone_us: float
    beside_us: float
    ratio: float  # the median of the rounds
    connections_per_s: float


class EncryptedResults(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one run."""

    costs: list[EncryptedCost]
    idle: list[IdleMemory]
    beside: list[BesideConnections]
    notes: list[str]

    def cost(self, key: str, server: str) -> EncryptedCost | None:
        """A path of a server; None when it was not measured."""
        return next((cost for cost in self.costs if (cost.key, cost.server) == (key, server) and cost.cpu_us), None)

    def verdicts(self) -> list[tuple[str, Verdict]]:
        """Every goal that could be measured, with the title of its path."""
        found = [(path.title, verdict) for path in goals.PATHS for verdict in self._of_path(path)]
        found += [
            ("idle DoT connection", goals.idle_verdict(idle.connection_bytes))
            for idle in self.idle
            if (idle.server, idle.transport) == (OURS, TLS)
        ]
        found += [
            ("UDP p99 beside new connections", goals.beside_verdict(beside.ratio))
            for beside in self.beside
            if beside.server == OURS
        ]
        return found

    def _of_path(self, path: EncryptedPath) -> Iterator[Verdict]:
        mine = self.cost(path.key, OURS)
        for server, most in path.max_ratios.items() if mine is not None else ():
            if (other := self.cost(path.key, server)) is not None and mine is not None:
                ratio = mine.ratio if server == BARE else mine.median_cpu_us / other.median_cpu_us
                yield goals.ratio_verdict(most, server, ratio).unless([*mine.doubts, *other.doubts])
