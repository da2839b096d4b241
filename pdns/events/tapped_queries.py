"""From the queries that workers copy to collectors of dnstap: samples, and all of a tenant for a while."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from pdns import __version__
from pdns.config.schema import Config
from pdns.config.tap_sinks import sample_every
from pdns.events.dnstap_message import CLIENT_QUERY, DnstapMessage, encode_dnstap
from pdns.events.mappings import PRODUCT, address_of, one_line
from pdns.events.tap_delivery import TapDelivery
from pdns.files import records
from pdns.files.safe_files import appearance, read_state, write_whole
from pdns.state import overrides
from pdns.state.overrides import Overrides, Tapped
from pdns.telemetry.counters import Counters
from pdns.telemetry.ring import RingReader
from pdns.telemetry.tap_ring import SAMPLED, TAPPED, TapRecord, decoded, map_tap_ring

MOST_AT_ONCE: Final = 2000  # records of a worker in one turn
FILE_NAME: Final = "taps.json"  # in the directory of the events process
_MAX_BYTES: Final = 1024 * 1024
_FLUSH_S: Final = 1.0
_log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class TapPlaces(msgspec.Struct, kw_only=True):
    """The file: how far the rings were read, so that after a crash nothing is sent twice."""

    rings: dict[str, int] = {}  # by number, in hexadecimal: the next record
    version: int = 1


class _Copying(NamedTuple):
    """What is read of one worker."""

    reader: RingReader
    counters: Counters

    def close(self) -> None:
        self.reader.ring.close()
        self.counters.close()


class TappedQueries:
    """One for the process. Times: `now_s` since the epoch, `offset_s` is added to times of a ring."""

    def __init__(self, state_dir: Path, events_dir: Path, counters: Counters, spawn: Spawn) -> None:
        """`counters` are those of this process."""
        self._path = events_dir / FILE_NAME
        self._places = _read_places(self._path)
        self._state_dir, self._counters, self._spawn = state_dir, counters, spawn
        self._node = ""
        self._every = 0
        self._workers: dict[int, _Copying] = {}  # by the number of the worker's ring of events
        self._running: dict[str, tuple[TapDelivery, asyncio.Task[None]]] = {}
        self._looks: tuple[int, ...] | None = None
        self._overrides = Overrides()

    async def configure(self, config: Config, node: str) -> None:
        """Send to the sinks of `config` from now on."""
        self._node = node
        sections = {sink.name: sink for sink in config.sink if sink.kind == "dnstap"}
        self._every = sample_every(config)
        for name, (delivery, task) in list(self._running.items()):
            if sections.get(name) != delivery.section:
                await _end(delivery, task)
                del self._running[name]
        for name, section in sections.items():
            if name not in self._running:
                delivery = TapDelivery(section, self._counter_of(name))
                self._running[name] = delivery, self._spawn(delivery.run())

    def read_from(self, worker: int, fd: int, counters_fd: int) -> None:
        """Read the copies of a worker from now on. Both descriptors are owned from here on."""
        counters = Counters.attach(counters_fd, writable=False)
        try:
            ring = map_tap_ring(fd, writable=False)
        except ValueError as error:
            _log.error("a worker's copies of queries cannot be read: %s", error)
            counters.close()
            os.close(fd)
            return
        if (before := self._workers.get(worker)) is not None and before.reader.ring.id == ring.id:
            ring.close()
            counters.close()
            return
        self.forget(worker)
        place = max(self._places.rings.get(f"{ring.id:x}", 0), ring.head - ring.capacity + 1)
        self._workers[worker] = _Copying(RingReader(ring, min(place, ring.head)), counters)

    def forget(self, worker: int) -> None:
        """The worker is gone for good."""
        if (copying := self._workers.pop(worker, None)) is not None:
            copying.close()

    def turn(self, now_s: float, offset_s: float) -> None:
        """Pass on what is there. Call this a few times a second."""
        if not self._workers:
            return
        self._look()  # before the rings: a worker does so before it copies
        tapped = self._overrides.tapped
        read = []
        for copying in self._workers.values():
            lost_before = copying.reader.lost
            read += [(raw, copying.counters) for _, raw in copying.reader.take(MOST_AT_ONCE)]
            if lost := copying.reader.lost - lost_before:
                self._count_lost(lost, tapped, now_s)
        if read:
            self._save()  # first: what is sent before a crash is not sent again
        for raw, counters in read:
            try:
                self._pass_on(decoded(raw), counters, tapped, offset_s)
            except ValueError:
                _log.warning("a copy of a query cannot be read")

    async def stop(self) -> None:
        """Give collectors a second to take what waits."""
        await asyncio.gather(*(_end(delivery, task) for delivery, task in self._running.values()))
        self._running.clear()

    def _pass_on(self, record: TapRecord, counters: Counters, tapped: dict[str, Tapped], offset_s: float) -> None:
        tenant = (counters.name(record.series) or ("", ""))[1]
        wanted: dict[str, str] = {}
        if record.flags & SAMPLED:
            for name, (delivery, _) in self._running.items():
                section = delivery.section
                is_its = section.sample > 0 and (not section.tenants or tenant in section.tenants)
                if is_its and delivery.is_due(section.sample * self._every):
                    wanted[name] = "sample"
        entry = tapped.get(tenant) if record.flags & TAPPED else None
        if entry is not None and record.at_s + offset_s < entry.until_s and entry.sink in self._running:
            wanted[entry.sink] = "tenant"
        for name, why in wanted.items():
            self._running[name][0].put(tap_frame(record, self._node, tenant, why, offset_s))

    def _count_lost(self, lost: int, tapped: dict[str, Tapped], now_s: float) -> None:
        """They were overwritten, and can have been for any sink that wants some."""
        sinks = {name for name, (delivery, _) in self._running.items() if delivery.section.sample > 0}
        sinks |= {entry.sink for entry in tapped.values() if now_s < entry.until_s}
        for name in sinks & self._running.keys():
            self._counters.add(lost, "tap_dropped_total", name)

    def _save(self) -> None:
        rings = {f"{copying.reader.ring.id:x}": copying.reader.next for copying in self._workers.values()}
        with suppress(OSError):  # a full disk: after a crash, some are sent again
            write_whole(self._path, records.encode(TapPlaces(rings=rings)), mode=0o640, synced=False)

    def _look(self) -> None:
        looks = appearance(self._state_dir / overrides.FILE_NAME)
        if looks == self._looks:
            return
        self._looks = looks
        try:
            self._overrides = overrides.read(self._state_dir)
        except (OSError, msgspec.DecodeError) as error:
            _log.error("%s cannot be used, taps stay as they are: %s", overrides.FILE_NAME, error)

    def _counter_of(self, name: str) -> Callable[[str, int], None]:
        def count(family: str, n: int) -> None:
            if n:
                self._counters.add(n, family, name)

        return count


def _read_places(path: Path) -> TapPlaces:
    try:
        return records.decode(read_state(path, _MAX_BYTES), TapPlaces)
    except (OSError, records.DamagedError):
        return TapPlaces()


def tap_frame(record: TapRecord, node: str, tenant: str, why: str, offset_s: float) -> bytes:
    """A copied query as dnstap: CLIENT_QUERY. `extra` has the tenant, the client as events have it, and the kind of the tap."""
    extra = {"tap": why, "tenant": tenant, **({"client": record.client} if record.client else {})}
    message = DnstapMessage(
        kind=CLIENT_QUERY,
        identity=node,
        version=f"{PRODUCT} {__version__}",
        transport=record.transport,
        query_s=record.at_s + offset_s,
        client=address_of(record.client),
        query=record.message,
        extra=one_line(extra),
    )
    return encode_dnstap(message)


async def _end(delivery: TapDelivery, task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await delivery.flush(_FLUSH_S)
