"""What the events process does between messages: it collects, delivers, and looks for changes."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from pdns.blockset.annotations import Annotations, annotations_of
from pdns.blockset.generations import blocksets_directory
from pdns.blockset.reader import Blockset
from pdns.clock import boottime_s, steady_s
from pdns.config.schema import Config
from pdns.errors import BlocksetError
from pdns.event_store.event import Record
from pdns.events.asked import AskedNameFindings
from pdns.events.collect import EventCollector
from pdns.events.delivery import Delivery
from pdns.events.report_schedule import ReportSchedule
from pdns.events.sink import SinkEntry
from pdns.events.sinks import make_entry
from pdns.events.spool import Spool
from pdns.events.store_sink import store_entry
from pdns.events.tapped_queries import TappedQueries
from pdns.events.tunnel_findings import TunnelFindings
from pdns.telemetry.counters import Counters
from pdns.telemetry.event_ring import EventRing
from pdns.telemetry.further_memories import ASKED, TAP, TUNNELS

DIRECTORY: Final = "events"  # below the state directory
SINK_GAUGES: Final = ("event_sink_up", "event_sink_lag_seconds")
_TURN_S: Final = 0.2
_GAUGES_EVERY: Final = 5  # turns
_FORGET_AFTER_TURNS: Final = 50  # by then the supervisor has named all workers
_log = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


def events_directory(state_dir: Path) -> Path:
    """Where the events process writes."""
    return state_dir / DIRECTORY


def node_of(config: Config) -> str:
    """The name of this machine in events."""
    return config.events.node or socket.gethostname()


class EventsRuntime:
    """One for the process. `state.dir` does not change."""

    def __init__(self, config: Config, counters: Counters, spawn: Spawn) -> None:
        self._state_dir = Path(config.state.dir)
        directory = events_directory(self._state_dir)
        self._config, self._counters, self._spawn = config, counters, spawn
        self._spool = Spool(directory / "spool", config.events.max_bytes)
        self._delivery = Delivery(self._spool, directory)
        self._collector = EventCollector(config, node_of(config), directory, self._spool, self._append, counters)
        self._delivery.also_needed = lambda: self._collector.needed
        self._tunnels = TunnelFindings()
        self._taps = TappedQueries(self._state_dir, directory, counters, spawn)
        self._asked = AskedNameFindings(config, node_of(config), steady_s())
        self._reports = ReportSchedule(config)
        self._lost_before: dict[str, int] = {}
        self._shown: set[str] = set()  # sinks that have gauges
        for family in SINK_GAUGES:  # a process before this one may have had other sinks
            counters.forget(family)

    async def configure(self, config: Config) -> None:
        """Go by `config` from now on."""
        self._config = config
        self._asked.configure(config)
        self._reports.adopt(config)
        self._spool.set_max_bytes(config.events.max_bytes)
        self._collector.describer.configure(config, node_of(config))
        await self._delivery.configure(self._entries(config), self._spawn)
        await self._taps.configure(config, node_of(config))

    async def run(self) -> None:
        """Collect until cancelled."""
        self._spawn(self._delivery.run())
        self._spawn(self._asked.run(self._collector.find))
        self._spawn(self._reports.run())
        turns = 0
        while True:
            self._turn()
            if turns % _GAUGES_EVERY == 0:
                self._set_gauges()
                self._asked.collect(steady_s())
            turns += 1
            if turns == _FORGET_AFTER_TURNS:
                self._collector.forget_others()
            await asyncio.sleep(_TURN_S)

    async def stop(self) -> None:
        """Collect what is there, and give the sinks a second to take it."""
        self._turn()
        self._asked.stop(steady_s())
        self._collector.end_hour(steady_s())
        self._collector.save()
        await asyncio.gather(self._delivery.stop(), self._taps.stop())
        self._set_gauges()

    def read_from(self, counters_fd: int, ring_fd: int, memories: dict[str, int], *, anew: bool = False) -> None:
        """Read the memories of a worker, which are owned from here on. Of the further `memories`, those used are taken out."""
        counters = ring = None
        try:
            counters = Counters.attach(counters_fd, writable=False)
            ring = EventRing.attach(ring_fd, writable=False)
        except ValueError as error:
            _log.error("a worker's events cannot be read: %s", error)
            if counters is not None:
                counters.close()
            return
        if (asked_fd := memories.pop(ASKED, None)) is not None:
            self._asked.read_from(ring.id, asked_fd, os.dup(counters_fd))
        if (tap_fd := memories.pop(TAP, None)) is not None:
            self._taps.read_from(ring.id, tap_fd, os.dup(counters_fd))
        if TUNNELS in memories and self._tunnels.read_from(ring.id, memories[TUNNELS]):
            del memories[TUNNELS]
        self._collector.read_from(ring, counters, anew=anew)

    def forget(self, ring: int) -> None:
        """The worker of that ring is gone for good."""
        self._find_tunnels()
        self._tunnels.forget(ring)
        self._pass_on_taps()
        self._taps.forget(ring)
        self._collector.forget(ring, steady_s(), boottime_s())
        self._asked.forget(ring)

    async def take_blockset(self, generation: int, fd: int) -> None:
        """Look up names in the blockset behind `fd`, which is owned from here on."""
        directory = blocksets_directory(self._state_dir) / str(generation)

        def read() -> tuple[Blockset, Annotations | None]:
            blockset = Blockset.map(fd, directory)
            return blockset, annotations_of(blockset)

        try:
            blockset, annotations = await asyncio.to_thread(read)
            self._collector.describer.take_blockset(blockset, annotations)
            self._asked.take_blockset(blockset, annotations)
        except BlocksetError as error:
            _log.error("blockset %d: not used, the one before it stays: %s", generation, error)
        finally:
            os.close(fd)

    def _append(self, records: Sequence[Record]) -> None:
        self._asked.see(records)
        self._delivery.append(records)

    def _turn(self) -> None:
        try:
            self._collector.turn(steady_s(), boottime_s())
            self._find_tunnels()
            self._pass_on_taps()
        except Exception:  # noqa: BLE001 (the next turn may do better)
            _log.exception("events could not be collected")

    def _find_tunnels(self) -> None:
        now_s = steady_s()
        self._collector.find(self._tunnels.take(node_of(self._config), now_s, now_s - boottime_s()))

    def _pass_on_taps(self) -> None:
        now_s = steady_s()
        self._taps.turn(now_s, now_s - boottime_s())

    def _entries(self, config: Config) -> list[SinkEntry]:
        return [store_entry(config), *map(make_entry, config.sink)]

    def _set_gauges(self) -> None:
        self._gauge("event_spool_bytes", self._spool.size_bytes)
        for reason, queries in self._spool.lost_queries.items():
            self._counters.add(queries - self._lost_before.get(reason, 0), "events_lost_total", reason)
            self._lost_before[reason] = queries
        states = self._delivery.states()
        for gone in self._shown.difference(state.name for state in states):
            for family in SINK_GAUGES:
                self._counters.forget(family, gone)
        self._shown = {state.name for state in states}
        for state in states:
            self._gauge("event_sink_up", int(state.up), state.name)
            self._gauge("event_sink_lag_seconds", int(state.lag_s), state.name)
            self._gauge("event_sink_errors_total", state.errors, state.name)
            self._gauge("event_sink_records_total", state.written, state.name, "written")
            self._gauge("event_sink_records_total", state.lost, state.name, "lost")

    def _gauge(self, family: str, value: int, *labels: str) -> None:
        self._counters.values[self._counters.slot(family, *labels)] = value
