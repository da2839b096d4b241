"""Memory that the supervisor gives to workers, and keeps when they die.

Each worker has its own counters, block ring and arena for answers. All workers share the buckets of the rate limit.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from typing import Final

from pdns.config.per_worker import arena_bytes
from pdns.core import rate_limit
from pdns.files.sealed import new_memory
from pdns.telemetry.block_ring import BlockRing, BlockRingReader
from pdns.telemetry.blocked_domains import BlockedDomains
from pdns.telemetry.counters import Counters
from pdns.telemetry.metrics import WORKER_GAUGES
from pdns.telemetry.stats import HEARTBEAT, MISSING_FEED, OTHER, OVERRIDES_REVISION

Met = Callable[[str, str, bytes], object]
_FEED_LABEL: Final = 2  # in the name of a series of `blocked_total`: family, tenant, feed
_GAUGES: Final = frozenset((*WORKER_GAUGES, HEARTBEAT, MISSING_FEED, OVERRIDES_REVISION))


class WorkerMemory:
    """Counters and block ring of one worker. A replacement continues with them."""

    def __init__(self) -> None:
        self.counters = Counters.create()
        self.block_ring = BlockRing.create()
        self._reader = BlockRingReader(self.block_ring)

    @property
    def fds(self) -> tuple[int, int]:
        return self.counters.fd, self.block_ring.fd

    @property
    def lost(self) -> int:
        """Block records that were overwritten before they were read, in total."""
        return self._reader.lost

    def drain(self, blocked: BlockedDomains, now: float, met: Met = lambda _tenant, _feed, _listed: None) -> list[int]:
        """Pass the block records since the last call to `blocked`; returns the hashes. `met` is called with the tenant, the
        feed and the listed name of each, in wire form, if these are known.
        """
        events = self._reader.take()
        for event in events:
            tenant = (*self.counters.name(event.series), OTHER, OTHER)[1]
            blocked.saw(tenant, event.listed_hash, now)
            if event.listed and event.blocked and len(series := self.counters.name(event.blocked - 1)) > _FEED_LABEL:
                met(tenant, series[_FEED_LABEL], event.listed)
        return [event.listed_hash for event in events]

    def fold_into(self, retired_counters: Counters) -> None:
        """Add the counts to `retired_counters`. Their writer must be gone."""
        retired_counters.fold(self.counters, but=_GAUGES)

    def close(self) -> None:
        self.counters.close()
        self.block_ring.close()


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
