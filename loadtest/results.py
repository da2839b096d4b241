"""What one bench found, as it is written to `results/`. Times in the units of their names, memory in bytes."""

from __future__ import annotations

import msgspec

from loadtest import goals
from loadtest.disturbance import Disturbance
from loadtest.encrypted_results import EncryptedResults
from loadtest.goals import Verdict
from loadtest.process import Memory
from loadtest.programs import Latency


class SystemInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where it ran."""

    cpu: str
    cores: int
    kernel: str
    python: str
    load_before: float  # of the last minute: what else was running


class PathResult(msgspec.Struct, frozen=True, kw_only=True):
    """One path of ours: the medians of its rounds unless it says otherwise, but the sum of what was sent and lost."""

    key: str
    title: str
    queries: int  # answered in closed loop, in all rounds
    cpu_us: float  # CPU time of the worker per answered query, closed loop: the least of the rounds
    median_cpu_us: float
    echo_cpu_us: float  # of the bare echo, the same packets
    ratio: float  # to the echo of the same round
    ratios: list[float]  # of each round
    disturbed: Disturbance
    load: float  # of the machine in the last minute, at the end of the rounds
    doubts: list[str]  # why the ratio is not to be used; empty when it is
    open_doubts: list[str]  # likewise the latency and what was lost in open loop
    busy: float  # share of the closed loop in which the worker ran: near 1, or the generator was the bottleneck
    generator_cpu_us: float  # of the generator for each query of the closed loop; it never sleeps, so what it could do is less
    answers_per_s: float  # closed loop
    offered_per_s: float  # open loop, to which the next three belong
    latency_us: Latency
    offered: int
    lost: int  # in open loop
    lost_closed: int
    from_source: float  # share of the answers that came from where this path means them to come from
    rcodes: dict[int, int]
    verdict: Verdict


class MemoryResult(msgspec.Struct, frozen=True, kw_only=True):
    """The worker with the list and without any, after the same queries."""

    with_list: Memory
    without_list: Memory
    verdict: Verdict  # on the difference in PSS

    @property
    def worker(self) -> Verdict:
        """On the worker without a list."""
        return goals.worker_verdict(self.without_list.pss)


class BlocksetResult(msgspec.Struct, frozen=True, kw_only=True):
    """The compiled list on disk."""

    size: int  # of all files
    mapped: int  # of those that workers map
    entries: int

    @property
    def verdict(self) -> Verdict:
        """On what a listed name takes in mapped files."""
        return goals.files_verdict(self.mapped, self.entries)


class StartResult(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from the start of the program."""

    from_text_s: float  # to ready, the blockset having to be built
    to_first_blocked_s: float  # to the first blocked answer, the blockset being there
    verdict: Verdict


class NodeCosts(msgspec.Struct, frozen=True, kw_only=True):
    """What a node takes that belongs to no path: what docs/sizing.md is reckoned from."""

    cached_answer_bytes: float  # as counted against cache.max_bytes
    memory_bytes: dict[str, int]  # anonymous memory of supervisor, worker, feeds, events, with the answers above in the cache
    forward_tls_us: float  # CPU time of the worker for a name never seen, over TLS; 0: not measured
    forward_https_us: float = 0.0  # the same over HTTPS


class RefreshResult(msgspec.Struct, frozen=True, kw_only=True):
    """The same open loop twice: at rest, and while the whole list is read and compiled again."""

    offered_per_s: float
    rebuild_s: float
    before: Latency
    during: Latency
    lost: int
    verdict: Verdict


class OfferedResult(msgspec.Struct, frozen=True, kw_only=True):
    """The mix in open loop, one worker a core, on cores that the generator uses as well."""

    per_s: float
    workers: int
    offered: int
    lost: int  # includes what the generator could not even send
    latency_us: Latency
    generator_cpu_us: float  # of the generator for each query
    verdict: Verdict | None


class PeerPath(msgspec.Struct, frozen=True, kw_only=True):
    """One path of a peer in closed loop, over all rounds."""

    key: str
    queries: int
    cpu_us: float  # the least of the rounds
    median_cpu_us: float
    ratio: float  # to the echo of the same round: the median of the rounds
    ratios: list[float]
    disturbed: Disturbance
    doubts: list[str]  # why the ratio is not to be used; empty when it is
    answers_per_s: float
    lost: int
    rcodes: dict[int, int]
    forwarded: float  # queries that the upstream got, for each answer
    not_as_meant: str  # why it is not what the path means; empty when it is


class PeerResult(msgspec.Struct, frozen=True, kw_only=True):
    """One peer. What could not be measured is None or not there, and `problem` says why."""

    name: str
    package: str
    version: str  # empty when it is not installed
    list_form: str
    problem: str | None = None
    start_s: float | None = None  # to the first blocked answer
    list_bytes: int | None = None  # PSS with the list minus without
    paths: list[PeerPath] = []

    def path(self, key: str) -> PeerPath | None:
        """Its result on a path; None when there is none."""
        return next((path for path in self.paths if path.key == key), None)


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """One bench."""

    when: str  # UTC, ISO 8601
    mode: str  # quick | full
    rounds: int
    machine: SystemInfo
    version: str
    accelerated: str  # what pdns_build_info says: yes or no
    names: str  # where the listed and benign names are from
    listed: int
    echo_cpu_us: float  # the yardstick, median of all paths
    echo_doubts: list[str] = []  # why the yardstick itself is not to be trusted
    paths: list[PathResult]
    offered: list[OfferedResult]
    memory: MemoryResult
    blockset: BlocksetResult
    start: StartResult
    refresh: RefreshResult
    node: NodeCosts | None = None
    encrypted: EncryptedResults | None = None
    peers: list[PeerResult]
    seconds: float  # what the bench took
    notes: list[str]

    def verdicts(self) -> list[Verdict]:
        """Every goal, in the order of the report."""
        paths = [path.verdict for path in self.paths]
        offered = [each.verdict for each in self.offered if each.verdict is not None]
        encrypted = [verdict for _, verdict in self.encrypted.verdicts()] if self.encrypted is not None else []
        lists = [self.memory.verdict, self.blockset.verdict, self.memory.worker, self.start.verdict, self.refresh.verdict]
        return [*paths, *offered, *lists, *encrypted]
