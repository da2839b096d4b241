"""Reloads of the configuration that somebody waits for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from pdns.errors import ConfigErrors, PdnsError

_log = logging.getLogger(__name__)


class ReloadRequests:
    """Callers of `wanted` wait for a reload that begins after their call."""

    def __init__(self, wake: Callable[[], object]) -> None:
        """`wake` is called for each request."""
        self._wake = wake
        self._waiting: list[asyncio.Future[None]] = []

    def __bool__(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    async def wanted(self) -> None:
        """Return when what the files say now is live in every worker. Raises `PdnsError` when it cannot be."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._wake()
        await done

    def take(self) -> list[asyncio.Future[None]]:
        """Those who wait for the reload that begins now."""
        taken, self._waiting = self._waiting, []
        return taken

    def refuse(self) -> None:
        """There will be no reload any more."""
        answer(self.take(), PdnsError("shutting down"))


def log_each(error: PdnsError) -> None:
    """Log why a configuration cannot be used, one line for each error."""
    for one in error.errors if isinstance(error, ConfigErrors) else [error]:
        _log.error("%s", one)


def answer(waiting: list[asyncio.Future[None]], error: PdnsError | None) -> None:
    """Tell those who wait what came of it."""
    for done in waiting:
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
