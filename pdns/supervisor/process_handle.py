"""What the supervisor does alike with every process beside the workers."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from pdns.config.schema import Config
from pdns.ipc.config_memfd import share_config, without_records
from pdns.ipc.messages import Message
from pdns.supervisor.child import Child
from pdns.telemetry.counters import Counters


class ProcessHandle(ABC):
    """One process, as the supervisor owns it."""

    _child: Child  # a subclass sets it

    def __init__(self, config: Callable[[], Config]) -> None:
        """`config` returns the live configuration."""
        self._config = config
        self._loop = asyncio.get_running_loop()

    @property
    def pid(self) -> int | None:
        """The process, None while there is none."""
        return self._child.pid

    @property
    def restarts(self) -> int:
        return self._child.restarts

    @property
    def failed_starts(self) -> int:
        return self._child.failed_starts

    @abstractmethod
    async def restart(self) -> None:
        """Replace the process, if there is one, by one of the program on the disk."""

    def kill_now(self) -> None:
        """SIGKILL, without replacement."""
        self._child.kill_now()

    def _send_configured(self, child: Child, message: Message, fds: Sequence[int] = ()) -> None:
        """Send `message` with the live configuration, and after it `fds`."""
        config_fd = share_config(without_records(self._config()))
        try:
            child.send(message, [config_fd, *fds])
        finally:
            os.close(config_fd)


class CountingHandle(ProcessHandle):
    """One that has counters, and is shown at intervals what is new."""

    def __init__(self, config: Callable[[], Config], slots: int, look_s: float) -> None:
        """`slots`: how many series its counters hold. `look_s`: the interval."""
        super().__init__(config)
        self._slots, self._look_s = slots, look_s
        self._counters: Counters | None = None
        self._looking: asyncio.TimerHandle | None = None

    @property
    def counters(self) -> list[Counters]:
        """Its counters, once there was a process."""
        return [] if self._counters is None else [self._counters]

    @abstractmethod
    def _show_news(self) -> None:
        """Send what is new, and was not sent to this process."""

    def _start(self) -> None:
        self._counters = self._counters or Counters.create(self._slots)
        self._child.start()
        self._look()

    def _look(self) -> None:
        self._stop_looking()
        self._looking = self._loop.call_later(self._look_s, self._look)
        self._show_news()

    def _stop_looking(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _close_counters(self) -> None:
        if self._counters is not None:
            self._counters.close()
            self._counters = None
