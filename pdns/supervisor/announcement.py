"""Announces the start: once the workers answer, with the first blockset if that does not take long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pdns.supervisor.start_checks import all_tried

if TYPE_CHECKING:
    from pdns.supervisor.serve import Supervisor

_FIRST_COMPILE_S: Final = 5.0
_PROGRESS_S: Final = 0.5


async def announce_start(
    supervisor: Supervisor, announce: Callable[[Supervisor], None], loading: Callable[[str], None], announced: asyncio.Event
) -> None:
    """Call `announce` and set `announced` once clients are answered. Then call `loading` with the progress of the feeds until
    they are loaded, and with "" at the end.
    """
    clock = asyncio.get_running_loop().time
    deadline_s = clock() + _FIRST_COMPILE_S
    while not _feeds_settled(supervisor) and clock() < deadline_s:  # noqa: ASYNC110 (a file and a memory tell of no event)
        await asyncio.sleep(0.02)
    announce(supervisor)
    announced.set()
    while not _feeds_settled(supervisor):
        loading(supervisor.status.read().doing or "waiting for feeds")
        await asyncio.sleep(_PROGRESS_S)
    loading("")


def _feeds_settled(supervisor: Supervisor) -> bool:
    """Whether every feed was tried, and the workers have the resulting blockset."""
    status = supervisor.status.read()
    return all_tried(supervisor.config.feed, status) and supervisor.workers.least("blockset_generation") >= status.generation
