"""`python -m loadtest fleet`: one publisher, many nodes, and everything that can go wrong between them."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import platform
import tempfile
from collections.abc import Collection
from pathlib import Path

from rich.console import Console

from loadtest import build, fleetresults, fleetscene
from loadtest.fleetplay import FleetPlay
from loadtest.fleetscene import FleetPlan, Scene
from loadtest.fleetstore import StoreMissing
from loadtest.fleetwatch import RESOLVERS_FROM, FleetResults
from loadtest.programs import GeneratorError
from loadtest.server import ServerError
from pdns import __version__

_MEMORY = Path("/dev/shm")  # 200 nodes that write their lists to one disk would measure the disk


def main(plan: FleetPlan, console: Console | None = None, *, keep: Path | None = None, only: Collection[str] = ()) -> int:
    """Runs, prints, writes. Returns 0 when all goals are met, 1 when not, 2 when it cannot be held."""
    console = console or Console(highlight=False)
    with contextlib.ExitStack() as stack:
        if keep is None:
            parent = _MEMORY if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) else None
            keep = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pdns-fleet-", dir=parent)))
        else:
            keep.mkdir(parents=True)
        try:
            results = run(plan, keep.resolve(), console, only)
        except (build.BuildError, StoreMissing, ServerError, GeneratorError, OSError) as error:
            console.print(f"fleet: {error}", style="red", highlight=False, markup=False)
            return 2
    fleetresults.show(results, console)
    console.print(f"written to {fleetresults.save(results)}", style="dim", highlight=False)
    return 1 if results.failed else 0


def run(plan: FleetPlan, directory: Path, console: Console, only: Collection[str] = ()) -> FleetResults:
    """One simulation. Raises `BuildError`, `StoreMissing`, `ServerError`, `OSError` when it cannot be held."""
    with fleetscene.standing(plan, directory) as scene:
        play = FleetPlay(scene, lambda text: console.print(text, highlight=False, markup=False, soft_wrap=True))
        play.run(only)
        run_s = scene.now_s()
        return FleetResults(
            when=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), version=__version__,
            machine=f"{_processor()}, {os.cpu_count()} cores, Linux {platform.release()}", nodes=plan.nodes,
            resolvers=plan.resolvers, names=plan.names, poll_s=plan.poll_s, soak_s=plan.soak_s, run_s=run_s,
            scale=f"an hour is {plan.outage_s:.0f} s, a week {plan.week_changes} changes", goals=play.goals, bands=play.bands,
            current=current(scene), queries=play.queries,
        )  # fmt: skip


def current(scene: Scene) -> list[tuple[float, int]]:
    """For each moment at which it changed: how many members have the newest release of their ring."""
    ring_of = {RESOLVERS_FROM + at: ("first", "early", "all")[min(2, at)] for at in range(scene.plan.resolvers)}
    ring_of |= {number: scene.plan.ring(number) for number in scene.nodes.numbers()}
    moments = [(at_s, ring, number, -1) for ring, one in scene.watch.published.items() for number, at_s in one.items()]
    moments += [(one.at_s, "", one.release, one.node) for one in scene.watch.everyone(scene.nodes.reports)]
    wanted: dict[str, int] = {}
    has: dict[int, int] = {}
    found: list[tuple[float, int]] = []
    for at_s, ring, number, member in sorted(moments):
        if member < 0:
            wanted[ring] = max(number, wanted.get(ring, 0))
        else:
            has[member] = number
        count = sum(release >= wanted.get(ring_of[one], 0) for one, release in has.items())
        found.append((round(max(0.0, at_s - scene.started_s), 2), count))
    return found


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
