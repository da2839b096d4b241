"""What the events process makes of the names that workers note: the history, and the findings that need it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from pdns.blockset.annotations import Annotations
from pdns.blockset.reader import Blockset
from pdns.clock import steady_s
from pdns.config.policies import NO_TENANT
from pdns.config.schema import Config
from pdns.errors import StoreError
from pdns.event_store.event import ALL_TENANTS, Event, Finding, Hour, Record
from pdns.event_store.open import open_store
from pdns.event_store.queries import Window
from pdns.events.bypass import DAYS as HISTORY_DAYS
from pdns.events.bypass import BypassWatch
from pdns.events.first_seen import FirstSeenWatch
from pdns.events.retro_hunt import RetroHunter, ThreatOf
from pdns.events.shared_names import SharedNamesWatch
from pdns.history.writer import NameHistory, remove_history
from pdns.ipc.channel import close_all
from pdns.telemetry.asked_names import DAY_S, key_in, map_ring, record_of
from pdns.telemetry.counters import Counters
from pdns.telemetry.names_key import read_key
from pdns.telemetry.ring import RingReader
from pdns.telemetry.stats import OTHER

_MOST_AT_ONCE: Final = 16384  # records of one worker, a second
_CHECK_EVERY_S: Final = 60.0
_SHARED_EVERY: Final = 60  # checks
_TENANT_LABEL: Final = 1  # in the name of a series: family, tenant
_log = logging.getLogger(__name__)


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
        self._alone = asyncio.Lock()
        self._unhunted: tuple[Blockset, ThreatOf] | None = None
        self._may_hunt = asyncio.Event()
        self._now_s = now_s
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Go by `config` from now on. What was noted is removed when names are no longer to be noted."""
        self._config = config
        if not config.history.days:
            self._end()
            return
        if self._history is not None:
            self._history.days, self._history.max_bytes = config.history.days, config.history.max_bytes
            return
        try:
            if (key := read_key(self._state_dir)) is not None:
                self._begin(key)
        except OSError as exc:
            _log.error("names that were asked cannot be looked for: %s: %s", exc.filename, exc.strerror)

    def read_from(self, number: int, fd: int, counters_fd: int) -> None:
        """Read the ring of a worker behind `fd` and its counters; both are owned from here on. `number` is that of the worker."""
        ring = counters = None
        try:
            ring = map_ring(fd, writable=False)
            counters = Counters.attach(counters_fd, writable=False)
        except ValueError as exc:
            _log.error("names that were asked are not read: %s", exc)
            if ring is not None:
                ring.close()
            else:
                close_all([fd, counters_fd])
            return
        if number in self._readers or not self._config.history.days:
            ring.close()
            counters.close()
            return
        self._begin(key_in(ring))
        # what is still in the ring may be missing from the files, after a kill; what is not missing is not added twice
        self._readers[number] = RingReader(ring, max(0, ring.head - ring.capacity + 1)), counters

    def forget(self, number: int) -> None:
        """The worker is gone for good."""
        if (found := self._readers.pop(number, None)) is not None:
            reader, counters = found
            while reader.next < reader.ring.head:
                self._read(reader, counters)
            reader.ring.close()
            counters.close()

    def collect(self, now_s: float) -> None:
        """Once a second: take what workers have noted."""
        self._now_s = now_s
        for reader, counters in self._readers.values():
            self._read(reader, counters)
        if self._history is not None:
            self._history.tick(now_s)

    def see(self, records: Iterable[Record]) -> None:
        """These records were made, or, after a start, are the hours of the last two weeks."""
        for record in records:
            if isinstance(record, Hour):
                self._bypass.hour(record)
            elif isinstance(record, Event) and self._first_seen is not None:
                self._first_seen.event(record)

    def take_blockset(self, blockset: Blockset, annotations: Annotations | None) -> None:
        """`hunt` looks for what `blockset`, which is live, lists."""

        def threat_of(name: bytes) -> str:
            listings = blockset.lookup(name) if annotations is not None else ()
            return next((threat for one in listings if annotations is not None and (threat := annotations.of(one).threat)), "")

        self._unhunted = blockset, threat_of
        self._may_hunt.set()

    async def run(self, find: Callable[[Sequence[Finding]], None]) -> None:
        """Make findings until cancelled, and pass them to `find`."""
        await asyncio.to_thread(self._learn, steady_s())
        check_s, checks = time.monotonic() + _CHECK_EVERY_S, 0
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._may_hunt.wait(), max(0.0, check_s - time.monotonic()))
            self._may_hunt.clear()
            try:
                find(await self.hunt(steady_s()))
                if time.monotonic() >= check_s:
                    check_s, checks = time.monotonic() + _CHECK_EVERY_S, checks + 1
                    find(await self.check(steady_s(), with_shared=checks % _SHARED_EVERY == 0))
            except Exception:  # noqa: BLE001 (the next turn may do better)
                _log.exception("findings could not be made")

    async def hunt(self, now_s: float) -> list[Finding]:
        """What was asked before the latest blockset listed it. Takes seconds, in a thread."""
        if self._unhunted is None or self._history is None or self._hunter is None:
            return []
        (blockset, threat_of), self._unhunted = self._unhunted, None
        async with self._alone:
            self.collect(now_s)
            self._history.write(now_s)
            try:
                return await asyncio.to_thread(self._hunter.listed, blockset, self._config, now_s, threat_of)
            except OSError as exc:
                _log.warning("newly listed names were not hunted for: %s", exc)
                return []

    async def check(self, now_s: float, *, with_shared: bool = False) -> list[Finding]:
        """Once a minute: the other findings; those of names that several tenants met once an hour."""
        wanted, days = self._config.findings, self._config.history.days
        findings = []
        async with self._alone:
            if wanted.bypass:
                findings += await asyncio.to_thread(self._bypass.check, now_s)
            if self._first_seen is not None and wanted.first_seen:
                findings += await asyncio.to_thread(self._first_seen.check, days)
            if with_shared and wanted.shared:
                findings += await asyncio.to_thread(self._check_shared, now_s)
        return findings

    def stop(self, now_s: float) -> None:
        """Write what was noted."""
        self.collect(now_s)
        if self._history is not None:
            self._history.write(now_s)

    def _learn(self, now_s: float) -> None:
        """Take up the hours of the last two weeks."""
        tenants = (ALL_TENANTS, NO_TENANT, OTHER, *(tenant.name for tenant in self._config.tenant))
        with suppress(StoreError), closing(open_store(self._config)) as store:
            for tenant in tenants:
                self.see(store.hours(Window(now_s - (HISTORY_DAYS + 1) * DAY_S, now_s), tenant))

    def _check_shared(self, now_s: float) -> list[Finding]:
        with suppress(StoreError), closing(open_store(self._config)) as store:
            return self._shared.check(now_s, lambda start_s, end_s: store.shared_new(Window(start_s, end_s)))
        return []

    def _begin(self, key: bytes) -> None:
        if self._history is not None:
            return
        history = self._config.history
        self._history = NameHistory(self._state_dir, key, history.days, history.max_bytes, self._now_s)
        self._history.write(self._now_s)  # makes the directory, and removes what is old
        self._hunter = RetroHunter(self._state_dir, key, self._node)
        self._first_seen = FirstSeenWatch(self._state_dir, key, self._node)
        self._bypass.note_hosts(key)
        self._may_hunt.set()

    def _end(self) -> None:
        self._history = self._hunter = self._first_seen = None
        for number in list(self._readers):
            self.forget(number)
        try:
            remove_history(self._state_dir)
        except OSError as exc:
            _log.warning("the names that were noted cannot be removed: %s", exc)

    def _read(self, reader: RingReader, counters: Counters) -> None:
        lost = reader.lost
        for _, raw in reader.take(_MOST_AT_ONCE):
            digest, series, day = record_of(raw)
            tenant = (*counters.name(series), OTHER, OTHER)[_TENANT_LABEL]
            if self._history is not None:
                self._history.add(tenant, digest, day)
                self._bypass.asked(tenant, digest, day)
        if reader.lost > lost and self._history is not None:
            self._history.lose(reader.lost - lost)
