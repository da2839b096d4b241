"""Delivers the spool to every sink, each at its own pace: `Delivery` starts, changes and ends the tasks of all sinks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pdns.event_store.event import Record
from pdns.events.cursors import CursorFiles
from pdns.events.sink import SinkEntry
from pdns.events.sink_delivery import DeliveryClock, SinkDelivery
from pdns.events.spool import Spool
from pdns.events.spool_segments import SpoolPosition
from pdns.state.sink_states import SinkState, write_states

CURSORS: Final = "cursors"  # below `<state>/events`
FLUSH_S: Final = 1.0
_SYNC_S: Final = 1.0
_STATES_S: Final = 2.0

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


class Delivery:
    """All sinks of one process. A sink that is slow, hangs or fails delays no other, and no caller of `append`."""

    def __init__(self, spool: Spool, directory: Path, clock: DeliveryClock | None = None) -> None:
        """`directory`: `<state>/events`, where cursors and `sinks.json` are kept."""
        self.spool = spool
        self._directory = directory
        self._clock = clock or DeliveryClock()
        self._cursors = CursorFiles(directory / CURSORS)
        self._running: dict[str, tuple[SinkDelivery, asyncio.Task[None]]] = {}
        self._written_states: list[SinkState] | None = None
        self.also_needed: Callable[[], SpoolPosition] = lambda: spool.end  # from there on, by others than sinks
        spool.before_drop = self._before_drop

    def append(self, records: Sequence[Record]) -> None:
        """Put records into the spool, and wake the sinks. Never waits for a sink, never raises."""
        if records:
            self.spool.append(records)
            for delivery, _ in self._running.values():
                delivery.wake()

    async def configure(self, entries: Sequence[SinkEntry], spawn: Spawn) -> None:
        """Deliver to these sinks and no others, in tasks that `spawn` starts. Entries that are equal go on undisturbed.

        A sink with a new name starts at the oldest record of the spool; the position of one that is gone is forgotten.
        """
        wanted = {entry.name: entry for entry in entries}
        for name, (delivery, task) in list(self._running.items()):
            if wanted.get(name) != delivery.entry:
                await _end(delivery, task)
                del self._running[name]
        self._cursors.forget_others(wanted)
        for name, entry in wanted.items():
            if name not in self._running:
                delivery = SinkDelivery(entry, self.spool, self._cursors, self._clock)
                self._running[name] = delivery, spawn(delivery.run())

    async def run(self) -> None:
        """Sync the spool, remove what all sinks have, and write `sinks.json`, until cancelled."""
        next_states_s = 0.0
        while True:
            await self._clock.sleep(_SYNC_S)
            await self._sync()
            self.release()
            if (now_s := self._clock.monotonic_s()) >= next_states_s:
                next_states_s = now_s + _STATES_S
                self.write_states()

    def release(self) -> None:
        """Remove from the spool what every sink has, and no one else needs. Without sinks, everything is kept up to its bound."""
        if self._running:
            self.spool.release(min(self.also_needed(), *(delivery.kept for delivery, _ in self._running.values())))

    def states(self) -> list[SinkState]:
        """How each sink is doing, by name."""
        now_s = self._clock.wall_s()
        return [delivery.state(now_s) for _, (delivery, _) in sorted(self._running.items())]

    def write_states(self) -> None:
        """Write `<state>/events/sinks.json`, if anything in it has changed."""
        states = self.states()
        if states != self._written_states and write_states(self._directory, states):
            self._written_states = states

    async def stop(self, flush_s: float = FLUSH_S) -> None:
        """Give sinks `flush_s` seconds to take what is left, then end them, store their positions and close the spool."""
        with suppress(TimeoutError):
            async with asyncio.timeout(flush_s):
                await asyncio.gather(*(delivery.flush() for delivery, _ in self._running.values()))
        await asyncio.gather(*(_end(delivery, task) for delivery, task in self._running.values()))
        self.write_states()
        self._running.clear()
        self.spool.close()

    async def _sync(self) -> None:
        if (fd := self.spool.descriptor()) is not None:
            with suppress(OSError):
                await asyncio.to_thread(_sync_and_close, fd)

    def _before_drop(self, segment: int) -> None:
        for delivery, _ in self._running.values():
            delivery.before_drop(segment)


async def _end(delivery: SinkDelivery, task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await delivery.close()


def _sync_and_close(fd: int) -> None:
    try:
        os.fdatasync(fd)
    finally:
        os.close(fd)
