"""The loop that keeps the live blockset up to date: a change marks the inputs as dirty, and the loop builds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from feeds.builder import BuildError

_Outcome = bool | BuildError
_log = logging.getLogger(__name__)


class Publishing(Protocol):
    """What an attempt to refresh a feed waits for at its end."""

    async def published(self) -> bool:
        """Wait for a build that begins after this call. Raises `BuildError`."""
        ...


class Publisher:
    """Runs one build at a time. Changes that arrive during a build share the next one."""

    def __init__(self, build: Callable[[], Awaitable[bool]], on_built: Callable[[], object] = lambda: None) -> None:
        """`build` returns whether a new blockset was needed; raises `BuildError`.

        `on_built` is called after a build that made a new blockset, or that nothing waited for.
        """
        self._build = build
        self._on_built = on_built
        self._dirty = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()
        self._next: asyncio.Future[_Outcome] | None = None  # outcome of the build that has not begun, if anything waits for it
        self._current: asyncio.Future[_Outcome] | None = None  # likewise of the build that runs
        self._ended = False
        self.building = False

    def mark_dirty(self) -> None:
        """Have a build begin as soon as none runs, and do not wait for it. A failure is logged."""
        self._dirty.set()

    @property
    def paused(self) -> bool:
        """Whether no build begins."""
        return not self._free.is_set()

    def pause(self) -> None:
        """Begin no build until `let_go`: what it would be made of does not go together."""
        self._free.clear()

    def let_go(self) -> None:
        """Build again what is dirty."""
        self._free.set()

    async def published(self) -> bool:
        """Wait for a build that begins after this call. True if a new blockset was needed. Raises `BuildError`."""
        if self._ended:
            raise _stopping()
        self.mark_dirty()
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        outcome = await asyncio.shield(self._next)  # the others that wait for it are not cancelled with this caller
        if isinstance(outcome, BuildError):
            raise outcome
        return outcome

    async def run(self) -> None:
        """Build whenever something is dirty, until cancelled. No error of a build ends it."""
        try:
            while True:
                await self._dirty.wait()
                await self._free.wait()
                self._dirty.clear()
                self._current, self._next = self._next, None
                self.building = True
                try:
                    outcome = await self._outcome()
                finally:
                    self.building = False
                self._finish(outcome)
        finally:
            self._ended = True
            for waiting in (self._current, self._next):
                if waiting is not None and not waiting.done():
                    waiting.set_result(_stopping())

    async def _outcome(self) -> _Outcome:
        try:
            return await self._build()
        except BuildError as exc:
            return exc
        except asyncio.CancelledError as exc:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            return _internal(exc)  # something within the build was cancelled, not this loop
        except Exception as exc:  # noqa: BLE001 (the next build may succeed)
            return _internal(exc)

    def _finish(self, outcome: _Outcome) -> None:
        waiting, self._current = self._current, None
        if waiting is None and isinstance(outcome, BuildError):
            _log.error("no new blockset: %s", outcome.reason)
        if waiting is None or outcome is True:
            try:
                self._on_built()
            except Exception:  # noqa: BLE001 (a listener must not end the loop)
                _log.exception("the new blockset could not be reported")
        if waiting is not None:
            waiting.set_result(outcome)


def _internal(exc: BaseException) -> BuildError:
    _log.error("a build failed", exc_info=exc)
    return BuildError(f"internal error, see the log: {type(exc).__name__}: {exc}")


def _stopping() -> BuildError:
    return BuildError("the feeds process is stopping")
