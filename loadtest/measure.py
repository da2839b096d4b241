"""Measures one path: all servers in turn in closed loop, then ours in open loop."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from loadtest import disturbance, goals, packets, programs, turns
from loadtest.disturbance import Disturbance, Observation
from loadtest.loopback import Address
from loadtest.programs import Latency, Run, generate, generator_command
from loadtest.results import PathResult
from loadtest.server import Resolver, ServerError
from loadtest.traffic import PathTraffic
from loadtest.turns import ECHO, Contender, Course, Turns

OURS = "pdns"
_MAX_QUERIES = 1_000_000  # of one run in open loop
_HALF = 0.5  # of what it can do: where latency is measured


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long to measure."""

    mode: str
    rounds: int  # in which all servers take turns
    queries: int  # of one server in one round
    slice_s: float  # likewise, at most
    open_rounds: int
    open_s: float
    benign: int  # distinct popular names
    starts: int
    peer_start_timeout_s: float


QUICK = Plan(
    mode="quick",
    rounds=3,
    queries=30_000,
    slice_s=0.3,
    open_rounds=1,
    open_s=1.0,
    benign=3_000,
    starts=1,
    peer_start_timeout_s=30.0,
)
FULL = Plan(
    mode="full",
    rounds=9,
    queries=60_000,
    slice_s=0.5,
    open_rounds=3,
    open_s=2.0,
    benign=10_000,
    starts=3,
    peer_start_timeout_s=60.0,
)


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """Where everything is while paths are measured."""

    plan: Plan
    resolver: Resolver
    echo: programs.Server
    directory: Path  # for packet files
    generator_core: int | None

    def send(self, to: Address, stream: Iterator[bytes], count: int, *, seconds: float = 60.0, rate: float | None = None) -> Run:
        """Sends the first `count` queries of `stream`, once each."""
        return self.generate(to, self.write(stream), count, seconds=seconds, rate=rate)

    def write(self, stream: Iterator[bytes]) -> Path:
        """Writes `stream` to the file that the echo is sent as well. Returns its path."""
        file = self.directory / "packets"
        packets.write(file, stream)
        return file

    def generate(self, to: Address, file: Path, count: int, *, seconds: float = 60.0, rate: float | None = None) -> Run:
        """Sends `count` queries of `file`."""
        return generate(generator_command(to, file, count=count, seconds=seconds, rate=rate), self.generator_core)

    def warm(self, stream: Iterator[bytes]) -> None:
        """Sends every query of `stream` to the server, for what it remembers of them."""
        generate(generator_command(self.resolver.address, self.write(stream)), self.generator_core)


def measure(bench: Bench, course: Course, traffic: PathTraffic, contenders: Sequence[Contender]) -> tuple[PathResult, Turns]:
    """All servers in turn, in closed loop; then ours in open loop. Raises `ServerError` when ours ends meanwhile."""
    turns.warm_up(course, traffic, contenders)
    before = bench.resolver.responses_by_source()
    found = turns.take(course, traffic, contenders)
    if why := found.problems.get(OURS) or found.problems.get(ECHO):
        raise ServerError(f"{why}{bench.resolver.last_words()}")
    after = bench.resolver.responses_by_source()
    grown = {source: after[source] - before.get(source, 0.0) for source in after}
    as_meant = sum(count for source, count in grown.items() if source in traffic.path.sources)
    rate = _HALF * found.median(OURS, lambda one: one.run.answers_per_s)
    opened = _open_loop(bench, course, traffic, rate)
    return _summary(traffic.path, found, opened, as_meant / max(1.0, sum(grown.values()))), found


class _Opened(msgspec.Struct, frozen=True, kw_only=True):
    rate: float
    offered: int  # a run
    runs: list[Run]
    disturbed: Disturbance


def _open_loop(bench: Bench, course: Course, traffic: PathTraffic, rate: float) -> _Opened:
    offered = max(1000, min(_MAX_QUERIES, int(rate * bench.plan.open_s)))
    runs, disturbed = [], []
    for number in range(bench.plan.open_rounds):
        file = course.write("packets", traffic.stream(offered, 1000 + number))
        observed = Observation([bench.resolver.worker()], [course.authority.pid])
        runs.append(bench.generate(bench.resolver.address, file, offered, seconds=bench.plan.open_s + 0.5, rate=rate))
        disturbed.append(observed.end(runs[-1].generator_cpu_s))
    return _Opened(rate=rate, offered=offered, runs=runs, disturbed=disturbance.mean(disturbed))


def _summary(path: goals.QueryPath, found: Turns, opened: _Opened, from_source: float) -> PathResult:
    slices, ratios, doubts = found.slices[OURS], found.ratios(OURS), found.doubts(OURS)
    ratio = statistics.median(ratios)
    # an open-loop query that could not be sent because too many were unanswered is one that was not served
    lost = sum(run.lost + max(0, opened.offered - run.sent) for run in opened.runs)
    return PathResult(
        key=path.key,
        title=path.title,
        queries=sum(each.run.received for each in slices),
        cpu_us=min(each.cpu_us for each in slices),
        median_cpu_us=found.median(OURS, lambda one: one.cpu_us),
        echo_cpu_us=found.median(ECHO, lambda one: one.cpu_us),
        ratio=ratio,
        ratios=ratios,
        disturbed=found.disturbed(OURS),
        load=os.getloadavg()[0],
        doubts=doubts,
        open_doubts=disturbance.doubts(0.0, opened.disturbed),
        busy=found.median(OURS, lambda one: one.busy),
        generator_cpu_us=found.median(OURS, lambda one: one.run.generator_cpu_s / max(1, one.run.received) * 1e6),
        answers_per_s=found.median(OURS, lambda one: one.run.answers_per_s),
        offered_per_s=opened.rate,
        latency_us=median_latency([run.latency_us for run in opened.runs]),
        offered=opened.offered * len(opened.runs),
        lost=lost,
        lost_closed=sum(each.run.lost for each in slices),
        from_source=from_source,
        rcodes=found.rcodes(OURS),
        verdict=goals.ratio_verdict(path, ratio).unless(doubts),
    )


def median_latency(runs: list[Latency]) -> Latency:
    """Each percentile's median over the runs."""
    return Latency(**{field: statistics.median(getattr(run, field) for run in runs) for field in Latency.__struct_fields__})
