"""All workers of one `pdns serve`: started together, replaced one by one. While one is away, another answers for it.

Worker number i reads socket number i of each UDP group, and so answers one part of all names. A replacement takes over its
sockets with the waiting queries, its arena with the cached answers, and its counters.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Final

from pdns.clock import boottime_s
from pdns.config.per_worker import arena_bytes
from pdns.config.schema import Config
from pdns.errors import OtherFormatError, PdnsError
from pdns.files.safe_files import damaged_files
from pdns.ipc.messages import Cover, Drain
from pdns.logs import standard_error
from pdns.state import in_force as inforce
from pdns.supervisor.block_books import BlockBooks
from pdns.supervisor.certificates import ListenerCertificates
from pdns.supervisor.listeners import ListenerSet
from pdns.supervisor.sealed_blockset import SealedBlockset
from pdns.supervisor.worker_handle import SILENT_AFTER_S, AdoptedConfig, WorkerGone, WorkerHandle
from pdns.telemetry.blocked_domains import BlockedDomains
from pdns.telemetry.counters import Counters
from pdns.telemetry.recent_blocks import RecentBlock
from pdns.telemetry.stats import CREDENTIALS_REVISION, MISSING_FEED, OVERRIDES_REVISION
from pdns.telemetry.worker_memory import RateLimitMemory, close_arenas, new_arenas

_LOOK_S: Final = 0.25
_AWAY_S: Final = 0.5  # if the next start is this far away, other workers read its sockets at once
_UNHEALTHY_AFTER_S: Final = 2.0
_APPLY_S: Final = 10.0
_FIRST_STARTS: Final = 3  # of a worker that never answered: after so many the fault is permanent
_STAND_BY_S: Final = 30.0
EXIT_S: Final = 0.5  # beyond `server.drain_s`

_log = logging.getLogger(__name__)


class WorkerPool:
    """The `count` workers of `pdns serve`."""

    def __init__(
        self,
        count: int,
        live: AdoptedConfig,
        loop: asyncio.AbstractEventLoop,
        distrust: Callable[[int, bool], object] = lambda *_: None,
        bury: Callable[[WorkerHandle], object] = lambda _: None,
    ) -> None:
        """`distrust` is called with the generation of an unusable blockset, and whether it is undamaged: then the program on the
        disk is another version, which cannot read it. `bury` is called with each worker whose memory is about to be released.
        """
        self.count = count
        self.retired_counters = Counters.create()  # counts of retired workers, and of the supervisor
        self.blocked = BlockedDomains()
        self._state_dir = Path(live.config.state.dir)
        self._distrust, self._before_burial = distrust, bury
        self.blockset = SealedBlockset(self._state_dir, lambda: self.writers, self._blockset_refused)
        self.books = BlockBooks(
            self._state_dir, lambda: self._live.config, lambda: (*self.counters, *self.past_counters), self.take_notes
        )
        self.restarts = 0
        self._failed_starts, self._lost = 0, 0  # starts and missed events of retired workers
        self._live, self._loop = live, loop
        self._arenas = new_arenas(1, live.config.cache.max_bytes, count)
        self._arenas_made = 1
        self._limits = RateLimitMemory()
        self._answered: asyncio.Future[None] = loop.create_future()
        self.current = [self._process(index) for index in range(count)]
        self._leaving: list[WorkerHandle] = []
        self._stand_in: dict[int, WorkerHandle] = {}  # index of an absent worker -> the worker that reads its sockets
        self._away_s = [0.0] * count

    # State.

    @property
    def counters(self) -> list[Counters]:
        """Counters and gauges of the workers that answer."""
        return [process.memory.counters for process in self.current]

    @property
    def past_counters(self) -> list[Counters]:
        """Counters of the workers that are gone or about to exit; their gauges no longer count."""
        return [self.retired_counters, *(process.memory.counters for process in self._leaving)]

    @property
    def writers(self) -> list[WorkerHandle]:
        """All that answer or are about to exit."""
        return [*self.current, *self._leaving]

    @property
    def pids(self) -> dict[str, int]:
        return {process.name: process.child.pid for process in self.current if process.child.pid is not None}

    @property
    def up(self) -> dict[str, bool]:
        return {process.name: process.answers for process in self.current}

    @property
    def failed_starts(self) -> int:
        return self._failed_starts + sum(process.child.failed_starts for process in self.writers)

    @property
    def blocks_missed(self) -> int:
        return self._lost + sum(process.memory.lost for process in self.writers)

    @property
    def recent(self) -> Iterable[RecentBlock]:
        """The last blocked and monitored queries, the newest last."""
        return self.books.recent

    def least(self, gauge: str) -> int:
        """The lowest value of a gauge without labels; a worker without a value counts as 0."""
        return min(counters.value(gauge) or 0 for counters in self.counters)

    def in_force(self) -> inforce.InForce:
        """The changes that every answering worker has taken up."""
        answering = [process.memory.counters for process in self.current if process.answers]
        gauges = (OVERRIDES_REVISION, CREDENTIALS_REVISION, "blockset_generation")
        least = [min((counters.value(gauge) or 0 for counters in answering), default=0) for gauge in gauges]
        return inforce.InForce(overrides=least[0], credentials=least[1], generation=least[2])

    def unhealthy(self) -> list[str]:
        """Why no worker answers; [] while one does."""
        if any(process.child.pid is not None and process.silent_s < _UNHEALTHY_AFTER_S for process in self.current):
            return []
        return [process.condition for process in self.current]

    def unanswered(self) -> list[str]:
        """One line for each worker whose names are not answered."""
        return [process.condition for process in self.current if not process.answers and process.index not in self._stand_in]

    def remarks(self) -> list[str]:
        """One line for each worker whose names another one answers, and problems of the blockset."""
        away = [
            f"{self.current[index].condition or self.current[index].name}; {other.name} answers for it"
            for index, other in self._stand_in.items()
        ]
        damaged = [f"{name}: damaged and kept aside" for name in damaged_files(self._state_dir)]
        return [*away, *filter(None, [self.blockset.problem]), *damaged]

    def missing_feeds(self) -> list[str] | None:
        """The required feeds that keep a worker from being ready; None when all are."""
        unready = [process.memory.counters for process in self.current if process.ready]
        unready = [counters for counters in unready if not counters.value("ready")]
        if not unready:
            return None
        return [feed.name for feed in self._live.config.feed if any(one.value(MISSING_FEED, feed.name) for one in unready)]

    def unprotected(self) -> list[str]:
        """Why nothing is blocked although feeds are configured; [] otherwise."""
        if not self._live.config.feed or self.in_force().generation:
            return []
        return [f"no blockset: nothing that feeds list is blocked{self.blockset.problem and ': '}{self.blockset.problem}"]

    # Start and end.

    async def start(self) -> None:
        """Start them, with the blockset on the disk, if there is one."""
        await self.blockset.look(of_this_format=True)
        for process in self.current:
            process.child.start()

    def jobs(self) -> tuple[Coroutine[None, None, None], ...]:
        """Background work while the workers run. Runs until cancelled."""
        times = self.books.keep_times(self.in_force, self.retired_counters)
        books = self.books.keep_hits(), self.books.keep_cases(), times
        return self.look_after(), *books, inforce.keep(self._state_dir, self.in_force), self.blockset.run()

    def write_books(self) -> None:
        """Save the hits of the feeds and the cases now."""
        self.books.write()

    async def first_answer(self) -> None:
        """Wait until all of them answer. Raises `PdnsError` when one cannot."""
        await asyncio.shield(self._answered)

    def failed(self) -> PdnsError | None:
        """Why the first start failed, if it did."""
        failure = self._answered.exception() if self._answered.done() else None
        return failure if isinstance(failure, PdnsError) else None

    async def stop(self) -> None:
        """Have them answer queries in flight, and exit."""
        within_s = self._live.config.server.drain_s + EXIT_S
        await asyncio.gather(*(process.child.stop(Drain(), within_s) for process in self.writers))

    def close(self) -> None:
        """Release everything after they have stopped."""
        for process in self.writers:
            process.memory.close()
        close_arenas(self._arenas)
        self._limits.close()
        self.retired_counters.close()
        self.blockset.close()

    def kill_now(self) -> None:
        for process in self.writers:
            process.child.kill_now()

    # All of them at once.

    async def go_live(self, config: Config, listeners: ListenerSet, secrets: ListenerCertificates | None = None) -> None:
        """Make this live in all of them. Workers that are away apply it when they start. Raises with everything unchanged."""
        live = self._live._replace(config=config, listeners=listeners, secrets=secrets)
        arenas = self._arenas
        if arena_bytes(config.cache.max_bytes, self.count) != arenas[0].size_bytes:
            arenas = new_arenas(self._arenas_made + 1, config.cache.max_bytes, self.count)
        asked = {process: process.ask(live, arenas[process.index]) for process in self.current if process.child.pid is not None}
        try:
            await self._all_done(asked)
        except BaseException:
            for process in asked:
                if process.child.pid is not None:
                    process.ask(self._live, self._arenas[process.index])
            if arenas is not self._arenas:
                close_arenas(arenas)
            raise
        self._live = live
        if arenas is not self._arenas:
            close_arenas(self._arenas)
            self._arenas, self._arenas_made = arenas, self._arenas_made + 1
        for process in self.current:
            if process not in asked and process.child.pid is not None:
                self._begin(process)
            process.child.start_now()
        for index, other in self._stand_in.items():
            self._cover(index, other)

    async def _all_done(self, asked: dict[WorkerHandle, asyncio.Future[None]]) -> None:
        if not asked:
            return
        _, late = await asyncio.wait(asked.values(), timeout=_APPLY_S)
        for process, answer in asked.items():
            if answer in late:
                process.child.kill()  # it is unknown which one it uses now
        if late:
            raise PdnsError(f"a worker did not apply it within {_APPLY_S:.0f} s")
        for answer in asked.values():
            answer.result()

    # One by one.

    async def roll(self) -> None:
        """Replace each by a new process of the program on the disk; no query is lost.

        Raises `PdnsError` when a replacement cannot start: the old process and those after it stay. `OtherFormatError`: the new
        program cannot read the present blockset.
        """
        for index in range(self.count):
            await self._roll(index)

    async def _roll(self, index: int) -> None:
        before, after = self.current[index], self._process(index)
        self._leaving.append(after)  # until it answers
        try:
            await self._stand_by(after)
        except BaseException:
            after.child.kill_now()
            await after.child.exited()
            self._bury(after)
            raise
        await before.hand_over()
        self._leaving[self._leaving.index(after)] = before
        self.current[index] = after
        self._stand_in = {away: other for away, other in self._stand_in.items() if other is not before}
        await asyncio.wait([self._begin(after)], timeout=_APPLY_S)
        _log.info("%s is a new process", after.name)
        await before.child.stop(Drain(), self._live.config.server.drain_s + EXIT_S)
        self._bury(before)

    async def _stand_by(self, process: WorkerHandle) -> None:
        process.child.start()
        self.blockset.send_to(process, starts=True)
        answer = process.ask(self._live, None)
        done, _ = await asyncio.wait([answer], timeout=_STAND_BY_S)
        if not done:
            raise PdnsError(f"{process.name}: the new process was not ready within {_STAND_BY_S:.0f} s: the old one stays")
        try:
            answer.result()
        except OtherFormatError:
            raise
        except PdnsError as error:
            raise PdnsError(f"{process.name}: the new process does not start, the old one stays: {error}") from None

    def _bury(self, process: WorkerHandle) -> None:
        """Keep its counts and release the rest."""
        self._leaving.remove(process)
        self.books.drain(process.memory, self.blocked, boottime_s())
        self._before_burial(process)
        process.memory.fold_into(self.retired_counters)
        self._lost += process.memory.lost
        self._failed_starts += process.child.failed_starts
        process.memory.close()

    # Supervision.

    async def look_after(self) -> None:
        """Replace hanging workers, assign the sockets of absent ones to others, read their counts. Runs until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.take_notes()
            for process in self.current:
                process.feel_pulse(_LOOK_S)
                if process.answers:
                    self._away_s[process.index] = 0.0
                else:
                    self._away_s[process.index] += _LOOK_S
                self._settle_cover(process)

    def take_notes(self) -> None:
        """Read the counts of the workers and the kernel since the last call."""
        now = boottime_s()
        for process in self.writers:
            self.books.drain(process.memory, self.blocked, now)
        if drops := self._live.listeners.new_drops():
            self.retired_counters.add(drops, "dropped_total", "udp_receive_buffer_full")
        if lines := standard_error().newly_dropped():
            self.retired_counters.add(lines, "log_lines_dropped_total", "supervisor")

    def _settle_cover(self, process: WorkerHandle) -> None:
        index, other = process.index, self._stand_in.get(process.index)
        if process.answers:
            if other is not None:
                del self._stand_in[index]
                other.child.send(Cover(index, ()))
                _log.info("%s is back, and answers for itself again", process.name)
        elif (other is None or not other.answers) and max(self._away_s[index], process.silent_s) >= SILENT_AFTER_S:
            neighbours = (self.current[(index + step) % self.count] for step in range(1, self.count))
            neighbour = next((neighbour for neighbour in neighbours if neighbour.answers), None)
            if neighbour is not None:
                self._stand_in[index] = neighbour
                self._cover(index, neighbour)
                _log.warning("%s; %s answers for it meanwhile", process.condition, neighbour.name)

    def _cover(self, index: int, other: WorkerHandle) -> None:
        listeners, fds = self._live.listeners.udp_of(index)
        other.child.send(Cover(index, listeners), fds)

    # Messages from workers.

    def _process(self, index: int) -> WorkerHandle:
        return WorkerHandle(
            index, self.count, self._limits, self._loop, on_start=self._started, on_ready=self._is_ready, on_exit=self._died
        )

    def _started(self, process: WorkerHandle) -> None:
        if process in self.current:
            self.blockset.send_to(process, starts=True)
            self._begin(process)

    def _blockset_refused(self, generation: int) -> None:
        self.retired_counters.add(1, "blockset_rejected_total")
        self._distrust(generation, False)

    def _begin(self, process: WorkerHandle) -> asyncio.Future[None]:
        answer = process.ask(self._live, self._arenas[process.index])
        answer.add_done_callback(lambda answer: self._begun(process, answer))
        return answer

    def _begun(self, process: WorkerHandle, answer: asyncio.Future[None]) -> None:
        failure = answer.exception()
        if failure is None or isinstance(failure, WorkerGone):
            return
        if not self._answered.done():
            self._answered.set_exception(failure)
        else:  # a file that it needs, such as a certificate, is gone: retried until it is back
            _log.error("%s cannot run: %s", process.name, failure)
            process.child.kill()
            if isinstance(failure, OtherFormatError):
                self._distrust(self.blockset.generation, True)

    def _is_ready(self, process: WorkerHandle) -> None:
        if process in self.current:
            self._settle_cover(process)
            if all(one.ready for one in self.current) and not self._answered.done():
                self._answered.set_result(None)

    def _died(self, process: WorkerHandle) -> None:
        if process not in self.current:
            process.child.kill_now()
            return
        if process.child.stopping:
            return
        self.restarts += 1
        for index in [index for index, other in self._stand_in.items() if other is process]:
            del self._stand_in[index]
            self._settle_cover(self.current[index])
        if process.child.waits_s >= _AWAY_S:
            self._away_s[process.index] = SILENT_AFTER_S
            self._settle_cover(process)
        if process.child.restarts >= _FIRST_STARTS and not self._answered.done():
            self._answered.set_exception(PdnsError(f"{process.name} does not start; see its messages above"))
