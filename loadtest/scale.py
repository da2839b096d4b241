"""`python -m loadtest scale`: what a hit, a block at first sight and a refresh cost with more names, tenants and workers.

The resolvers of one axis run side by side on one core and take turns, so that one curve is of one time. What more cores would do
is a model: `scale_results.ScalePoint.by_model`.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from loadtest import bench, build, lifecycle, namedata, population, process, programs, scale_chart, scale_results, server, turns
from loadtest.history import Ratio
from loadtest.measure import QUICK, Bench
from loadtest.population import Population
from loadtest.results import RefreshResult
from loadtest.scale_results import NAMES, PATHS, TENANTS, WORKERS, ScalePoint, ScaleResults
from loadtest.server import Resolver
from loadtest.spread import half_width
from loadtest.traffic import PathTraffic, of_paths
from loadtest.turns import ECHO, Contender, Course, Slice, Turns
from pdns.version import COMMIT

SIZES: Final = {NAMES: (10_000, 100_000, 1_000_000, 10_000_000), TENANTS: (1, 10, 50, 250), WORKERS: (1, 2, 4, 8)}
ROUNDS: Final = 7
_LISTED: Final = 100_000  # where the names are not what grows
_BENIGN: Final = 3_000
_REFRESH_PER_S: Final = 10_000.0
_START_TIMEOUT_S: Final = 1_800.0  # ten million names on a busy machine
_OURS: Final = "ours"


class _Member(msgspec.Struct, frozen=True, kw_only=True):
    """A resolver of one size, running."""

    size: int
    people: Population
    resolver: Resolver
    feed: Path
    first_start_s: float

    def traffic(self, key: str) -> PathTraffic:
        return next(each for each in of_paths(self.people) if each.path.key == key)

    @property
    def contender(self) -> Contender:
        return Contender(name=_OURS, pids=tuple(self.resolver.workers()), address=self.resolver.address)


def run(axes: Sequence[str], most_names: int, console: Console) -> ScaleResults:
    """Measures the axes. Raises `BuildError`, `ServerError` or `GeneratorError` when it cannot."""
    for name in build.PROGRAMS:
        build.program(name)
    log_step = bench.StepLog(console)
    machine = bench.this_machine()
    server_core, generator_core = bench.two_cores()
    points: list[ScalePoint] = []
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pdns-scale-")))
        authority = stack.enter_context(programs.serving("authority", generator_core))
        echo = stack.enter_context(programs.serving("echo", server_core))
        course = Course(
            directory=directory, authority=authority, generator_core=generator_core, rounds=1, queries=QUICK.queries,
            slice_s=QUICK.slice_s,
        )  # fmt: skip
        for axis in axes:
            with _members(axis, most_names, directory / axis, authority, server_core, log_step) as members:
                points += _axis(axis, members, course, echo, log_step)
    when = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return ScaleResults(when=when, commit=COMMIT, machine=machine, points=points)


@contextlib.contextmanager
def _members(
    axis: str, most_names: int, directory: Path, authority: programs.Server, core: int | None, log_step: Callable[[str], None]
) -> Iterator[list[_Member]]:
    with contextlib.ExitStack() as stack:
        members = []
        for size in SIZES[axis]:
            listed = size if axis == NAMES else _LISTED
            if listed > most_names:
                continue
            log_step(f"{size:,} {scale_results.TITLES[axis]}: start")
            people = population.generated(build.BUILD_DIR, listed=listed, benign=_BENIGN, sample=min(listed, 500_000))
            own = directory / str(size)
            own.mkdir(parents=True)
            feed = Path(shutil.copyfile(people.list_file, own / "listed.txt"))
            resolver = stack.enter_context(
                server.started(
                    own, authority.address, feed, workers=size if axis == WORKERS else 1,
                    more=namedata.tenants_and_policies(size) if axis == TENANTS else "",
                )
            )  # fmt: skip
            first_start_s = resolver.wait_ready(_START_TIMEOUT_S)
            for worker in resolver.workers() if core is not None else ():
                process.pin(worker, core or 0)
            members.append(_Member(size=size, people=people, resolver=resolver, feed=feed, first_start_s=first_start_s))
        yield members


def _axis(
    axis: str, members: Sequence[_Member], course: Course, echo: programs.Server, log_step: Callable[[str], None]
) -> list[ScalePoint]:
    found: dict[str, list[Turns]] = {}
    bare = Contender(name=ECHO, pids=(echo.pid,), address=echo.address)
    for path in PATHS:
        log_step(f"{scale_results.TITLES[axis]}: {path.title}")
        for member in members:
            turns.warm_up(course, member.traffic(path.key), [member.contender])
        rounds = [
            [turns.take(course, member.traffic(path.key), [bare, member.contender], first_seed=number) for member in members]
            for number in range(ROUNDS)
        ]
        found[path.key] = [turns.joined(of_member) for of_member in zip(*rounds, strict=True)]
    points = []
    for at, member in enumerate(members):
        log_step(f"{member.size:,} {scale_results.TITLES[axis]}: refresh under load")
        loads = Bench(
            plan=QUICK, resolver=member.resolver, echo=echo, directory=course.directory, generator_core=course.generator_core
        )
        refresh = lifecycle.refresh(loads, member.people, member.feed, rate=_REFRESH_PER_S)
        points.append(_point(axis, member, {key: of[at] for key, of in found.items()}, refresh))
    return points


def _point(axis: str, member: _Member, found: dict[str, Turns], refresh: RefreshResult) -> ScalePoint:
    return ScalePoint(
        axis=axis,
        size=member.size,
        ratios={key: _ratio(each) for key, each in found.items()},
        cpu_us={key: round(each.median(_OURS, _cpu_us), 3) for key, each in found.items()},
        refresh_s=round(refresh.rebuild_s, 2),
        p99_9_before_us=refresh.before.p99_9,
        p99_9_during_us=refresh.during.p99_9,
        first_start_s=round(member.first_start_s, 1),
    )


def _cpu_us(one: Slice) -> float:
    return one.cpu_us


def _ratio(found: Turns) -> Ratio:
    ratios = found.ratios(_OURS)
    return Ratio(
        median=round(statistics.median(ratios), 3),
        least=round(min(ratios), 3),
        most=round(max(ratios), 3),
        spread=round(half_width(ratios), 3),
        usable=not found.doubts(_OURS),
    )


def main(axes: Sequence[str], most_names: int, *, record: bool) -> int:
    """Runs and prints; `record`: keeps it, with the picture and the table of the page. Returns the exit status."""
    try:
        results = run(axes, most_names, Console(stderr=True))
    except (build.BuildError, server.ServerError, programs.GeneratorError) as error:
        Console(stderr=True).print(f"scale: {error}", style="red", markup=False, highlight=False)
        return 1
    print(scale_results.table(results))
    if record:
        scale_results.save(results)
        scale_chart.PICTURE.write_text(scale_chart.svg(results), encoding="utf-8")
        page = scale_results.PAGE
        page.write_text(scale_results.with_table(page.read_text(encoding="utf-8"), results), encoding="utf-8")
    return 0
