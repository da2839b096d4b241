"""Replaces workers and feeds by processes of the program on the disk, while the supervisor keeps running the old program.

No worker answers without a blockset if the workers before it had one. If the new program cannot read the present blockset, the
feeds process is replaced first, and compiles one that it can read. See `docs/decisions/0036-compile-first.md`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from pdns.errors import OtherFormatError, PdnsError
from pdns.supervisor.sealed_blockset import SealedBlockset
from pdns.supervisor.worker_pool import WorkerPool

OTHER_FORMAT_COMPILE_S: Final = 10.0
_LOOK_S: Final = 0.1

_log = logging.getLogger(__name__)


async def compile_first(blockset: SealedBlockset, start_feeds: Callable[[], None], stopping: Callable[[], bool]) -> None:
    """At the start, before there are workers: if the blockset is of another version of the program, have a new one compiled.

    Queries wait in the kernel meanwhile. If it takes too long, they are answered as at a first start.
    """
    await blockset.look(of_this_format=True)
    if not blockset.is_of_other_version:
        return
    _log.warning(
        "queries wait for up to %g s: the feeds process compiles a blockset that this program can read", OTHER_FORMAT_COMPILE_S
    )
    start_feeds()
    until_s = time.monotonic() + OTHER_FORMAT_COMPILE_S
    while blockset.is_of_other_version and time.monotonic() < until_s and not stopping():
        await asyncio.sleep(_LOOK_S)
        await blockset.look(of_this_format=True)


class Upgrade:
    """One for each supervisor."""

    def __init__(self, restart_feeds: Callable[[], Awaitable[None]]) -> None:
        self._restart_feeds = restart_feeds
        self._wanted = False
        self._waits = 0  # generation that the new program cannot read: workers are replaced once there is another one
        self._unread = 0  # the same, for a worker that replaced one that died
        self._feeds_replaced_for = 0

    @property
    def remarks(self) -> list[str]:
        """Why the workers are not replaced yet, for people."""
        if not self._waits:
            return []
        return [f"blockset {self._waits}: the workers are replaced once there is a blockset that the new program can read"]

    def want(self) -> None:
        """Replace all at the next `go_on`."""
        self._wanted = True

    def unread(self, generation: int) -> None:
        """A worker that replaced one that died cannot read the blockset: `go_on` has another one compiled."""
        self._unread = generation

    async def go_on(self, workers: WorkerPool) -> None:
        """Do what is due. Call this every second or so."""
        if self._wanted:
            self._wanted = False
            await self._replace(workers, feeds_too=True)
        elif self._waits and workers.blockset.generation != self._waits:
            await self._replace(workers, feeds_too=False)
        elif self._unread not in (0, self._feeds_replaced_for):
            _log.warning("the program on the disk cannot read blockset %d: the feeds process compiles another one", self._unread)
            await self._replace_feeds(self._unread)

    async def _replace(self, workers: WorkerPool, *, feeds_too: bool) -> None:
        _log.info("the workers and feeds are replaced by new processes, one after the other")
        generation, self._waits = workers.blockset.generation, 0
        try:
            await workers.roll()
        except OtherFormatError as error:
            _log.warning("the feeds process is replaced first: it compiles a blockset that the new program can read. %s", error)
            self._waits = generation
            await self._replace_feeds(generation)
        except PdnsError as error:
            _log.error("%s", error)
        except Exception:  # noqa: BLE001 (the present workers continue)
            _log.exception("the workers could not be replaced")
        else:
            if feeds_too:
                await self._restart_feeds()
            _log.info("the workers and feeds are new processes")

    async def _replace_feeds(self, generation: int) -> None:
        self._feeds_replaced_for = generation
        await self._restart_feeds()
