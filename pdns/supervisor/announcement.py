"""Announces the start: once the workers answer, with the first blockset if that does not take long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from pdns.config.schema import Config
from pdns.supervisor.http.status import StatusReader
from pdns.supervisor.start_checks import all_tried
from pdns.supervisor.worker_pool import WorkerPool

_FIRST_COMPILE_S: Final = 5.0
_PROGRESS_S: Final = 0.5


class StartingService(Protocol):
    """The part of `pdns.supervisor.serve.Supervisor` that is needed here."""

    status: StatusReader

    @property
    def config(self) -> Config: ...
    @property
    def workers(self) -> WorkerPool: ...


async def announce_start(
    service: StartingService, announce: Callable[[], None], loading: Callable[[str], None], announced: asyncio.Event
) -> None:
    """Call `announce` and set `announced` once clients are answered. Then call `loading` with the progress of the feeds until
    they are loaded, and with "" at the end.
    """
    clock = asyncio.get_running_loop().time
    deadline_s = clock() + _FIRST_COMPILE_S
    while not _feeds_settled(service) and clock() < deadline_s:  # noqa: ASYNC110 (a file and a memory tell of no event)
        await asyncio.sleep(0.02)
    announce()
    announced.set()
    while not _feeds_settled(service):
        loading(service.status.read().doing or "waiting for feeds")
        await asyncio.sleep(_PROGRESS_S)
    loading("")


def _feeds_settled(service: StartingService) -> bool:
    """Whether every feed was tried, and the workers have the resulting blockset."""
    status = service.status.read()
    return all_tried(service.config.feed, status) and service.workers.least("blockset_generation") >= status.generation
