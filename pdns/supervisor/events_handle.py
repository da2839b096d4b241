"""The events process, as the supervisor owns it: which workers it reads, its counters, the process while events are recorded."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final, NamedTuple, Protocol

from pdns.config.schema import Config
from pdns.config.written_paths import written_paths
from pdns.files.sealed import read_only
from pdns.ipc.channel import close_all
from pdns.ipc.messages import ForgetWorker, Forgotten, Message, ServeEvents, TakeBlockset, WatchWorker
from pdns.supervisor.child import Child
from pdns.supervisor.process_handle import CountingHandle
from pdns.supervisor.sealed_blockset import SealedBlockset
from pdns.supervisor.worker_handle import WorkerHandle
from pdns.telemetry.further_memories import wanted_memories

NAME: Final = "events"
_COUNTERS: Final = 16384
_LOOK_S: Final = 0.25
_EXIT_S: Final = 8.0  # what it has not recorded by then is lost; at low priority on a busy machine it needs some seconds
_MOST_BURIED: Final = 32
_GAUGES: Final = ("event_spool_bytes", "event_sink_up", "event_sink_lag_seconds")
_log = logging.getLogger(__name__)


class Buried(NamedTuple):
    """Memory of a worker that is gone."""

    memories: tuple[str, ...]
    fds: list[int]


class Workers(Protocol):
    """The part of the worker pool that is needed here."""

    @property
    def blockset(self) -> SealedBlockset: ...
    @property
    def writers(self) -> Sequence[WorkerHandle]: ...  # all that may still note something


class EventsHandle(CountingHandle):
    """One for each supervisor."""

    def __init__(self, config: Callable[[], Config], workers: Callable[[], Workers]) -> None:
        """`config` and `workers` return what is live."""
        super().__init__(config, _COUNTERS, _LOOK_S)
        self._workers = workers
        self._generation = 0  # of the blockset that was sent last
        self._watched: dict[int, tuple[str, ...]] = {}  # number of the event ring -> names of the further memories
        self._anew: frozenset[int] = frozenset()  # event rings of which the past is not recorded
        self._buried: dict[int, Buried] = {}  # number of the event ring -> memory that the process has not read to its end
        self._told_of: set[int] = set()  # of these: the process knows
        self._child = Child(
            NAME,
            "pdns.events",
            self._loop,
            on_start=self._started,
            on_message=self._heard,
            on_exit=lambda: None,
            own_group=True,
        )

    def start(self) -> None:
        """Start the process, if events are recorded."""
        if self._config().events.enabled:
            self._start()

    async def restart(self) -> None:
        if self._child.pid is not None:
            await self._child.stop(None, _EXIT_S)
            self.start()

    async def follow(self, before: Config) -> None:
        """Take up the live configuration, which replaces `before`."""
        config = self._config()
        if not config.events.enabled:
            await self.stop()
            self._clear()
        elif not before.events.enabled:
            self._anew = frozenset(process.memory.event_ring.id for process in self._workers().writers)
            self.start()
        elif set(written_paths(config)) <= set(written_paths(before)):
            self._send()
        else:  # it may write only where it could from its start
            await self.restart()

    async def stop(self) -> None:
        """End the process, after it has read what the workers have noted."""
        self._stop_looking()
        self._tell_workers()
        self._tell_of_buried()
        await self._child.stop(None, _EXIT_S)

    async def close(self) -> None:
        """End the process and release all memory."""
        await self.stop()
        self._clear()
        self._close_counters()

    def bury(self, process: WorkerHandle) -> None:
        """A worker is gone for good. Its memory is kept here until the events process has read it, or its successor has."""
        if not self._config().events.enabled:
            return
        ring, memories = process.memory.event_ring.id, wanted_memories(self._config())
        buried = self._buried[ring] = Buried(memories, [])
        try:
            buried.fds.extend(map(os.dup, self._memory_of(process, memories)))
        except OSError as error:
            _log.error("the last events of %s are lost: %s", process.name, error.strerror)
            self._release(ring)
            self._child.send(ForgetWorker(ring))
        if len(self._buried) > _MOST_BURIED:
            _log.error("events of a worker that is gone are lost: the events process does not read them")
            self._release(next(iter(self._buried)))
        self._tell_of_buried()

    def _memory_of(self, process: WorkerHandle, memories: tuple[str, ...]) -> list[int]:
        return [*process.memory.fds, *(process.memory.further(name, self._config()) for name in memories)]

    def _tell_of_buried(self) -> None:
        for ring, buried in self._buried.items():
            if ring in self._told_of:
                continue
            watch = WatchWorker(ring, buried.memories, ring in self._anew)
            if (ring in self._watched or self._show(watch, buried.fds)) and self._child.send(ForgetWorker(ring)):
                self._told_of.add(ring)
                self._watched.pop(ring, None)

    def _heard(self, message: Message) -> None:
        if isinstance(message, Forgotten):
            self._release(message.ring)

    def _release(self, ring: int) -> None:
        self._watched.pop(ring, None)
        self._told_of.discard(ring)
        if (buried := self._buried.pop(ring, None)) is not None:
            close_all(buried.fds)

    def _clear(self) -> None:
        """There is no process, and what it would say is no longer so."""
        for ring in list(self._buried):
            self._release(ring)
        if self._counters is not None:
            for family in _GAUGES:
                self._counters.forget(family)

    def _started(self) -> None:
        self._generation, self._watched, self._told_of = 0, {}, set()
        self._send_blockset()  # first: a threat that is looked up later is not in the event
        self._send()
        self._tell_workers()
        self._tell_of_buried()

    def _send(self) -> None:
        if self._counters is not None:
            self._send_configured(self._child, ServeEvents(), [self._counters.fd])

    def _show_news(self) -> None:
        """Send each new blockset, and each new worker."""
        self._send_blockset()
        self._tell_workers()
        self._tell_of_buried()

    def _tell_workers(self) -> None:
        memories = wanted_memories(self._config())
        for process in self._workers().writers:
            ring = process.memory.event_ring.id
            if self._watched.get(ring) == memories:
                continue
            if self._show(WatchWorker(ring, memories, ring in self._anew), self._memory_of(process, memories)):
                self._watched[ring] = memories
                self._anew -= {ring}

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
