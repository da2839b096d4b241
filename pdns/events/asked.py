"""What the events process makes of the names that workers note: the history, and the findings that need it."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from pdns.blockset.reader import Blockset
from pdns.config.schema import Config
from pdns.event_store.event import Event, Finding, Hour
from pdns.events.bypass import BypassWatch
from pdns.events.first_seen import FirstSeenWatch
from pdns.events.retro_hunt import RetroHunter, ThreatOf
from pdns.events.shared_names import NewSharedName, SharedNamesWatch
from pdns.history.writer import NameHistory, remove_history
from pdns.telemetry.asked_names import key_in, map_ring, record_of
from pdns.telemetry.counters import Counters
from pdns.telemetry.ring import Ring, RingReader
from pdns.telemetry.stats import OTHER

_MOST_AT_ONCE: Final = 16384  # records of one worker, a second
_TENANT_LABEL: Final = 1  # in the name of a series: family, tenant
_log = logging.getLogger(__name__)

SharedNew = Callable[[tuple[float, float]], Iterable[NewSharedName]]


class AskedNameFindings:
    """One for the process. `now_s` is of `pdns.clock.steady_s`."""

    def __init__(self, config: Config, node: str, now_s: float) -> None:
        self._state_dir, self._node = Path(config.state.dir), node
        self._readers: dict[int, tuple[RingReader, Counters]] = {}
        self._history: NameHistory | None = None
        self._hunter: RetroHunter | None = None
        self._first_seen: FirstSeenWatch | None = None
        self._shared = SharedNamesWatch(node)
        self._bypass = BypassWatch(self._state_dir, None, node)
        self._hunting = asyncio.Lock()
        self._now_s = now_s
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Go by `config` from now on. What was noted is removed when names are no longer to be noted."""
        self._config = config
        if self._history is not None:
            self._history.days, self._history.max_bytes = config.history.days, config.history.max_bytes
        if not config.history.days:
            self._history = self._hunter = self._first_seen = None
            for number in list(self._readers):
                self.forget(number)
            try:
                remove_history(self._state_dir)
            except OSError as exc:
                _log.warning("the names that were noted cannot be removed: %s", exc)

    def read_from(self, number: int, fd: int, counters: Counters) -> None:
        """Read the ring of a worker behind `fd`, which is owned from here on; `number` identifies the worker's memories."""
        try:
            ring = map_ring(fd, writable=False)
        except ValueError as exc:
            os.close(fd)
            _log.error("names that were asked are not read: %s", exc)
            return
        known = self._readers.get(number)
        if (known is not None and known[0].ring.id == ring.id) or not self._config.history.days:
            ring.close()
            return
        self._begin(ring)
        self._readers[number] = RingReader(ring, 0), counters  # what was noted before this process was there is new to it

    def forget(self, number: int) -> None:
        """The worker is gone for good."""
        if (found := self._readers.pop(number, None)) is not None:
            self._read(*found)
            found[0].ring.close()

    def collect(self, now_s: float) -> None:
        """Once a second: take what workers have noted."""
        self._now_s = now_s
        for reader, counters in self._readers.values():
            self._read(reader, counters)
        if self._history is not None:
            self._history.tick(now_s)

    def event(self, event: Event) -> None:
        """A query was blocked or monitored."""
        if self._first_seen is not None:
            self._first_seen.event(event)

    def hour(self, hour: Hour) -> None:
        """An hour is over, or, after a start, one of the last two weeks."""
        self._bypass.hour(hour)

    async def check(self, now_s: float, shared_new: SharedNew | None = None) -> list[Finding]:
        """Once a minute: what is to be said. `shared_new`: `EventQueries.shared_new`, where there is a store, once an hour."""
        wanted, days = self._config.findings, self._config.history.days
        findings = []
        async with self._hunting:
            if wanted.bypass:
                findings += await asyncio.to_thread(self._bypass.check, now_s)
            if self._first_seen is not None and wanted.first_seen:
                findings += await asyncio.to_thread(self._first_seen.check, days)
            if shared_new is not None and wanted.shared:
                findings += await asyncio.to_thread(self._shared.check, now_s, shared_new)
        return findings

    async def take_blockset(self, blockset: Blockset, threat_of: ThreatOf, now_s: float) -> list[Finding]:
        """What was asked before this blockset listed it. Takes seconds, in a thread."""
        if self._history is None or self._hunter is None:
            return []
        async with self._hunting:
            self._history.write(now_s)
            try:
                return await asyncio.to_thread(self._hunter.listed, blockset, self._config, now_s, threat_of)
            except OSError as exc:
                _log.warning("newly listed names were not hunted for: %s", exc)
                return []

    def close(self, now_s: float) -> None:
        """Write what was noted."""
        self.collect(now_s)
        if self._history is not None:
            self._history.write(now_s)

    def _begin(self, ring: Ring) -> None:
        if self._history is not None:
            return
        key, history = key_in(ring), self._config.history
        self._history = NameHistory(self._state_dir, key, history.days, history.max_bytes, self._now_s)
        self._history.write(self._now_s)  # makes the directory, and removes what is old
        self._hunter = RetroHunter(self._state_dir, key, self._node)
        self._first_seen = FirstSeenWatch(self._state_dir, key, self._node)
        self._bypass.note_hosts(key)

    def _read(self, reader: RingReader, counters: Counters) -> None:
        if self._history is None:
            return
        lost = reader.lost
        for _, raw in reader.take(_MOST_AT_ONCE):
            digest, series, day = record_of(raw)
            tenant = (*counters.name(series), OTHER, OTHER)[_TENANT_LABEL]
            self._history.add(tenant, digest, day)
            self._bypass.asked(tenant, digest, day)
        if reader.lost > lost:
            self._history.lose(reader.lost - lost)
