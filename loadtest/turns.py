"""Servers take turns: each path is measured in short slices of one server after the other, in another order each round.

What disturbs the machine for longer than a slice disturbs all servers alike, and a ratio to the bare echo is of the same round.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from loadtest import disturbance, packets, process, programs, spread
from loadtest.disturbance import Disturbance, Observation
from loadtest.loopback import Address
from loadtest.programs import Run, generate, generator_command
from loadtest.traffic import PathTraffic

ECHO = "bare echo"
_WARM_UP_S = 10.0


class Contender(msgspec.Struct, frozen=True, kw_only=True):
    """A server that takes part, and the processes whose CPU time counts."""

    name: str
    pids: tuple[int, ...]
    address: Address


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for all servers and paths."""

    directory: Path  # for packet files
    authority: programs.Server
    generator_core: int | None
    rounds: int
    queries: int  # of a slice
    slice_s: float  # at most

    def write(self, name: str, queries: Iterator[bytes]) -> Path:
        """Writes a file of queries over an earlier one of that name."""
        file = self.directory / name
        packets.write(file, queries)
        return file


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """One server on one path in one round."""

    cpu_us: float  # of the server, for an answered query
    busy: float  # share of the time in which the server ran
    forwarded: float  # queries that the upstream got, for each answer
    run: Run
    disturbed: Disturbance


class Turns(msgspec.Struct, frozen=True, kw_only=True):
    """All slices of one path, by the name of the server; those of a server that ended stop there, and `problems` says so."""

    slices: dict[str, list[Slice]]
    problems: dict[str, str]
    last_file: Path  # queries of the last round

    def ratios(self, name: str) -> list[float]:
        """CPU time of a query in each round, with the echo of that round as 1."""
        echo = self.slices[ECHO]
        return [one.cpu_us / other.cpu_us for one, other in zip(self.slices[name], echo, strict=False) if other.cpu_us]

    def median(self, name: str, of: Callable[[Slice], float]) -> float:
        """Over the rounds; 0 without any."""
        return statistics.median(map(of, self.slices[name])) if self.slices[name] else 0.0

    def disturbed(self, name: str) -> Disturbance:
        """While `name` was measured."""
        return disturbance.mean([each.disturbed for each in self.slices[name]])

    def doubts(self, name: str) -> list[str]:
        """Why the ratio of `name` is not to be used; nothing when it is. The echo has no ratio: its CPU time is looked at."""
        values = [each.cpu_us for each in self.slices[name]] if name == ECHO else self.ratios(name)
        return disturbance.doubts(spread.half_width(values), self.disturbed(name))

    def rcodes(self, name: str) -> dict[int, int]:
        """Of all rounds."""
        counts: dict[int, int] = {}
        for each in self.slices[name]:
            for code, count in each.run.rcodes.items():
                counts[code] = counts.get(code, 0) + count
        return counts


def warm_up(course: Course, traffic: PathTraffic, contenders: Sequence[Contender]) -> None:
    """What the path means to have been asked before is asked; nothing for paths of new names."""
    if traffic.warm_up is None:
        return
    file = course.write("warm-up", traffic.warm_up())
    for contender in contenders:
        if contender.name != ECHO:
            generate(generator_command(contender.address, file, seconds=_WARM_UP_S), course.generator_core)


def take(course: Course, traffic: PathTraffic, contenders: Sequence[Contender], first_seed: int = 0) -> Turns:
    """All rounds of a path. Each round has queries of its own, by a seed that counts up, the same for all servers."""
    slices: dict[str, list[Slice]] = {contender.name: [] for contender in contenders}
    problems: dict[str, str] = {}
    file = course.directory / "packets"
    for number in range(first_seed, first_seed + course.rounds):
        file = course.write("packets", traffic.stream(course.queries, number))
        for at in range(len(contenders)):
            contender = contenders[(at + number) % len(contenders)]
            if contender.name not in problems:
                try:
                    slices[contender.name].append(_slice(course, contender, file))
                except OSError as error:
                    problems[contender.name] = f"it ended while it was measured: {error}"
    return Turns(slices=slices, problems=problems, last_file=file)


def joined(parts: Sequence[Turns]) -> Turns:
    """Turns of the same servers that were taken one after the other, with rounds of other servers in between."""
    return Turns(
        slices={name: [each for part in parts for each in part.slices[name]] for name in parts[0].slices},
        problems={name: problem for part in parts for name, problem in part.problems.items()},
        last_file=parts[-1].last_file,
    )


def _slice(course: Course, contender: Contender, file: Path) -> Slice:
    command = generator_command(contender.address, file, count=course.queries, seconds=course.slice_s)
    forwarded = course.authority.answered()
    observed = Observation(contender.pids, [course.authority.pid])
    before_s = sum(map(process.cpu_s, contender.pids))
    run = generate(command, course.generator_core)
    cpu_s = sum(map(process.cpu_s, contender.pids)) - before_s
    return Slice(
        cpu_us=cpu_s / max(1, run.received) * 1e6,
        busy=cpu_s / max(1e-6, run.elapsed_s),
        forwarded=(course.authority.answered() - forwarded) / max(1, run.received),
        run=run,
        disturbed=observed.end(run.generator_cpu_s),
    )
