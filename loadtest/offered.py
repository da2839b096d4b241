"""The mix at the rates of the service that the design is sized after: all workers, on the cores that the generator uses too."""

from __future__ import annotations

from pathlib import Path

from loadtest import goals, packets, programs, server, traffic
from loadtest.measure import Plan, median_latency
from loadtest.population import Population
from loadtest.results import OfferedResult

_START_TIMEOUT_S = 30.0


def measure(plan: Plan, directory: Path, authority: programs.Server, feed: Path, people: Population) -> list[OfferedResult]:
    """`directory` holds the resolver's state, with the blockset. Nothing is pinned, as in service."""
    found = []
    with server.started(directory, authority.address, feed, workers=0) as resolver:
        resolver.wait_ready(_START_TIMEOUT_S)
        file = directory / "packets"
        packets.write(file, traffic.every_benign(people))
        programs.generate(programs.generator_command(resolver.address, file))
        workers = len(resolver.workers())
        for number, per_s in enumerate((goals.AVERAGE_MIX_PER_S, goals.OFFERED_MIX_PER_S)):
            offered = int(per_s * plan.open_s)
            runs = []
            for turn in range(plan.open_rounds):
                packets.write(file, traffic.mix(people, offered, seed=1000 + 100 * number + turn))
                command = programs.generator_command(resolver.address, file, count=offered, rate=per_s, seconds=plan.open_s + 0.5)
                runs.append(programs.generate(command))
            found.append(_result(per_s, workers, offered, runs))
    return found


def _result(per_s: float, workers: int, offered: int, runs: list[programs.Run]) -> OfferedResult:
    lost = sum(run.lost + max(0, offered - run.sent) for run in runs)
    latency = median_latency([run.latency_us for run in runs])
    peak = per_s == goals.OFFERED_MIX_PER_S
    return OfferedResult(
        per_s=per_s,
        workers=workers,
        offered=offered * len(runs),
        lost=lost,
        latency_us=latency,
        generator_cpu_us=sum(run.generator_cpu_s for run in runs) / max(1, sum(run.sent for run in runs)) * 1e6,
        verdict=goals.offered_verdict(offered * len(runs), lost, latency.p99) if peak else None,
    )
