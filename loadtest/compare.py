"""`python -m loadtest compare CHECKOUT`: what a query costs in this tree, with the same in another tree as 1.

Both run side by side and are sent the same packets in turn, so that what disturbs one disturbs the other.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec
from rich.console import Console
from rich.progress import Progress

from loadtest import build, lifecycle, process, programs, report, server
from loadtest.bench import population_of
from loadtest.measure import QUICK, Bench
from loadtest.population import Population
from loadtest.server import HERE, Checkout, ServerError
from loadtest.spread import median_interval
from loadtest.traffic import PathTraffic, of_paths

T = TypeVar("T")
MOST_WORSE = 1.02
_QUERIES = 60_000  # of one path, to one of the two
_WARM_EVERY = 10  # rounds: an answer lives for 300 s, ten rounds take less
_START_TIMEOUT_S = 180.0
_REFRESH, _REFRESH_PER_S = "refresh", 20_000.0
_ROUNDS_A_REFRESH = 6


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One row: this tree as a multiple of the other, from pairs of runs."""

    title: str
    unit: str
    other: float
    this: float
    ratios: list[float]  # one a pair

    @property
    def ratio(self) -> float:
        """The median of the pairs."""
        return statistics.median(self.ratios)

    @property
    def interval(self) -> tuple[float, float]:
        """Where the median of many more pairs would lie, by order statistics: no distribution is assumed."""
        return median_interval(self.ratios)

    @property
    def verdict(self) -> str:
        """`worse` only when chance does not explain it, `as before` only when the measurement is fine enough to say so."""
        low, high = self.interval
        if low > MOST_WORSE:
            return "worse"
        if high < 1 / MOST_WORSE:
            return "better"
        return "as before" if self.ratio <= MOST_WORSE else "unclear: more --rounds"


def main(other: Path, rounds: int, only: str, *, more: str = "") -> int:
    """Runs and prints. Returns the exit status: 1 when a row is worse, 2 when it could not be measured."""
    console = Console(stderr=True)
    try:
        rows = run(checkout_at(other), rounds, only, console, more=more)
    except (build.BuildError, ServerError, programs.GeneratorError) as error:
        console.print(f"compare: {error}", style="red", markup=False, highlight=False)
        return 2
    terminal = Console()
    terminal.width = max(terminal.width, report.WIDTH)
    show(rows, other, terminal)
    return 1 if any(row.verdict == "worse" for row in rows) else 0


def checkout_at(directory: Path) -> Checkout:
    """The tree in `directory`, built. Raises `ServerError` when it is not."""
    python = directory / ".venv" / "bin" / "python"
    if not python.exists():
        raise ServerError(f"{python} is missing: run `make dev` in {directory}")
    return Checkout(directory=directory, python=python)


def run(other: Checkout, rounds: int, only: str, console: Console, *, more: str = "") -> list[Comparison]:
    """Measures the rows whose keys hold `only`. This tree has the sections `more` in its configuration. Raises as `bench.run`."""
    for name in build.PROGRAMS:
        build.program(name)
    cores = process.cores()
    server_core, generator_core = (cores[0], cores[1]) if len(cores) > 1 else (None, None)
    people = population_of(QUICK, None)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pdns-compare-")))
        progress = stack.enter_context(Progress(console=console, transient=True))
        authority = stack.enter_context(programs.serving("authority", generator_core))
        echo = stack.enter_context(programs.serving("echo", server_core))
        trees = []
        for name, checkout, beside in progress.track((("other", other, ""), ("this", HERE, more)), description="start"):
            feed = Path(shutil.copyfile(people.list_file, directory / f"{name}.txt"))
            resolver = stack.enter_context(
                server.started(directory / name, authority.address, feed, checkout=checkout, more=beside)
            )
            resolver.wait_ready(_START_TIMEOUT_S)
            lifecycle.pin(resolver, server_core)
            bench = Bench(plan=QUICK, resolver=resolver, echo=echo, directory=directory, generator_core=generator_core)
            trees.append(_Tree(bench=bench, feed=feed))
        found = [
            _path(trees, traffic, rounds, progress) for traffic in of_paths(people) if only in traffic.path.key
        ]  # fmt: skip
        if only in _REFRESH:
            found += _refresh(trees, people, max(2, rounds // _ROUNDS_A_REFRESH), progress)
    return found


def show(rows: Sequence[Comparison], other: Path, console: Console) -> None:
    """Prints the table."""
    table = report.table_of("", str(other), "here", "ratio", "true ratio, 9 in 10", "")
    for row in rows:
        low, high = row.interval
        numbers = (f"{row.other:.2f} {row.unit}", f"{row.this:.2f} {row.unit}", f"{row.ratio:.3f}", f"{low:.3f} to {high:.3f}")
        table.add_row(row.title, *numbers, row.verdict)
    console.print(table)


class _Tree(msgspec.Struct, frozen=True, kw_only=True):
    bench: Bench
    feed: Path


def _path(trees: Sequence[_Tree], traffic: PathTraffic, rounds: int, progress: Progress) -> Comparison:
    pairs = []
    for number in progress.track(range(rounds), description=traffic.path.title):
        if traffic.warm_up is not None and number % _WARM_EVERY == 0:
            for tree in trees:
                tree.bench.warm(traffic.warm_up())
        file = trees[0].bench.write(traffic.stream(_QUERIES, number))
        pairs.append(_in_turn(number, [partial(_cpu_us, tree.bench, file) for tree in trees]))
    return _comparison(traffic.path.title, "us", pairs)


def _cpu_us(bench: Bench, file: Path) -> float:
    worker = bench.resolver.worker()
    before_s = bench.resolver.cpu_s(worker)
    received = bench.generate(bench.resolver.address, file, _QUERIES).received
    return (bench.resolver.cpu_s(worker) - before_s) / max(1, received) * 1e6


def _refresh(trees: Sequence[_Tree], people: Population, times: int, progress: Progress) -> list[Comparison]:
    tails, durations = [], []
    for number in progress.track(range(times), description="refresh under load"):
        measures = [partial(lifecycle.refresh, tree.bench, people, tree.feed, rate=_REFRESH_PER_S) for tree in trees]
        other, this = _in_turn(number, measures)
        tails.append((other.during.p99_9 / 1000, this.during.p99_9 / 1000))
        durations.append((other.rebuild_s, this.rebuild_s))
    return [_comparison("p99.9 during a refresh", "ms", tails), _comparison("a refresh, under load", "s", durations)]


def _in_turn(number: int, measures: Sequence[Callable[[], T]]) -> tuple[T, T]:
    """What the two give; in every second round the second one goes first: what grows with time meets both."""
    first, second = measures
    if number % 2:
        later = second()
        return first(), later
    return first(), second()


def _comparison(title: str, unit: str, pairs: Sequence[tuple[float, float]]) -> Comparison:
    other, this = zip(*pairs, strict=True)
    ratios = [mine / theirs for theirs, mine in pairs]
    return Comparison(title=title, unit=unit, other=statistics.median(other), this=statistics.median(this), ratios=ratios)
