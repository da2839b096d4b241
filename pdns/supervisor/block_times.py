"""How long updates of feeds take until they are blocked: where `feeds.json` and what the workers use meet."""

from __future__ import annotations

import asyncio
import contextlib
import time
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pdns.clock import boottime_s
from pdns.state import block_times
from pdns.state.block_times import BlockTime
from pdns.state.feed_status import LiveUpdate
from pdns.state.in_force import InForce
from pdns.supervisor.http.status import StatusReader
from pdns.telemetry.counters import Counters
from pdns.telemetry.histograms import BLOCK_TIME, BLOCK_TIME_BUCKETS_S, buckets_of
from pdns.telemetry.stats import BUCKET_SUFFIX, SUM_SUFFIX

_LOOK_S: Final = 0.25


class BlockTimes:
    """Counts each update once, when every worker that answers uses its generation."""

    def __init__(self, state_dir: Path, in_force: Callable[[], InForce], counters: Counters) -> None:
        """`counters` are those of the supervisor."""
        self._state_dir, self._in_force, self._counters = state_dir, in_force, counters
        self._status = StatusReader(state_dir)
        self._counted: set[LiveUpdate] | None = None  # of those in `feeds.json`; None: those of an earlier run are there

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            updates = (await asyncio.to_thread(self._status.read)).updates
            if found := self.look(updates, boottime_s(), time.time()):
                with contextlib.suppress(OSError):  # a full disk: they are counted nevertheless
                    await asyncio.to_thread(block_times.add, self._state_dir, found)
            await asyncio.sleep(_LOOK_S)

    def look(self, updates: tuple[LiveUpdate, ...], now_boot_s: float, now_s: float) -> list[BlockTime]:
        """Count what is in force now; returns it. The updates of the first call are not counted."""
        if self._counted is None:
            self._counted = set(updates)
        self._counted &= set(updates)
        generation = self._in_force().generation
        found = []
        for update in updates:
            if update in self._counted or update.generation > generation:
                continue
            self._counted.add(update)
            found.append(BlockTime(now_s, update.feed, max(0.0, now_boot_s - update.seen_boot_s)))
        for one in found:
            bound, _ = buckets_of(BLOCK_TIME)[bisect_left(BLOCK_TIME_BUCKETS_S, one.took_s)]
            self._counters.add(1, BLOCK_TIME + BUCKET_SUFFIX, one.feed, bound)
            self._counters.add(int(one.took_s * 1e9), BLOCK_TIME + SUM_SUFFIX, one.feed)
        return found
