"""Measures one path: the server and the bare echo in turn, in closed loop; then the server in open loop."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from loadtest import goals, packets, process, programs
from loadtest.loopback import Address
from loadtest.programs import Latency, Run, generate, generator_command
from loadtest.results import PathResult
from loadtest.server import Resolver

Stream = Callable[[int, int], Iterator[bytes]]  # count, seed -> queries
_CALIBRATION_QUERIES, _CALIBRATION_S = 20_000, 0.3
_MAX_QUERIES = 1_000_000
_ECHO_QUERIES = 100_000  # before, and as many after
_HALF = 0.5  # of what it can do: where latency is measured


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long to measure."""

    mode: str
    rounds: int
    closed_s: float
    open_s: float
    benign: int  # distinct popular names
    starts: int
    peer_round_s: float
    peer_start_timeout_s: float


QUICK = Plan(
    mode="quick", rounds=1, closed_s=0.7, open_s=1.0, benign=3_000, starts=1, peer_round_s=0.5, peer_start_timeout_s=30.0
)
FULL = Plan(mode="full", rounds=3, closed_s=2.0, open_s=2.0, benign=10_000, starts=3, peer_round_s=0.8, peer_start_timeout_s=60.0)


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


class _Round(msgspec.Struct, frozen=True, kw_only=True):
    cpu_us: float
    echo_cpu_us: float
    busy: float
    closed: Run
    opened: Run
    offered_per_s: float
    offered: int


def measure(bench: Bench, path: goals.QueryPath, stream: Stream, warm_up: Callable[[], Iterator[bytes]] | None) -> PathResult:
    """`warm_up` gives the queries to send before each round; its answers are not counted."""
    rounds = []
    before = after = {}
    wanted = answered = 0.0
    for number in range(bench.plan.rounds):
        if warm_up is not None:
            bench.warm(warm_up())
        before = bench.resolver.responses_by_source()
        rounds.append(_measure_once(bench, stream, seed=10 * number))
        after = bench.resolver.responses_by_source()
        grown = {source: after[source] - before.get(source, 0.0) for source in after}
        answered += sum(grown.values())
        wanted += sum(count for source, count in grown.items() if source in path.sources)
    return _summary(path, rounds, wanted / answered if answered else 0.0)


def _measure_once(bench: Bench, stream: Stream, seed: int) -> _Round:
    plan, server = bench.plan, bench.resolver.address
    first = bench.send(server, stream(_CALIBRATION_QUERIES, seed), _CALIBRATION_QUERIES, seconds=_CALIBRATION_S)
    count = _clamp(first.answers_per_s * plan.closed_s)
    worker = bench.resolver.worker()
    echo_us = [_echo_cpu_us(bench)]
    file = bench.write(stream(count, seed + 1))
    cpu_before = bench.resolver.cpu_s(worker)
    closed = bench.generate(server, file, count, seconds=3 * plan.closed_s)
    cpu_s = bench.resolver.cpu_s(worker) - cpu_before
    echo_us.append(_echo_cpu_us(bench))
    rate = closed.answers_per_s * _HALF
    offered = _clamp(rate * plan.open_s)
    opened = bench.send(server, stream(offered, seed + 2), offered, seconds=plan.open_s + 0.5, rate=rate)
    return _Round(
        cpu_us=cpu_s / max(1, closed.received) * 1e6,
        echo_cpu_us=statistics.mean(echo_us),
        busy=cpu_s / closed.elapsed_s,
        closed=closed,
        opened=opened,
        offered_per_s=rate,
        offered=offered,
    )


def _echo_cpu_us(bench: Bench) -> float:
    """The echo with the packets in the file, over and over."""
    cpu_before = process.cpu_s(bench.echo.pid)
    command = generator_command(bench.echo.address, bench.directory / "packets", count=_ECHO_QUERIES)
    run = generate(command, bench.generator_core)
    return (process.cpu_s(bench.echo.pid) - cpu_before) / max(1, run.received) * 1e6


def _summary(path: goals.QueryPath, rounds: list[_Round], from_source: float) -> PathResult:
    ratios = [each.cpu_us / each.echo_cpu_us for each in rounds]
    ratio = statistics.median(ratios)
    rcodes: dict[int, int] = {}
    for each in rounds:
        for code, count in each.closed.rcodes.items():
            rcodes[code] = rcodes.get(code, 0) + count
    # an open-loop query that could not be sent because too many were unanswered is one that was not served
    lost = sum(each.opened.lost + max(0, each.offered - each.opened.sent) for each in rounds)
    return PathResult(
        key=path.key,
        title=path.title,
        queries=sum(each.closed.received for each in rounds),
        cpu_us=statistics.median(each.cpu_us for each in rounds),
        echo_cpu_us=statistics.median(each.echo_cpu_us for each in rounds),
        ratio=ratio,
        ratios=ratios,
        busy=statistics.median(each.busy for each in rounds),
        generator_cpu_us=statistics.median(each.closed.generator_cpu_s / max(1, each.closed.received) * 1e6 for each in rounds),
        answers_per_s=statistics.median(each.closed.answers_per_s for each in rounds),
        offered_per_s=statistics.median(each.offered_per_s for each in rounds),
        latency_us=median_latency([each.opened.latency_us for each in rounds]),
        offered=sum(each.offered for each in rounds),
        lost=lost,
        lost_closed=sum(each.closed.lost for each in rounds),
        from_source=from_source,
        rcodes=rcodes,
        verdict=goals.ratio_verdict(path, ratio),
    )


def median_latency(runs: list[Latency]) -> Latency:
    """Each percentile's median over the runs."""
    return Latency(**{field: statistics.median(getattr(run, field) for run in runs) for field in Latency.__struct_fields__})


def _clamp(count: float) -> int:
    return max(1000, min(_MAX_QUERIES, int(count)))
