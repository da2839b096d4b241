"""What a reader must know of the numbers before believing them."""

from __future__ import annotations

from collections.abc import Iterator

from loadtest import goals
from loadtest.results import PathResult, Results, SystemInfo
from loadtest.turns import ECHO

_QUIET_LOAD = 0.5
_ECHO_DISAGREES = 1.15
_AS_MEANT_SHARE = 0.99  # of answers from where a path means them to come from
_BUSY_SHARE = 0.9  # of a closed loop


def of_machine(machine: SystemInfo) -> Iterator[str]:
    """What else ran on it, and what it lacks."""
    if machine.cores < 2:
        yield "one core only: the server and the generator shared it, so answers/s and latency say little"
    if machine.load_before > _QUIET_LOAD:
        yield f"other programs were running (load {machine.load_before:.1f}): latency and answers/s suffer, CPU time less so"


def unusable(results: Results) -> Iterator[str]:
    """The numbers that a busy machine has spoilt, and what made them so: each of ours, a line for each peer."""
    if results.echo_doubts:
        more = f"; and {len(results.echo_doubts) - 1} more" if len(results.echo_doubts) > 1 else ""
        yield f"unusable: {ECHO}, and with it every ratio: {results.echo_doubts[0]}{more}"
    for path in results.paths:
        if path.doubts:
            yield f"unusable: {path.title}: {', '.join(path.doubts)}"
        if path.open_doubts:
            yield f"unusable: {path.title}, latency: {', '.join(path.open_doubts)}"
    for peer in results.peers:
        if spoilt := [path_of_peer for path_of_peer in peer.paths if path_of_peer.doubts]:
            first = f"{spoilt[0].key}: {', '.join(spoilt[0].doubts)}"
            yield f"unusable: {peer.name}, {len(spoilt)} of {len(peer.paths)} paths; {first}"


def of_paths(paths: list[PathResult]) -> Iterator[str]:
    """Where our own numbers are of something else, or are of a server that was not kept busy."""
    least, most = min(path.echo_cpu_us for path in paths), max(path.echo_cpu_us for path in paths)
    if most > least * _ECHO_DISAGREES:
        yield f"the echo itself took {least:.2f} to {most:.2f} us: the machine was not the same all along"
    sources = {path.key: path.sources for path in goals.PATHS if path is not goals.MIX}
    for path in paths:
        if path.key in sources and path.from_source < _AS_MEANT_SHARE:
            yield f"{path.title}: only {path.from_source:.1%} of the answers came from {' or '.join(sorted(sources[path.key]))}"
    idle = [path for path in paths if path.busy < _BUSY_SHARE]
    for path in idle:
        # the generator sleeps when it has nothing to do, so one that ran all the time held the server up
        generator_busy = path.generator_cpu_us * path.answers_per_s / 1e6
        why = "the generator was too slow" if generator_busy >= _BUSY_SHARE else "other programs had the cores"
        yield f"{path.title}: the worker ran {path.busy:.0%} of the time only: {why}"
