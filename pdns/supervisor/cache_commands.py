"""What all workers have cached of a name, and dropping it from all of them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Final

from pdns.errors import PdnsError
from pdns.ipc.messages import FindCached, FoundCached
from pdns.supervisor.worker_handle import WorkerGone, WorkerHandle

WITHIN_S: Final = 10.0
_AGAIN_S: Final = 0.1

_numbers = itertools.count(1)


class WorkerAway(PdnsError):
    """A worker did not carry out a command in time. Other workers may have."""


class CacheCommands:
    """Asks every worker. A worker that is being replaced is asked again when its successor has the cache."""

    def __init__(self, workers: Callable[[], Sequence[WorkerHandle]]) -> None:
        """`workers` returns the workers as they are now, always as many."""
        self._workers = workers

    async def find(self, name: bytes, *, below: bool, remove: bool) -> list[FoundCached]:
        """What each worker has found, or dropped. Raises `WorkerAway` after `WITHIN_S`."""
        wanted = range(len(self._workers()))
        return list(await asyncio.gather(*(self._of(index, name, below=below, remove=remove) for index in wanted)))

    async def _of(self, index: int, name: bytes, *, below: bool, remove: bool) -> FoundCached:
        worker = self._workers()[index]
        try:
            async with asyncio.timeout(WITHIN_S):
                while True:
                    worker = self._workers()[index]
                    try:
                        found = await worker.find_cached(FindCached(next(_numbers), name, below, remove))
                        if found.done and worker is self._workers()[index]:
                            return found
                    except WorkerGone:
                        pass
                    await asyncio.sleep(_AGAIN_S)
        except TimeoutError:
            raise WorkerAway(f"{worker.condition or worker.name}: no answer within {WITHIN_S:g} s") from None
