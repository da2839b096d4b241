"""Replacing workers and feeds by processes of the program as it is on the disk, while the supervisor stays what it was.

No worker answers without a blockset when those before it had one. Where the new program does not read the one that is there, the
feeds process is replaced first, and makes one that it reads. See `docs/decisions/0036-compile-first.md`.
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
    """At the start, before there are workers: where the blockset is of another version of the program, have another one made.

    Queries wait in the kernel meanwhile. If it takes longer, they are answered as at a first start.
    """
    await blockset.look(of_this_format=True)
    if not blockset.is_of_other_version:
        return
    _log.warning(
        "nothing is answered for up to %g s: the feeds process makes a blockset that this program reads", OTHER_FORMAT_COMPILE_S
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
        self._waits = 0  # generation that the new program does not read: workers are replaced once there is another one
        self._unread = 0  # likewise, of a worker that took the place of one that died
        self._feeds_replaced_for = 0

    @property
    def remarks(self) -> list[str]:
        """What keeps the workers from being replaced, for people."""
        if not self._waits:
            return []
        return [f"blockset {self._waits}: the workers are replaced once there is a blockset that the new program reads"]

    def want(self) -> None:
        """Replace all: due at the next `go_on`."""
        self._wanted = True

    def unread(self, generation: int) -> None:
        """A worker that took the place of one that died does not read the blockset: `go_on` has another one made."""
        self._unread = generation

    async def go_on(self, workers: WorkerPool) -> None:
        """Do what is due. To be called every second or so."""
        if self._wanted:
            self._wanted = False
            await self._replace(workers, feeds_too=True)
        elif self._waits and workers.blockset.generation != self._waits:
            await self._replace(workers, feeds_too=False)
        elif self._unread not in (0, self._feeds_replaced_for):
            _log.warning("blockset %d is not read by the program on the disk: the feeds process makes another one", self._unread)
            await self._replace_feeds(self._unread)

    async def _replace(self, workers: WorkerPool, *, feeds_too: bool) -> None:
        _log.info("the workers and feeds are replaced by new processes, one after the other")
        generation, self._waits = workers.blockset.generation, 0
        try:
            await workers.roll()
        except OtherFormatError as error:
            _log.warning("the feeds process is replaced first: it makes a blockset that the new program reads. %s", error)
            self._waits = generation
            await self._replace_feeds(generation)
        except PdnsError as error:
            _log.error("%s", error)
        except Exception:  # noqa: BLE001 (who is there goes on)
            _log.exception("the workers could not be replaced")
        else:
            if feeds_too:
                await self._restart_feeds()
            _log.info("the workers and feeds are new processes")

    async def _replace_feeds(self, generation: int) -> None:
        self._feeds_replaced_for = generation
        await self._restart_feeds()
