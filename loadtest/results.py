"""What one bench found, as it is written to `results/`. Times in the units of their names, memory in bytes."""

from __future__ import annotations

import msgspec

from loadtest.goals import Verdict
from loadtest.process import Memory
from loadtest.programs import Latency


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it ran."""

    cpu: str
    cores: int
    kernel: str
    python: str
    load_before: float  # of the last minute: what else was running


class PathResult(msgspec.Struct, frozen=True, kw_only=True):
    """One path: the medians of its rounds, but the sum of what was sent and lost."""

    key: str
    title: str
    queries: int  # answered in closed loop, in all rounds
    cpu_us: float  # CPU time of the worker per answered query, closed loop
    echo_cpu_us: float  # of the bare echo, the same packets
    ratio: float  # to the echo of the same round
    ratios: list[float]  # of each round
    answers_per_s: float  # closed loop
    offered_per_s: float  # open loop, to which the next three belong
    latency_us: Latency
    offered: int
    lost: int  # in open loop
    lost_closed: int
    from_source: float  # share of the answers that came from where this path means them to come from
    rcodes: dict[int, int]
    verdict: Verdict | None


class MemoryResult(msgspec.Struct, frozen=True, kw_only=True):
    """The worker with the list and without any, after the same queries."""

    with_list: Memory
    without_list: Memory
    verdict: Verdict  # on the difference in PSS


class BlocksetResult(msgspec.Struct, frozen=True, kw_only=True):
    """The compiled list on disk."""

    size: int
    entries: int


class StartResult(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from the start of the program."""

    from_text_s: float  # to ready, the blockset having to be built
    to_first_blocked_s: float  # to the first blocked answer, the blockset being there
    verdict: Verdict


class RefreshResult(msgspec.Struct, frozen=True, kw_only=True):
    """The same open loop twice: at rest, and while the whole list is read and compiled again."""

    offered_per_s: float
    rebuild_s: float
    before: Latency
    during: Latency
    lost: int
    verdict: Verdict


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """One bench."""

    when: str  # UTC, ISO 8601
    mode: str  # quick | full
    rounds: int
    machine: Machine
    version: str
    accelerated: bool  # whether the compiled fast path was in use
    names: str  # where the listed and benign names are from
    listed: int
    echo_cpu_us: float  # the yardstick, median of all paths
    paths: list[PathResult]
    offered_mix: Verdict
    memory: MemoryResult
    blockset: BlocksetResult
    start: StartResult
    refresh: RefreshResult
    notes: list[str]

    def verdicts(self) -> list[Verdict]:
        """Every goal, in the order of the report."""
        paths = [path.verdict for path in self.paths if path.verdict is not None]
        return [*paths, self.offered_mix, self.memory.verdict, self.start.verdict, self.refresh.verdict]
