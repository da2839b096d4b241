"""What else ran on the machine during a measurement: time stolen by the hypervisor, other programs, waiting for a core."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from loadtest import process

_IDLE, _IOWAIT, _STEAL, _GUEST = 3, 4, 7, 8  # columns of /proc/stat; the times of guests are in others as well
MOST_SPREAD, MOST_STOLEN, MOST_WAITED, MOST_OTHERS = 0.08, 0.05, 0.1, 0.2


class Disturbance(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of the time."""

    stolen: float  # of all cores, by the hypervisor
    others: float  # of all cores, by programs that take no part
    waited: float  # in which the server could run and another program had its core


class _Moment(NamedTuple):
    at_s: float
    busy_s: float
    stolen_s: float
    ours_s: float
    waited_s: float


class Observation:
    """Begins when it is made. `ours`: the processes that take part, this one apart; `server`: of what is measured."""

    def __init__(self, server: Sequence[int], ours: Sequence[int]) -> None:
        self._server, self._ours = server, {*server, *ours, os.getpid()}
        self._begin = self._now()

    def end(self, ended_s: float) -> Disturbance:
        """Since the beginning. `ended_s`: CPU time of processes that took part and are gone. Raises `OSError`."""
        begin, now = self._begin, self._now()
        passed_s = max(1e-6, now.at_s - begin.at_s)
        of_cores_s = passed_s * len(process.cores())
        ours_s = now.ours_s - begin.ours_s + ended_s
        return Disturbance(
            stolen=(now.stolen_s - begin.stolen_s) / of_cores_s,
            others=(now.busy_s - begin.busy_s - ours_s) / of_cores_s,  # below 0 by chance: the kernel counts in ticks of 10 ms
            waited=(now.waited_s - begin.waited_s) / passed_s,
        )

    def _now(self) -> _Moment:
        busy_s, stolen_s = busy_and_stolen_s(Path("/proc/stat").read_text(), process.cores())
        ours_s = sum(process.cpu_s(pid) for pid in self._ours)
        return _Moment(time.monotonic(), busy_s, stolen_s, ours_s, sum(map(process.waited_s, self._server)))


def busy_and_stolen_s(stat: str, cores: Sequence[int]) -> tuple[float, float]:
    """Of `cores`, from the text of /proc/stat: seconds since the start in which they ran anything, and those stolen."""
    names = {f"cpu{core}" for core in cores}
    hertz = os.sysconf("SC_CLK_TCK")
    busy = stolen = 0
    for name, *columns in map(str.split, stat.splitlines()):
        if name in names:
            ticks = [int(column) for column in columns]
            busy += sum(ticks[:_GUEST]) - ticks[_IDLE] - ticks[_IOWAIT] - ticks[_STEAL]
            stolen += ticks[_STEAL]
    return busy / hertz, stolen / hertz


def at_rest(seconds: float = 0.5) -> list[str]:
    """Waits, and says why latency is not to be measured now; nothing on a quiet machine."""
    observed = Observation([], [])
    time.sleep(seconds)
    return doubts(0.0, observed.end(0.0))


def mean(found: Sequence[Disturbance]) -> Disturbance:
    """Of slices of about the same length; all 0 without any."""
    count = max(1, len(found))
    return Disturbance(
        stolen=max(0.0, sum(each.stolen for each in found) / count),
        others=max(0.0, sum(each.others for each in found) / count),
        waited=max(0.0, sum(each.waited for each in found) / count),
    )


def doubts(spread: float, found: Disturbance) -> list[str]:
    """Why a number is not to be used; nothing on a quiet machine. `spread`: half the interval of its median, as a share."""
    reasons = []
    if spread > MOST_SPREAD:
        reasons.append(f"rounds differ by ±{spread:.0%}")
    if found.stolen > MOST_STOLEN:
        reasons.append(f"{found.stolen:.0%} of the time was stolen by the hypervisor")
    if found.others > MOST_OTHERS:
        reasons.append(f"other programs took {found.others:.0%} of the cores")
    if found.waited > MOST_WAITED:
        reasons.append(f"the server waited {found.waited:.0%} of the time for its core")
    return reasons
