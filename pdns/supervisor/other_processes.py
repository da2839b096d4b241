"""The processes beside the workers: what is shown of all of them, and what is done to all of them."""

from __future__ import annotations

from collections.abc import Mapping

from pdns.supervisor.process_handle import CountingHandle, ProcessHandle
from pdns.telemetry.counters import Counters


class OtherProcesses:
    """By name."""

    def __init__(self, feeds: ProcessHandle, counting: Mapping[str, CountingHandle]) -> None:
        self._counting = counting
        self._all: dict[str, ProcessHandle] = {"feeds": feeds, **counting}

    @property
    def counters(self) -> list[Counters]:
        """Of those that had a process."""
        return [counters for handle in self._counting.values() for counters in handle.counters]

    @property
    def restarts(self) -> dict[str, int]:
        return {name: handle.restarts for name, handle in self._all.items()}

    @property
    def failed_starts(self) -> dict[str, int]:
        return {name: handle.failed_starts for name, handle in self._all.items()}

    @property
    def pids(self) -> dict[str, int]:
        """Of those that run."""
        return {name: handle.pid for name, handle in self._all.items() if handle.pid is not None}

    async def restart(self) -> None:
        """Replace each by one of the program on the disk."""
        for handle in self._all.values():
            await handle.restart()

    def kill_now(self) -> None:
        """SIGKILL, without replacement."""
        for handle in self._all.values():
            handle.kill_now()
