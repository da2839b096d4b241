"""What belongs to no path of a query: start, memory, and a refresh of the list under load."""

from __future__ import annotations

import signal
import statistics
import subprocess
import time
from pathlib import Path

from loadtest import goals, packets, process, programs, server, traffic
from loadtest.loopback import Address
from loadtest.measure import Bench, Plan
from loadtest.population import Population
from loadtest.results import BlocksetResult, MemoryResult, RefreshResult, StartResult
from loadtest.server import Resolver
from pdns.state import feed_status

_START_TIMEOUT_S, _REBUILD_TIMEOUT_S = 30.0, 120.0
_MEMORY_QUERIES = 2_000
_NOT_MAPPED = frozenset({"facts.bin", "facts.msgpack", "manifest.json"})  # of a blockset's files: a worker does not map these


def refresh(bench: Bench, people: Population, feed: Path, rate: float) -> RefreshResult:
    """One more name in the list, and everything compiled again, while cached names are asked for at `rate`."""
    file = bench.directory / "hits"
    packets.write(file, traffic.hits(people, 100_000))
    bench.warm(traffic.every_benign(people))

    def load(seconds: float) -> subprocess.Popen[str]:
        command = programs.generator_command(bench.resolver.address, file, count=int(rate * seconds), rate=rate, seconds=seconds)
        return programs.start(command, bench.generator_core)

    before = programs.finish(load(2 * bench.plan.open_s))
    old = bench.resolver.blockset()
    with feed.open("a") as lines:
        lines.write(f"one-more-name-{time.monotonic_ns()}.com\n")
    generator = load(_REBUILD_TIMEOUT_S)
    began = time.monotonic()
    try:
        bench.resolver.request_feed_update()
        while bench.resolver.blockset() == old:
            if time.monotonic() > began + _REBUILD_TIMEOUT_S - 5:
                raise server.ServerError(f"no new blockset after {time.monotonic() - began:.0f} s{bench.resolver.last_words()}")
            time.sleep(0.02)
        rebuild_s = time.monotonic() - began
        time.sleep(1.0)  # the worker takes it up, and decides anew what it remembers
    finally:
        generator.send_signal(signal.SIGTERM)
        during = programs.finish(generator)
    lost = before.lost + during.lost
    return RefreshResult(
        offered_per_s=rate,
        rebuild_s=rebuild_s,
        before=before.latency_us,
        during=during.latency_us,
        lost=lost,
        verdict=goals.refresh_verdict(lost, before.latency_us.p99_9, during.latency_us.p99_9),
    )


def start(plan: Plan, directory: Path, upstream: Address, feed: Path, people: Population, from_text_s: float) -> StartResult:
    times = []
    for _ in range(plan.starts):
        with server.started(directory, upstream, feed) as resolver:
            times.append(resolver.wait_blocked(people.listed[0], _START_TIMEOUT_S))
    seconds = statistics.median(times)
    return StartResult(from_text_s=from_text_s, to_first_blocked_s=seconds, verdict=goals.start_verdict(seconds))


def memory(
    directory: Path, upstream: Address, feed: Path, people: Population, server_core: int | None, generator_core: int | None
) -> tuple[MemoryResult, BlocksetResult]:
    """A fresh worker each, after the same few queries: enough to touch the list, too few to fill a cache."""
    queries = directory / "memory-packets"
    packets.write(queries, traffic.blocked_first_sight(people, _MEMORY_QUERIES, seed=99))
    found = []
    blockset = BlocksetResult(size=0, mapped=0, entries=people.listed_count)
    for name, source in (("with", feed), ("without", None)):
        with server.started(directory / name, upstream, source) as resolver:
            resolver.wait_ready(_START_TIMEOUT_S)
            pin(resolver, server_core)
            programs.generate(programs.generator_command(resolver.address, queries), generator_core)
            found.append(process.memory(resolver.worker()))
            if source is not None and (built := resolver.blockset()) is not None:
                sizes = {file.name: file.stat().st_size for file in built.iterdir()}
                status = feed_status.read(resolver.state_dir)
                blockset = BlocksetResult(
                    size=sum(sizes.values()),
                    mapped=sum(size for name, size in sizes.items() if name not in _NOT_MAPPED),
                    entries=status.entries if status else people.listed_count,
                )
    with_list, without_list = found
    verdict = goals.memory_verdict(with_list.pss - without_list.pss, people.listed_count)
    return MemoryResult(with_list=with_list, without_list=without_list, verdict=verdict), blockset


def pin(resolver: Resolver, core: int | None) -> None:
    """Puts the worker on `core`; None leaves it where the kernel likes it."""
    if core is not None:
        process.pin(resolver.worker(), core)
