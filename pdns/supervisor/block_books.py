"""What the supervisor writes down of blocks: hits of feeds and listed names, every minute; cases, within a second."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from pdns.config.policies import DEFAULT_POLICY
from pdns.config.schema import Config
from pdns.state.cases import WRITE_EVERY_S as WRITE_CASES_EVERY_S
from pdns.state.cases import CaseBook
from pdns.state.feed_hits import WRITE_EVERY_S, HitBook, Hits
from pdns.telemetry.blocked_domains import BlockedDomains
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import OTHER
from pdns.telemetry.worker_memory import WorkerMemory

_RETRY_S: Final = 10.0


class BlockBooks:
    """The files `hits.msgpack` and `cases.jsonl`."""

    def __init__(
        self,
        state_dir: Path,
        config: Callable[[], Config],
        counters: Callable[[], Iterable[Counters]],
        take_notes: Callable[[], object],
    ) -> None:
        """`config` is the one in force; `counters` are those of all workers, now or before; `take_notes` brings what the workers
        have met up to now.
        """
        self._config = config
        self._hits, self._cases = HitBook(state_dir, time.time()), CaseBook(state_dir)
        self._counters, self._take_notes = counters, take_notes

    def drain(self, memory: WorkerMemory, blocked: BlockedDomains, now: float) -> None:
        """Take what a worker has met since the last call."""
        if hashes := memory.drain(blocked, now, self._met):
            self._hits.saw(hashes, time.time())

    async def keep_hits(self) -> None:
        """Save the hits of the feeds every minute."""
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await asyncio.to_thread(self._write_hits, self._hits_now())

    async def keep_cases(self) -> None:
        """Save new cases, at most twice a second."""
        while True:
            await asyncio.sleep(WRITE_CASES_EVERY_S)
            if self._cases.has_news:
                met, is_whole = self._cases.take()
                try:
                    await asyncio.to_thread(self._cases.write, met, is_whole=is_whole)
                except OSError:
                    self._cases.failed()
                    await asyncio.sleep(_RETRY_S)  # then there may be room

    def write(self) -> None:
        """Save everything now."""
        self._write_hits(self._hits_now())
        if self._cases.has_news:
            met, is_whole = self._cases.take()
            with contextlib.suppress(OSError):  # a full disk
                self._cases.write(met, is_whole=is_whole)

    def _met(self, tenant: str, feed: str, listed: bytes) -> None:
        tenants = self._config().tenant
        if tenant == OTHER:  # one of those that have no series of their own; only a reference in use is ever looked for
            policies = {one.policy for one in tenants}
        else:
            policies = {next((one.policy for one in tenants if one.name == tenant), DEFAULT_POLICY)}
        for policy in policies:
            self._cases.saw(policy, feed, listed, time.time())

    def _hits_now(self) -> Hits:
        self._take_notes()
        return self._hits.state(tuple(self._counters()), time.time())

    def _write_hits(self, hits: Hits) -> None:
        with contextlib.suppress(OSError):  # the next one may find room
            self._hits.write(hits)
