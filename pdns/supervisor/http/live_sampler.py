"""Samples the counters once a second while there is a viewer. Without one there is no timer and no work."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from pdns.supervisor.http.live_counts import LiveSums, by_label, difference, quantile
from pdns.supervisor.process_usage import ProcessUsage, usage
from pdns.telemetry.counters import Counters
from pdns.telemetry.live_status import LivePoint
from pdns.telemetry.stats import BOUNDS

EVERY_S: Final = 1.0
WINDOW_S: Final = 60
HISTORY_S: Final = 600
LINGER_S: Final = 15.0  # after the last request of a viewer: a page that is loaded again keeps its history
_CPU_SAMPLES: Final = 5  # the kernel counts CPU time in steps of 10 ms


class LiveSample(NamedTuple):
    """The counters at one moment."""

    at_s: float  # of the loop's clock
    time_s: float  # since the epoch
    row: array[int]
    usage: Mapping[str, ProcessUsage]


class LiveSampler:
    """The last minute of samples, and the last ten minutes of a few numbers."""

    def __init__(self, counters: Callable[[], Iterable[Counters]], processes: Callable[[], Mapping[str, int]]) -> None:
        """`counters`: the memories of all workers, now or before. `processes`: name -> process ID."""
        self.sums = LiveSums()
        self.samples: deque[LiveSample] = deque(maxlen=WINDOW_S + 1)
        self.history: deque[LivePoint] = deque(maxlen=HISTORY_S)
        self.number = 0  # of the last sample
        self._counters, self._processes = counters, processes
        self._timer: asyncio.TimerHandle | None = None
        self._next_s = self._until_s = 0.0
        self._waiting: list[asyncio.Future[bool]] = []
        self._closed = False

    @property
    def runs(self) -> bool:
        """Whether samples are being taken."""
        return self._timer is not None

    async def ready(self) -> bool:
        """Wait until rates are known: at most a second, at once while there are viewers. False: the server stops."""
        self._want()
        while not self._closed and len(self.samples) < 2:
            await self.next()
        return not self._closed

    async def next(self) -> bool:
        """Wait for the next sample. False: the server stops."""
        self._want()
        if self._closed:
            return False
        waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        return await waiting

    def close(self) -> None:
        """Take no more samples, and end what waits for one."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake(more=False)

    def cpu(self, process: str) -> float | None:
        """How many cores a process uses, over the last seconds; None when that is unknown."""
        now, before = self.samples[-1], self.samples[max(0, len(self.samples) - 1 - _CPU_SAMPLES)]
        after, early = now.usage.get(process), before.usage.get(process)
        if after is None or early is None or after.start_time_s != early.start_time_s or now.at_s <= before.at_s:
            return None
        return max(0.0, after.cpu_s - early.cpu_s) / (now.at_s - before.at_s)

    def _want(self) -> None:
        loop = asyncio.get_running_loop()
        self._until_s = loop.time() + LINGER_S
        if self._timer is None and not self._closed:
            self.samples.clear()  # a difference to what was long ago is no rate of today
            self._next_s = loop.time()
            self._tick(loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        if now_s > self._until_s:
            self._timer = None
            return
        self._next_s = max(self._next_s + EVERY_S, now_s + EVERY_S / 2)
        self._timer = loop.call_at(self._next_s, self._tick, loop)
        self._sample(now_s)
        self._wake(more=True)

    def _wake(self, *, more: bool) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():
                one.set_result(more)

    def _sample(self, now_s: float) -> None:
        used = {name: found for name, pid in self._processes().items() if (found := usage(pid)) is not None}
        self.samples.append(LiveSample(now_s, time.time(), self.sums.row(self._counters()), used))
        self.number += 1
        if len(self.samples) > 1:
            self.history.append(self._point(self.samples[-2], self.samples[-1]))

    def _point(self, before: LiveSample, now: LiveSample) -> LivePoint:
        counted = self.sums.table(difference(now.row, before.row))
        took_s = now.at_s - before.at_s
        buckets = dict.fromkeys(BOUNDS, 0)
        for column, value in counted.items():
            if column[0] == "duration":
                buckets[column[2]] += value
        queries, blocked = (sum(by_label(counted, kind).values()) / took_s for kind in ("queries", "blocked"))
        return LivePoint(now.time_s, round(queries, 2), round(blocked, 2), quantile(buckets, 0.99))
