"""Whether two benches put the servers into the same order on each path: what should hold even beside a busy loop."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
from collections.abc import Iterator

from loadtest import goals, process
from loadtest.measure import OURS
from loadtest.results import Results
from loadtest.spread import median_interval

_LOOP = "while True: pass"


@contextlib.contextmanager
def busy_loop(core: int | None) -> Iterator[None]:
    """A program that never sleeps, on `core`; None leaves it where the kernel likes it."""
    with subprocess.Popen([sys.executable, "-c", _LOOP]) as loop:
        try:
            if core is not None:
                process.pin(loop.pid, core)
            yield
        finally:
            loop.kill()


def ratios(results: Results, key: str) -> dict[str, list[float]]:
    """The rounds of each server on a path, those left out that did something else."""
    ours = next((path for path in results.paths if path.key == key), None)
    found = {} if ours is None else {OURS: ours.ratios}
    for peer in results.peers:
        path = peer.path(key)
        if path is not None and path.ratios and not path.not_as_meant:
            found[peer.name] = path.ratios
    return found


def swapped(before: Results, now: Results) -> list[str]:
    """The pairs of servers that changed places, in words. Two whose intervals overlap have no order."""
    found = []
    for path in goals.PATHS:
        then, later = ratios(before, path.key), ratios(now, path.key)
        for one, other in itertools.combinations([name for name in then if name in later], 2):
            for first, second in ((one, other), (other, one)):
                if _is_less(then[first], then[second]) and _is_less(later[second], later[first]):
                    found.append(f"{path.title}: {first} was ahead of {second}, and is behind it now")
    return found


def _is_less(one: list[float], other: list[float]) -> bool:
    return median_interval(one)[1] < median_interval(other)[0]
