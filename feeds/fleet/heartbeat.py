"""A node's heartbeat: a small object every minute and after each change. Nothing waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from feeds.fleet.object_store import ObjectStore
from feeds.fleet.release import Heartbeat, encode
from pdns.errors import PdnsError

EVERY_S: Final = 60.0
LEAST_BETWEEN_S: Final = 2.0
_WRITE_S: Final = 30.0
_log = logging.getLogger(__name__)


class HeartbeatWriter:
    """Writes `nodes/NAME.json`."""

    def __init__(self, store: ObjectStore, heartbeat: Callable[[], Heartbeat]) -> None:
        self._store, self._heartbeat = store, heartbeat
        self._now = asyncio.Event()
        self._error = ""

    def soon(self) -> None:
        """Something has changed."""
        self._now.set()

    async def run(self) -> None:
        """Write until cancelled. An error is logged once."""
        while True:
            self._now.clear()
            await self._write()
            await asyncio.sleep(LEAST_BETWEEN_S)
            try:
                async with asyncio.timeout(EVERY_S - LEAST_BETWEEN_S):
                    await self._now.wait()
            except TimeoutError:
                pass

    async def _write(self) -> None:
        beat = self._heartbeat()
        error = ""
        try:
            async with asyncio.timeout(_WRITE_S):
                await self._store.put(f"nodes/{beat.node}.json", encode(beat))
        except TimeoutError:
            error = f"no answer within {_WRITE_S:g} s"
        except PdnsError as exc:
            error = str(exc)
        if error and error != self._error:
            _log.warning("fleet: the heartbeat cannot be written: %s", error)
        elif self._error and not error:
            _log.info("fleet: heartbeats are written again")
        self._error = error
