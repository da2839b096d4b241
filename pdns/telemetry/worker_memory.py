"""Memory that the supervisor gives to workers, and keeps when they die.

Each worker has its own counters, event ring and arena for answers. All workers share the buckets of the rate limit.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from typing import Final

from pdns.config.per_worker import arena_bytes
from pdns.config.schema import Config
from pdns.core import rate_limit
from pdns.files.sealed import new_memory
from pdns.telemetry.block_labels import BlockLabels, labels_of
from pdns.telemetry.counters import Counters
from pdns.telemetry.event_ring import EventRing, RawEvent, event_of
from pdns.telemetry.further_memories import MAKERS
from pdns.telemetry.metrics import WORKER_GAUGES
from pdns.telemetry.ring import RingReader
from pdns.telemetry.stats import HEARTBEAT, MISSING_FEED, OVERRIDES_REVISION

_GAUGES: Final = frozenset((*WORKER_GAUGES, HEARTBEAT, MISSING_FEED, OVERRIDES_REVISION))


class WorkerMemory:
    """Counters, event ring and further memories of one worker. A replacement continues with them."""

    def __init__(self, workers: int = 1) -> None:
        """It is one of `workers`."""
        self.counters = Counters.create()
        self.event_ring = EventRing.create(workers=workers)
        self._reader = RingReader(self.event_ring)
        self._further: dict[str, int] = {}

    @property
    def fds(self) -> tuple[int, int]:
        return self.counters.fd, self.event_ring.fd

    def further(self, name: str, config: Config) -> int:
        """The descriptor of a memory of `pdns.telemetry.further_memories`, made at first use."""
        if name not in self._further:
            self._further[name] = MAKERS[name](config)
        return self._further[name]

    @property
    def lost(self) -> int:
        """Events that were overwritten before they were read here, in total."""
        return self._reader.lost

    def take(self) -> list[tuple[RawEvent, BlockLabels]]:
        """The events of blocked queries since the last call."""
        events = []
        for _, record in self._reader.take():
            with suppress(ValueError):
                event = event_of(record)
                if event.is_blocked and (labels := labels_of(event, self.counters)) is not None:
                    events.append((event, labels))
        return events

    def fold_into(self, retired_counters: Counters) -> None:
        """Add the counts to `retired_counters`. Their writer must be gone."""
        retired_counters.fold(self.counters, but=_GAUGES)

    def close(self) -> None:
        self.counters.close()
        self.event_ring.close()
        for fd in self._further.values():
            os.close(fd)


class Arena:
    """Memory for one worker's cached answers. It outlives the worker, so a replacement starts with a full cache."""

    def __init__(self, number: int, size_bytes: int) -> None:
        """`number` distinguishes it from all other arenas of the same worker; from 1."""
        self.number = number
        self.size_bytes = size_bytes
        self.fd = new_memory("pdns-answers", size_bytes)

    def close(self) -> None:
        os.close(self.fd)


class RateLimitMemory:
    """Memory for the buckets of the rate limit, shared by all workers, so that a client has one limit over all of them."""

    def __init__(self) -> None:
        self.fd = new_memory("pdns-limits", rate_limit.MEMORY_BYTES)
        os.pwrite(self.fd, os.urandom(rate_limit.KEY_BYTES), 0)

    def close(self) -> None:
        os.close(self.fd)


def map_limits(fd: int) -> memoryview:
    """The memory of a `RateLimitMemory`, whose descriptor stays open. Raises `ValueError` when it is of another size."""
    if (size := os.fstat(fd).st_size) != rate_limit.MEMORY_BYTES:
        raise ValueError(f"{size} bytes for the rate limit instead of {rate_limit.MEMORY_BYTES}")
    return memoryview(mmap.mmap(fd, size))


def new_limits() -> memoryview:
    """The same for one worker alone."""
    limits = RateLimitMemory()
    try:
        return map_limits(limits.fd)
    finally:
        limits.close()


def new_arenas(number: int, max_bytes: int, workers: int) -> list[Arena]:
    """One arena for each worker, with its part of `cache.max_bytes`."""
    return [Arena(number, arena_bytes(max_bytes, workers)) for _ in range(workers)]


def close_arenas(arenas: list[Arena]) -> None:
    for arena in arenas:
        arena.close()
