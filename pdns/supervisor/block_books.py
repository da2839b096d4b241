"""What the supervisor writes down of blocks: hits of feeds and listed names, every minute; cases and times of updates at once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from pdns.config.policies import DEFAULT_POLICY
from pdns.config.schema import Config
from pdns.core.client_identity import ClientIdentity, text_of
from pdns.state.cases import WRITE_EVERY_S as WRITE_CASES_EVERY_S
from pdns.state.cases import CaseBook
from pdns.state.feed_hits import WRITE_EVERY_S, HitBook, Hits
from pdns.state.in_force import InForce
from pdns.supervisor.block_times import BlockTimes
from pdns.supervisor.listed_names import NameCounts
from pdns.telemetry.block_labels import BlockLabels
from pdns.telemetry.blocked_domains import BlockedDomains
from pdns.telemetry.counters import Counters
from pdns.telemetry.event_ring import RawEvent, name_hash
from pdns.telemetry.recent_blocks import MOST, RecentBlock
from pdns.telemetry.stats import OTHER
from pdns.telemetry.worker_memory import WorkerMemory
from pdns.wire import names

_RETRY_S: Final = 10.0


class BlockBooks:
    """The files `hits.msgpack`, `cases.jsonl` and `block-times.jsonl`."""

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
        self._state_dir, self._config = state_dir, config
        self._hits, self._cases = HitBook(state_dir, time.time()), CaseBook(state_dir)
        self._counters, self._take_notes = counters, take_notes
        self.recent: deque[RecentBlock] = deque(maxlen=MOST)
        self.listed: NameCounts | None = None  # while a release of a fleet is judged

    def drain(self, memory: WorkerMemory, blocked: BlockedDomains, now: float) -> None:
        """Take what a worker has met since the last call. `now` is of `pdns.clock.boottime_s`."""
        if not (events := memory.take()):
            return
        hashes, now_s = [], time.time()
        for event, labels in events:
            hashes.append(name_hash(event.listed))
            blocked.saw(labels.tenant, hashes[-1], now)
            self._met(labels.tenant, labels.feed, event.listed)
            if self.listed is not None:
                self.listed.saw(event, labels)
            self.recent.append(_recent(event, labels, now_s - now + event.last_s))
        self._hits.saw(hashes, now_s)

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

    async def keep_times(self, in_force: Callable[[], InForce], counters: Counters) -> None:
        """Count how long updates of feeds take until every worker uses them. `counters` are those of the supervisor."""
        await BlockTimes(self._state_dir, in_force, counters).run()

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


def _recent(event: RawEvent, labels: BlockLabels, time_s: float) -> RecentBlock:
    client = text_of(ClientIdentity(event.client_kind, event.client_bits, event.client))
    try:
        qname, listed = names.to_text(event.qname), names.to_text(event.listed)
    except (IndexError, ValueError):  # the memory of a worker may contain anything
        qname = listed = "?"
    return RecentBlock(time_s, labels.tenant, client, qname, listed, labels.feed, labels.category, labels.action, event.n)
