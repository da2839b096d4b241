"""All feeds of one configuration: kept going, changed while running, and woken when somebody asks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path

from feeds.activation import Activation
from feeds.blockset_build import BlocksetBuild
from feeds.builder import Builder, BuildError
from feeds.commands import CommandRunner
from feeds.fetch import FileStamp, file
from feeds.fetch.network import Network
from feeds.files import disk_reason
from feeds.fleet.commands import FleetCommands
from feeds.inputs import InputCollector
from feeds.jobs import Progress
from feeds.live_blockset import EXPIRY_EVERY_S, Input, LiveBlockset
from feeds.one_build import OneBuild
from feeds.protected_names import protection_of
from feeds.publish.publication import PublishInputs
from feeds.publisher import Publisher
from feeds.quarantine_commands import QuarantineCommands
from feeds.refresher import FeedRefresher, RefreshContext
from feeds.status import StatusWriter, snapshot
from feeds.store import remove_unconfigured
from feeds.update_limits import limits_of
from feeds.update_times import LiveUpdates
from pdns.clock import boottime_s, steady_s
from pdns.config.schema import Config, Feed
from pdns.files.safe_files import make_directory, make_state_directory
from pdns.net.tls import client_context
from pdns.state import feed_status
from pdns.state.commands import Command, Outcome
from pdns.state.feed_status import FeedsStatus, PublishStatus

LEAST_BETWEEN_WORDS_S = 1.0
PROGRESS_EVERY_S = 1.0
MEND_EVERY_S = 5.0  # a disk that damages whatever is written must not keep us busy
Spawn = Callable[[Coroutine[None, None, None]], "asyncio.Task[None]"]
_log = logging.getLogger(__name__)


class Scheduler:
    """Keeps every configured feed fresh and the live blockset in step with them.

    One instance at a time may work on a state directory. Nothing here raises because of a feed, or of a full disk.
    """

    def __init__(self, state_dir: Path, on_event: Callable[[FeedsStatus], None] = lambda _: None, *, in_memory: int = 0) -> None:
        """`in_memory`: the generation of the blockset that workers have in memory; 0: none."""
        self._state_dir = state_dir
        self._feeds_dir = state_dir / "feeds"
        self._on_event = on_event
        self._status_file = StatusWriter(state_dir)
        self._runners: dict[str, FeedRefresher] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._wakes: dict[str, asyncio.Event] = {}
        self._told_s: dict[str, float] = {}
        self._polled: dict[str, FileStamp | None] = {}
        self._builder = Builder(on_progress=self._progressed)
        self._doing = ""
        self._progress_told_s = 0.0
        self._silent: set[str] = set()
        self._expired: set[str] = set()
        self._expire_again_s = self._mend_again_s = 0.0
        self._activation = Activation(state_dir)
        inputs = InputCollector(lambda: list(self._runners.values()), self._builder, self._activation)
        self._build = BlocksetBuild(state_dir, self._builder, inputs, self._activation, self._went_live)
        self.updates = LiveUpdates()
        self._publisher = Publisher(self._build.run, self._tell)
        decisions = QuarantineCommands(lambda: self._runners, self._publisher, self._activation)
        self._commands = CommandRunner(state_dir, decisions, self._tell, lambda: self._activation.live.generation)
        self.fleet = FleetCommands()  # its role: by what takes part in a fleet
        self._commands.add(self.fleet.work())
        trusted = client_context()
        self._around = RefreshContext(self._builder, self._publisher, Network((), trusted, trusted))
        self.woken: Callable[[], object] = lambda: None  # called when all feeds are to be refreshed now
        self.notify_refused: Counter[str] = Counter()  # by whoever listens for NOTIFY
        self.published: Callable[[], PublishStatus] = PublishStatus  # by whoever publishes zones
        previous = feed_status.read(state_dir)
        self._activation.resume(previous.generation if previous is not None else 0, in_memory=in_memory)

    async def publish_changes(self) -> None:
        """Build a blockset after every change, until cancelled. `configure` and commands wait for it: it must run beside them."""
        await self._publisher.run()

    async def configure(self, config: Config, *, build: bool = True) -> None:
        """Go on under `config`. What it leaves alone keeps its copy, its counters and its place in the schedule.

        On return the live blockset says what the last-good copies of its feeds say, without a question to any network; without
        `build`, it is as before.
        """
        try:
            self._around = self._around._replace(network=Network.of(config))
        except OSError as exc:
            _log.error("upstream.ca_file cannot be read: %s; upstreams over TLS are checked as before", exc.strerror)
        try:
            make_state_directory(self._state_dir)
            make_directory(self._feeds_dir, 0o700)
        except OSError as exc:
            _log.error("%s", disk_reason(exc, self._feeds_dir))
        self._build.protection = protection_of(config)
        wanted = {feed.name: feed for feed in config.feed}
        for name, runner in self._runners.items():
            if name not in wanted or not runner.same_source(wanted[name]):
                await self._stop(name)
        self._runners = {name: self._refresher(feed) for name, feed in wanted.items()}
        for runner in self._runners.values():
            runner.limits = limits_of(config, runner.feed)
            runner.popularity = self._build.protection.popularity
        if build:
            try:
                await self._publisher.published()
            except BuildError as exc:
                _log.error("no new blockset: %s", exc.reason)
            else:
                self._remove_unconfigured()
        self._tell()

    @property
    def publisher(self) -> Publisher:
        """The loop that builds blocksets."""
        return self._publisher

    @property
    def live(self) -> LiveBlockset:
        """The live blockset."""
        return self._activation.live

    @property
    def feeds_in(self) -> frozenset[str] | None:
        """The configured feeds, once each is in the live blockset, or was tried in vain since this process started."""
        live = {entry.name for entry in self._activation.live.inputs}
        waiting = (one for name, one in self._runners.items() if name not in live)
        done = all(one.tried and (one.copy is None or one.expired or one.last_error) for one in waiting)
        return frozenset(self._runners) if done else None

    def without_copy(self, names: Iterable[str]) -> list[str]:
        """Those of the feeds `names` that are configured, and of which nothing is here."""
        runners = [self._runners[name] for name in names if name in self._runners]
        return [runner.name for runner in runners if runner.copy is None and runner.predecessor is None]

    @property
    def commands(self) -> CommandRunner:
        return self._commands

    @property
    def network(self) -> Network:
        return self._around.network

    def leave_fleet(self) -> None:
        """What a publisher decided for this server ends: it is in no fleet, or no node of one."""
        try:
            self._commands.adopt(None)
        except OSError as exc:
            _log.error("%s", disk_reason(exc, self._state_dir))

    async def bring_in(self, texts: Mapping[str, Path]) -> str:
        """Refresh the feeds of a fleet's release from `texts`, and build once when all are in. The publisher is held before.

        Returns "" when they are live, else why not; it is held still, then.
        """
        runners = [runner for runner in self._runners.values() if runner.name in texts]

        def missing() -> str:
            lacking = [one.name for one in runners if one.copy is None or one.copy.sha256 != texts[one.name].name]
            return f"feeds of the release are not in: {', '.join(lacking)}" if lacking else ""

        together = OneBuild(self._publisher, len(runners), missing)
        network = self._around.network._replace(texts=texts)
        around = self._around._replace(network=network, publisher=together)
        if runners:
            await asyncio.gather(*(runner.attempt(around) for runner in runners))
        else:
            with contextlib.suppress(BuildError):
                await together.published()
        self._tell()
        if failed := [f"feed {runner.name}: {runner.last_error}" for runner in runners if runner.last_error]:
            return "; ".join(failed)
        self._remove_unconfigured()
        return ""

    def _remove_unconfigured(self) -> None:
        for name in remove_unconfigured(self._feeds_dir, set(self._runners)):
            _log.info("feed %s: removed", name)

    def start(self, spawn: Spawn) -> None:
        """Refresh each feed that is not being refreshed yet at once, and then by its schedule."""
        for name, runner in self._runners.items():
            if name not in self._tasks:
                self._wakes[name] = asyncio.Event()
                self._tasks[name] = spawn(self._keep(runner, self._wakes[name]))

    def wake(self) -> None:
        """Refresh every feed now; those that are at it, once more when they are done."""
        self.woken()
        for wake in self._wakes.values():
            wake.set()

    def wake_soon(self, name: str) -> None:
        """Refresh one feed, because somebody outside says that it has changed: not more often than once a second."""
        wake = self._wakes.get(name)
        if name in self._runners:
            self._runners[name].times.noticed(boottime_s(), earlier_counts=True)
        now_s = asyncio.get_running_loop().time()
        due_s = max(now_s, self._told_s.get(name, -LEAST_BETWEEN_WORDS_S) + LEAST_BETWEEN_WORDS_S)
        if wake is not None and self._told_s.get(name, 0.0) <= now_s:
            self._told_s[name] = due_s
            asyncio.get_running_loop().call_at(due_s, wake.set)

    async def poll_files(self) -> None:
        """Wake the feeds whose local file is no longer what was last tried, once it has stayed the same between two calls.

        Half of a file that is being written is not a list.
        """
        for name, runner in list(self._runners.items()):
            if runner.path is None or not runner.tried:
                continue
            stamp = await asyncio.to_thread(file.look, runner.path)
            before, self._polled[name] = self._polled.get(name), stamp
            if stamp not in (None, before, runner.last_seen):
                runner.times.noticed(boottime_s(), earlier_counts=False)
            if stamp is not None and stamp == before and stamp != runner.last_seen and name in self._wakes:
                self._wakes[name].set()

    async def obey(self) -> None:
        """Carry out the commands that are done at once. Does not wait for anything."""
        if await self._commands.look():
            self._tell()

    async def look_after(self) -> None:
        """Carry out the commands that take time, and drop the names of feeds without a refresh for too long."""
        await self._commands.look_slowly()
        silent = {name for name, runner in self._runners.items() if runner.silent}
        for name in silent - self._silent:
            if wake := self._wakes.get(name):
                wake.set()  # its source is asked once more before its names go
        self._silent = silent
        expired = {name for name, runner in self._runners.items() if runner.expired}
        if expired == self._expired:
            return
        for name in expired - self._expired:
            _log.error("feed %s: no successful refresh within expire_after_s; its names are no longer blocked", name)
        self._expired = expired
        self._publisher.mark_dirty()

    def distrust(self, generation: int) -> None:
        """The blockset of that generation cannot be used: the next `mend` makes another one, if it is the live one."""
        self._activation.distrust(generation)

    async def mend(self) -> None:
        """Make anew at once what was damaged on the disk."""
        now_s = boottime_s()
        if now_s < self._mend_again_s:
            return
        changed = self._status_file.changed()
        try:
            self._activation.mend_record()
            for name, runner in list(self._runners.items()):
                if runner.damaged:
                    changed = True
                    if await runner.mend() and name in self._wakes:
                        self._wakes[name].set()
        except OSError as exc:
            _log.error("%s", disk_reason(exc, self._feeds_dir))
        if not self._publisher.building and await self._activation.check():
            changed = True
        if changed:
            self._mend_again_s = now_s + MEND_EVERY_S
            self._publisher.mark_dirty()
            self._tell()

    def expire(self) -> None:
        """Have a new blockset made if expired names are live, at most every five minutes."""
        now_s = steady_s()
        if now_s >= self._expire_again_s and self._activation.live.expiry_due(now_s):
            self._expire_again_s = now_s + EXPIRY_EVERY_S
            self._publisher.mark_dirty()

    async def carry_out(self, order: Command) -> Outcome:
        """Do what `order` says. Never raises."""
        outcome = await self._commands.carry_out(order)
        self._tell()
        return outcome

    async def refresh_once(self) -> FeedsStatus:
        """Try every feed once, all at the same time. Not to be mixed with `start`."""
        await asyncio.gather(*(self._attempt(runner) for runner in self._runners.values()))
        return self._tell()

    def status(self) -> FeedsStatus:
        live, overrides = self._activation.live, self._commands.overrides()
        return snapshot(
            live, self._runners.values(), overrides, self._doing, self.notify_refused, self.published(), self.updates.latest
        )

    def publish_inputs(self) -> PublishInputs:
        """What published zones are made of. Generation 0 while the live blockset is damaged."""
        return PublishInputs(self._activation.live.generation, self._commands.overrides())

    def tell(self) -> None:
        """Write the status, because something outside has changed."""
        self._tell()

    async def stop(self) -> None:
        """End every refresh where it stands; what is live and what is kept is whole."""
        for name in list(self._tasks):
            await self._stop(name)

    def _refresher(self, feed: Feed) -> FeedRefresher:
        runner = self._runners.get(feed.name)
        if runner is not None and runner.same_source(feed):
            runner.feed = feed
            return runner
        return FeedRefresher(feed, self._feeds_dir / feed.name, runner.results if runner is not None else Counter())

    async def _keep(self, runner: FeedRefresher, wake: asyncio.Event) -> None:
        while True:
            wake.clear()
            await self._attempt(runner)
            delay_s = runner.delay_s(random.random())  # noqa: S311 (it spreads load)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await wake.wait()

    async def _attempt(self, runner: FeedRefresher) -> None:
        await runner.attempt(self._around)
        self._tell()

    def _went_live(self, generation: int, inputs: Sequence[Input]) -> None:
        for entry in inputs:
            runner = self._runners.get(entry.name)
            if runner is None or (seen_s := runner.times.live(entry.sha256)) is None:
                continue
            if runner.feed.mode == "block":
                self.updates.add(generation, entry.name, seen_s)

    def _progressed(self, progress: Progress | None) -> None:
        before, self._doing = self._doing, ""
        if progress is not None:
            total = f" of {progress.total:,}" if progress.total else ""
            self._doing = f"{progress.doing} {progress.done:,}{total} names"
        if self._doing != before and (not self._doing or time.monotonic() >= self._progress_told_s + PROGRESS_EVERY_S):
            self._progress_told_s = time.monotonic()
            self._tell()

    def _tell(self) -> FeedsStatus:
        status = self.status()
        self._status_file.write(status)
        self._on_event(status)
        return status

    async def _stop(self, name: str) -> None:
        self._wakes.pop(name, None)
        self._polled.pop(name, None)
        self._told_s.pop(name, None)
        task = self._tasks.pop(name, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
