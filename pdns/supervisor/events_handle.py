"""The events process, as the supervisor owns it: which workers it reads, its counters, the process while events are recorded."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final, Protocol

from pdns.config.schema import Config
from pdns.config.written_paths import written_paths
from pdns.files.sealed import read_only
from pdns.ipc.config_memfd import share_config, without_records
from pdns.ipc.messages import ForgetWorker, ServeEvents, TakeBlockset, WatchWorker
from pdns.supervisor.child import Child
from pdns.supervisor.sealed_blockset import SealedBlockset
from pdns.supervisor.worker_handle import WorkerHandle
from pdns.telemetry.counters import Counters
from pdns.telemetry.further_memories import wanted_memories

NAME: Final = "events"
_COUNTERS: Final = 16384
_LOOK_S: Final = 0.25
_EXIT_S: Final = 3.0


class Workers(Protocol):
    """The part of the worker pool that is needed here."""

    @property
    def blockset(self) -> SealedBlockset: ...
    @property
    def writers(self) -> Sequence[WorkerHandle]: ...  # all that may still note something


class EventsHandle:
    """One for each supervisor."""

    def __init__(self, config: Callable[[], Config], workers: Callable[[], Workers]) -> None:
        """`config` and `workers` return what is live."""
        self._config, self._workers = config, workers
        self._loop = asyncio.get_running_loop()
        self._counters: Counters | None = None
        self._generation = 0  # of the blockset that was sent last
        self._watched: dict[int, tuple[str, ...]] = {}  # number of the event ring -> names of the further memories
        self._looking: asyncio.TimerHandle | None = None
        self._child = Child(
            NAME,
            "pdns.events",
            self._loop,
            on_start=self._started,
            on_message=lambda _: None,
            on_exit=lambda: None,
            own_group=True,
        )

    @property
    def counters(self) -> list[Counters]:
        """Its counters, once there was a process."""
        return [] if self._counters is None else [self._counters]

    @property
    def restarts(self) -> int:
        return self._child.restarts

    @property
    def failed_starts(self) -> int:
        return self._child.failed_starts

    @property
    def pid(self) -> int | None:
        return self._child.pid

    def start(self) -> None:
        """Start the process, if events are recorded."""
        if self._config().events.enabled:
            self._counters = self._counters or Counters.create(_COUNTERS)
            self._child.start()
            self._look()

    async def restart(self) -> None:
        """Replace the process, if there is one, by one of the program on the disk."""
        if self._child.pid is not None:
            await self._child.stop(None, _EXIT_S)
            self.start()

    async def follow(self, before: Config) -> None:
        """Take up the live configuration, which replaces `before`."""
        config = self._config()
        if not config.events.enabled:
            await self.stop()
        elif not before.events.enabled:
            self.start()
        elif set(written_paths(config)) <= set(written_paths(before)):
            self._send()
        else:  # it may write only where it could from its start
            await self.restart()

    async def stop(self) -> None:
        """End the process, after it has read what the workers have noted."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        self._tell_workers()
        await self._child.stop(None, _EXIT_S)

    async def close(self) -> None:
        """End the process and release its counters."""
        await self.stop()
        if self._counters is not None:
            self._counters.close()
            self._counters = None

    def kill_now(self) -> None:
        self._child.kill_now()

    def bury(self, process: WorkerHandle) -> None:
        """A worker is gone for good, and its memory will be."""
        self._tell_workers()
        if self._watched.pop(process.memory.event_ring.id, None) is not None:
            self._child.send(ForgetWorker(process.memory.event_ring.id))

    def _started(self) -> None:
        self._generation, self._watched = 0, {}
        self._send_blockset()  # first: a threat that is looked up later is not in the event
        self._send()
        self._tell_workers()

    def _send(self) -> None:
        if self._counters is None:
            return
        config_fd = share_config(without_records(self._config()))
        try:
            self._child.send(ServeEvents(), [config_fd, self._counters.fd])
        finally:
            os.close(config_fd)

    def _look(self) -> None:
        """Send each new blockset, and each new worker."""
        if self._looking is not None:
            self._looking.cancel()
        self._looking = self._loop.call_later(_LOOK_S, self._look)
        self._send_blockset()
        self._tell_workers()

    def _tell_workers(self) -> None:
        memories = wanted_memories(self._config())
        for process in self._workers().writers:
            ring = process.memory.event_ring.id
            if self._watched.get(ring) == memories:
                continue
            fds = [*process.memory.fds, *(process.memory.further(name, self._config()) for name in memories)]
            if self._show(WatchWorker(ring, memories), fds):
                self._watched[ring] = memories

    def _show(self, message: WatchWorker, fds: Sequence[int]) -> bool:
        """Send memories that the process may read and not write: it talks to other machines, and must not change what is counted.

        False if it was not sent, also when there is no descriptor left; it is tried again.
        """
        with ExitStack() as opened:
            shown = []
            for fd in fds:
                try:
                    shown.append(read_only(fd))
                except OSError:
                    return False
                opened.callback(os.close, shown[-1])
            return self._child.send(message, shown)

    def _send_blockset(self) -> None:
        blockset = self._workers().blockset
        is_new = blockset.fd >= 0 and blockset.generation != self._generation
        if is_new and self._child.send(TakeBlockset(blockset.generation), [blockset.fd]):
            self._generation = blockset.generation
