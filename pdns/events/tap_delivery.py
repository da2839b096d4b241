"""Copies of queries on their way to a collector of dnstap: by a queue in memory, which nothing waits for."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from pdns.config.sink_schema import SinkSection
from pdns.errors import SinkError
from pdns.events.sinks.dnstap import DnstapSink

MOST_WAITING: Final = 20_000  # frames, of some 400 bytes each
_MOST_SENT: Final = 2000  # in one session
_LINGER_S: Final = 0.5
_LEAST_DELAY_S, _MOST_DELAY_S = 1.0, 30.0
_log = logging.getLogger(__name__)


class TapDelivery:
    """One for each sink. A frame is sent once at most: those of a session that fails, or that find no room, are dropped."""

    def __init__(self, section: SinkSection, count: Callable[[str, int], None]) -> None:
        """`count` is called with a family of metrics and a number."""
        self.section = section
        self._sink = DnstapSink.of(section)
        self._count = count
        self._waiting: deque[bytes] = deque()
        self._some = asyncio.Event()
        self._owed = 0.0  # of the share of a sample
        self._is_failing = False

    def is_due(self, share: float) -> bool:
        """Whether a sampled query, of which the sink gets this share, is one of them."""
        self._owed += share
        if self._owed < 1 - 1e-9:
            return False
        self._owed -= 1
        return True

    def put(self, frame: bytes) -> None:
        """Send a frame soon, or drop it if too many wait."""
        if len(self._waiting) >= MOST_WAITING:
            self._count("tap_dropped_total", 1)
            return
        self._waiting.append(frame)
        self._some.set()

    async def run(self) -> None:
        """Send until cancelled."""
        delay_s = _LEAST_DELAY_S
        while True:
            await self._some.wait()
            await asyncio.sleep(_LINGER_S)
            if await self._send():
                delay_s = _LEAST_DELAY_S
            else:
                await asyncio.sleep(delay_s)
                delay_s = min(2 * delay_s, _MOST_DELAY_S)

    async def flush(self, within_s: float) -> None:
        """Send what waits, for `within_s` seconds at most; the rest is dropped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self._waiting and await self._send():
                    pass
        self._count("tap_dropped_total", len(self._waiting))
        self._waiting.clear()

    async def _send(self) -> bool:
        """One session. Whether it succeeded."""
        frames = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_SENT))]
        if not self._waiting:
            self._some.clear()
        is_sent = False
        try:
            await self._sink.send(frames)
            is_sent, self._is_failing = True, False
        except SinkError as exc:
            if not self._is_failing:
                _log.warning("sink %s: copies of queries are dropped: %s", self.section.name, exc)
            self._is_failing = True
        finally:
            self._count("tap_messages_total" if is_sent else "tap_dropped_total", len(frames))
        return is_sent
