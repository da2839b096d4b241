"""Many deadlines, one timer: due times fall into buckets of 25 ms, and the loop is asked to wake for the next one only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pdns.clock import boottime_s

TICK_S = 0.025


class Timers:
    """Calls back never before the time asked for, and within a tick after it, as far as the loop is free.

    Nothing is ever cancelled: a callback looks whether what it was for still matters.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = boottime_s) -> None:
        self._loop = loop
        self._clock = clock
        self._buckets: dict[int, list[tuple[Callable[[Any, float], None], Any]]] = {}
        self._handle: asyncio.TimerHandle | None = None
        self._next = 0  # the bucket that the loop will wake us for
        self._closed = False

    def at(self, due_s: float, callback: Callable[[Any, float], None], argument: object) -> None:
        """Call `callback(argument, now)` when the clock has passed `due_s`."""
        index = int(due_s / TICK_S) + 1
        bucket = self._buckets.get(index)
        if bucket is not None:
            bucket.append((callback, argument))
            return
        if self._closed:
            return
        self._buckets[index] = [(callback, argument)]
        if self._handle is None or index < self._next:
            self._wake_for(index)

    def close(self) -> None:
        """Forget everything."""
        self._closed = True
        self._buckets.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _wake_for(self, index: int) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._next = index
        self._handle = self._loop.call_later(max(0.0, index * TICK_S - self._clock()), self._tick)

    def _tick(self) -> None:
        self._handle = None
        now = self._clock()
        current = int(now / TICK_S)
        for index in sorted(index for index in self._buckets if index <= current):
            for callback, argument in self._buckets.pop(index, ()):
                callback(argument, now)
        if self._buckets and not self._closed:
            self._wake_for(min(self._buckets))
