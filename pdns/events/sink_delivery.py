"""Delivers the spool to one sink: reads from its cursor, writes, tries again, keeps the cursor, counts."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import Final

from msgspec.structs import replace

from pdns.errors import SinkError
from pdns.event_store.event import Record
from pdns.events.cursors import CursorFiles, SinkCursor
from pdns.events.sink import MarkedSink, RefusingSink, SinkEntry, time_of
from pdns.events.spool import Spool
from pdns.events.spool_segments import SpoolPosition, queries_of
from pdns.free_text import visible
from pdns.state.sink_states import SinkState

FIRST_RETRY_S: Final = 0.5
MOST_RETRY_S: Final = 60.0
_LOOK_S: Final = 0.1
_MOST_ERROR_CHARACTERS: Final = 300
_log = logging.getLogger(__name__)


class DeliveryClock:
    """Time and chance. Tests have another one."""

    def wall_s(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic_s(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def random(self) -> float:
        """From 0 to 1."""
        return random.random()  # noqa: S311 (no secret)


def retry_delay_s(failures: int, chance: float) -> float:
    """How long to wait after so many failures in a row: twice as long each time, at most a minute, less a random half."""
    most = min(MOST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(failures - 1, 16))
    return most * (1.0 - chance / 2)


class SinkDelivery:
    """One sink. `run` ends only when it is cancelled."""

    def __init__(self, entry: SinkEntry, spool: Spool, cursors: CursorFiles, clock: DeliveryClock) -> None:
        self.entry = entry
        self._spool = spool
        self._cursors = cursors
        self._clock = clock
        self._woken = asyncio.Event()
        self._idle = asyncio.Event()  # the sink has everything
        self._flushing = False
        self._batch: list[Record] = []  # read and not yet written
        stored = cursors.load(entry.name)
        self._cursor = stored or SinkCursor()
        self._next = spool.checked(self._cursor.position)  # after the batch
        self._must_resume = isinstance(entry.sink, MarkedSink)
        self._errors = 0
        self._is_up = True
        self._last_error = ""
        self._last_error_s = self._last_written_s = 0.0
        self._tried_s = -MOST_RETRY_S
        self._move(
            segment=self._next.segment,
            offset=self._next.offset,
            lost=self._cursor.lost + self._cursor.at_risk,
            lost_queries=self._cursor.lost_queries + self._cursor.at_risk_queries,
            at_risk=0,
            at_risk_queries=0,
        )
        self._store(synced=True)

    @property
    def kept(self) -> SpoolPosition:
        """The spool is needed from here on."""
        return self._cursor.position

    def wake(self) -> None:
        """There are new records."""
        self._idle.clear()
        self._woken.set()

    async def flush(self) -> None:
        """Wait until the sink has everything, without pauses between writes and after failures."""
        self._flushing = True
        self._woken.set()
        await self._idle.wait()

    async def run(self) -> None:
        """Deliver until cancelled."""
        failures = 0
        while True:
            try:
                if not await self._fill():
                    continue
                await self._write()
            except Exception as exc:  # noqa: BLE001 (a fault in one sink must not end the others)
                failures += 1
                self._fail(exc)
                await self._pause(retry_delay_s(failures, self._clock.random()))
            else:
                failures = 0

    async def close(self) -> None:
        """Keep the position, and close the sink."""
        self._store(synced=True)
        try:
            async with asyncio.timeout(FIRST_RETRY_S):
                await self.entry.sink.close()
        except Exception as exc:  # noqa: BLE001 (as above)
            _log.warning("sink %s: not closed: %s", self.entry.name, _said(exc))

    def before_drop(self, segment: int) -> None:
        """A segment is about to go. What of it is not read is lost for this sink; what is in memory is at risk."""
        if self._cursor.segment > segment:
            return
        if self._next.segment <= segment:
            missed = [record for record in self._spool.rest_of(self._next, segment) if self.entry.wants(record)]
            self._next = SpoolPosition(segment + 1, 0)
            if missed:
                self._lose(missed)
                _log.error("sink %s is too far behind: %d records are lost for it", self.entry.name, len(missed))
        queries = sum(map(queries_of, self._batch))
        self._move(segment=segment + 1, offset=0, at_risk=len(self._batch), at_risk_queries=queries)
        self._store(synced=False)

    def state(self, wall_s: float) -> SinkState:
        """How the sink is doing."""
        return SinkState(
            name=self.entry.name,
            segment=self._cursor.segment,
            offset=self._cursor.offset,
            up=self._is_up,
            lag_s=round(max(0.0, wall_s - time_of(self._batch[0])), 1) if self._batch else 0.0,
            written=self._cursor.written,
            lost=self._cursor.lost,
            lost_queries=self._cursor.lost_queries,
            errors=self._errors,
            last_error=self._last_error,
            last_error_s=self._last_error_s,
            last_written_s=self._last_written_s,
        )

    async def _fill(self) -> bool:
        """Read the next batch, if there is none. Whether there is one now; else waits for records."""
        if self._batch:
            return True
        self._woken.clear()
        read, self._next, damaged = self._spool.read(self._next, self.entry.most_records)
        self._batch = [record for record in read if self.entry.wants(record)]
        if damaged:
            self._move(lost=self._cursor.lost + damaged)
        if not self._batch:
            if self._next != self._cursor.position:
                self._advance(0)
            if self._next == self._spool.end:
                self._idle.set()
                await self._woken.wait()
            else:
                await asyncio.sleep(0)  # other sinks have their turn
            return False
        if len(read) < self.entry.most_records:
            await self._pause(self._tried_s + self.entry.linger_s - self._clock.monotonic_s())
            more, self._next, damaged = self._spool.read(self._next, self.entry.most_records - len(read))
            self._batch += [record for record in more if self.entry.wants(record)]
            self._move(lost=self._cursor.lost + damaged)
        return True

    async def _write(self) -> None:
        sink = self.entry.sink
        self._tried_s = self._clock.monotonic_s()
        async with asyncio.timeout(self.entry.timeout_s):
            if self._must_resume and isinstance(sink, MarkedSink):
                await sink.resume(self._cursor.mark)
                self._must_resume = False
                self._move(mark=sink.mark())
                self._store(synced=False)
            await sink.write(self._batch)
        if isinstance(sink, MarkedSink):
            self._move(mark=sink.mark())
        refused = sink.take_refused() if isinstance(sink, RefusingSink) else []
        self._lose(refused)
        written = len(self._batch) - len(refused)
        self._batch = []
        self._is_up = True
        self._last_written_s = self._clock.wall_s()
        self._advance(written)

    def _advance(self, written: int) -> None:
        """The batch is done: the spool is needed from after it."""
        segment, offset = self._next
        self._move(segment=segment, offset=offset, written=self._cursor.written + written, at_risk=0, at_risk_queries=0)
        self._store(synced=False)

    def _fail(self, exc: Exception) -> None:
        self._errors += 1
        self._last_error = _said(exc) if not isinstance(exc, TimeoutError) else f"no answer within {self.entry.timeout_s:g} s"
        self._last_error_s = self._clock.wall_s()
        self._must_resume = isinstance(self.entry.sink, MarkedSink)
        if self._is_up:
            unexpected = not isinstance(exc, SinkError | TimeoutError | OSError)
            _log.error("sink %s: not written, tried again: %s", self.entry.name, self._last_error, exc_info=unexpected)
        self._is_up = False

    async def _pause(self, seconds: float) -> None:
        """Wait, but at most a moment while the process is about to end."""
        until_s = self._clock.monotonic_s() + seconds
        while (left_s := until_s - self._clock.monotonic_s()) > 0:
            if self._flushing:
                await self._clock.sleep(min(left_s, _LOOK_S))
                return
            await self._clock.sleep(min(left_s, _LOOK_S))

    def _lose(self, records: list[Record]) -> None:
        queries = sum(map(queries_of, records))
        self._move(lost=self._cursor.lost + len(records), lost_queries=self._cursor.lost_queries + queries)

    def _move(self, **changes: int | str) -> None:
        self._cursor = replace(self._cursor, **changes)

    def _store(self, *, synced: bool) -> None:
        self._cursors.store(self.entry.name, self._cursor, synced=synced)


def _said(exc: Exception) -> str:
    return visible(str(exc) or type(exc).__name__, _MOST_ERROR_CHARACTERS)
