"""One worker, seen from the supervisor: a child that is replaced when it dies or hangs, its memory, its heartbeat."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Final, NamedTuple

from pdns.config.schema import Config
from pdns.core.cookies import SECRET_BYTES
from pdns.errors import OtherFormatError, PdnsError
from pdns.ipc.config_memfd import share_config
from pdns.ipc.messages import (
    Apply,
    Drained,
    FindCached,
    FoundCached,
    HandedOver,
    HandOver,
    Message,
    Ready,
    Refused,
    TakeBlockset,
    TakeMemories,
)
from pdns.supervisor.certificates import ListenerCertificates
from pdns.supervisor.child import Child
from pdns.supervisor.listeners import ListenerSet
from pdns.supervisor.process_usage import is_busy
from pdns.telemetry.further_memories import wanted_memories
from pdns.telemetry.stats import HEARTBEAT
from pdns.telemetry.worker_memory import Arena, RateLimitMemory, WorkerMemory

HUNG_AFTER_S: Final = 3.0
SILENT_AFTER_S: Final = 1.0  # treated as away, though it may recover
_BUSY_S: Final = 10.0  # the same, for a worker that waits for a core
_HAND_OVER_S: Final = 2.0
_STARTING_S: Final = 30.0  # until its first sign of life: a busy machine may take that long

_COOKIE_SECRET: Final = os.urandom(SECRET_BYTES).hex()  # clients keep their cookies when a worker is replaced

_log = logging.getLogger(__name__)


class WorkerGone(PdnsError):
    """It died before it could answer, or does not respond. It may be replaced."""


class AdoptedConfig(NamedTuple):
    """What all workers run with."""

    config: Config
    listeners: ListenerSet
    config_file: str
    client_key: str = ""  # in hexadecimal
    secrets: ListenerCertificates | None = None


class WorkerHandle:
    """Calls back from the loop: `on_start` for each new process, `on_ready` when it did as asked, `on_exit` when it is gone."""

    def __init__(
        self,
        index: int,
        workers: int,
        limits: RateLimitMemory,
        loop: asyncio.AbstractEventLoop,
        *,
        on_start: Callable[[WorkerHandle], None],
        on_ready: Callable[[WorkerHandle], None],
        on_exit: Callable[[WorkerHandle], None],
    ) -> None:
        self.index = index
        self.name = f"worker{index}"
        self.memory = WorkerMemory(workers)
        self.ready = False  # it has applied its configuration since it started
        self.silent_s = 0.0  # since its last sign of life
        self._workers = workers
        self._limits = limits
        self._loop = loop
        self._on_start, self._on_ready, self._on_exit = on_start, on_ready, on_exit
        self._seen_alive = False
        self._beat: int | None = None
        self._asked = 0
        self._answer: asyncio.Future[None] = loop.create_future()
        self._finding: dict[int, asyncio.Future[FoundCached]] = {}
        self._handed_over: asyncio.Future[None] | None = None
        self._drain_s = 0.0
        self.child = Child(self.name, "pdns.worker", loop, on_start=self._started, on_message=self._heard, on_exit=self._exited)

    @property
    def answers(self) -> bool:
        """Whether it seems to answer its part of the names."""
        return self.ready and self.silent_s < SILENT_AFTER_S

    @property
    def condition(self) -> str:
        """Its condition, for people."""
        if self.child.pid is None:
            after = f", started again after {self.child.waits_s:g} s" if self.child.waits_s else ""
            return f"{self.name}: not running{after}"
        if not self.ready:
            return f"{self.name}: starting"
        if self.silent_s >= SILENT_AFTER_S:
            return f"{self.name}: no sign of life for {self.silent_s:.0f} s"
        return ""

    def ask(self, live: AdoptedConfig, arena: Arena | None) -> asyncio.Future[None]:
        """Send it `live` without an arena, to stand by. The future fails with a `PdnsError` when it refuses or dies."""
        self._asked += 1
        self._answer = answer = self._loop.create_future()
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())  # a caller may not wait for it
        self._drain_s = live.config.server.drain_s
        described, fds = live.listeners.listeners(self.index) if arena is not None else ((), [])
        arena_number = arena.number if arena is not None else 0
        memories = wanted_memories(live.config)
        apply = Apply(
            self._asked, described, live.config_file, self.index, self._workers, arena_number, _COOKIE_SECRET,
            limits=True, blocksets=True, client_key=live.client_key,
        )  # fmt: skip
        config_fd = share_config(live.config)
        try:
            arena_fds = [arena.fd] if arena is not None else []
            sent = self.child.send(TakeMemories(memories), [self.memory.further(name, live.config) for name in memories])
            if live.secrets is not None:
                live.secrets.send_to(self.child, with_next=True)
            sent = sent and self.child.send(apply, [config_fd, *self.memory.fds, *arena_fds, self._limits.fd, *fds])
        finally:
            os.close(config_fd)
        if not sent:
            answer.set_exception(WorkerGone(f"{self.name} does not respond"))
        return answer

    def find_cached(self, wanted: FindCached) -> asyncio.Future[FoundCached]:
        """Send it `wanted`. The future fails with `WorkerGone` when it dies or does not respond."""
        found: asyncio.Future[FoundCached] = self._loop.create_future()
        found.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self.child.send(wanted):
            self._finding[wanted.number] = found
        else:
            found.set_exception(WorkerGone(f"{self.name} does not respond"))
        return found

    @property
    def decides_by(self) -> int:
        """The generation of its blockset, also just after its death; 0: it has none."""
        return self.memory.counters.value("blockset_generation") or 0

    def give_blockset(self, generation: int, fd: int, *, needed: bool = False) -> None:
        """Send it the blockset behind `fd`, which stays open here. `needed`: it must not answer without one.

        A process that is away may have refused the previous blockset, so it is started at once.
        """
        if not self.child.send(TakeBlockset(generation, needed), [fd]):
            self.child.start_now()

    async def hand_over(self) -> None:
        """Have it stop reading and release its arena, at the latest by its death. It is not replaced from then on."""
        self.child.stop_replacing()
        self._handed_over = self._loop.create_future()
        if self.child.send(HandOver()):
            await asyncio.wait([self._handed_over], timeout=_HAND_OVER_S)
        if not self._handed_over.done():
            self.child.kill()
            await self.child.exited()

    def feel_pulse(self, passed_s: float) -> None:
        """Call this every `passed_s` in which this process itself ran. A worker without a sign of life is killed."""
        beat = self.memory.counters.value(HEARTBEAT)
        if self.child.pid is None or beat != self._beat:
            self._seen_alive = self.child.pid is not None
            self._beat, self.silent_s = beat, 0.0
            return
        self.silent_s += passed_s
        if self.silent_s >= self._patience_s(self.child.pid):
            _log.error("%s has given no sign of life for %.0f s: it is replaced", self.name, self.silent_s)
            self.silent_s, self.ready = 0.0, False
            self.child.kill()

    def _patience_s(self, pid: int) -> float:
        if not self._seen_alive:
            return _STARTING_S
        return _BUSY_S if self.silent_s >= HUNG_AFTER_S and is_busy(pid) else HUNG_AFTER_S

    def _started(self) -> None:
        self._beat, self.silent_s, self._seen_alive = self.memory.counters.value(HEARTBEAT), 0.0, False
        self._on_start(self)

    def _heard(self, message: Message) -> None:
        match message:
            case Ready(generation) if generation == self._asked:
                self.ready = True
                if not self._answer.done():
                    self._answer.set_result(None)
                self._on_ready(self)
            case Refused(generation, reason, other_format) if generation == self._asked:
                if not self._answer.done():
                    self._answer.set_exception(OtherFormatError(reason) if other_format else PdnsError(reason))
            case FoundCached(number) if (found := self._finding.pop(number, None)) is not None:
                if not found.done():
                    found.set_result(message)
            case HandedOver():
                self._let_go()
            case Drained(unanswered) if unanswered:
                _log.warning("%s: %d queries were given up after drain_s = %g", self.name, unanswered, self._drain_s)

    def _exited(self) -> None:
        self.ready = False
        self._let_go()
        if not self._answer.done():
            self._answer.set_exception(WorkerGone(f"{self.name} died of it"))
        finding, self._finding = self._finding, {}
        for found in finding.values():
            if not found.done():
                found.set_exception(WorkerGone(f"{self.name} died"))
        self._on_exit(self)

    def _let_go(self) -> None:
        if self._handed_over is not None and not self._handed_over.done():
            self._handed_over.set_result(None)
