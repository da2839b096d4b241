"""A thread for one sink, for calls that block: one at a time, in order, so that a call that was given up ends before the next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class WorkerThread:
    """Starts with the first call. A call that is cancelled while it runs goes on to its end."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor: ThreadPoolExecutor | None = None

    async def call(self, function: Callable[[], T]) -> T:
        """What `function` returns or raises, in the thread."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, self._name)
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    def close(self) -> None:
        """End the thread after the call that it is in."""
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
