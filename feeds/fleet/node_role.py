"""A node of a fleet: polls the store, verifies, brings releases in, judges them, and goes back from those that do harm.

Whatever fails, the last good release stays in force. All lists of a release go live in one build.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Final

from feeds.fleet.gate import WATCH_S, BlockedName, Gate, GateLimits, TrafficTotals
from feeds.fleet.heartbeat import HeartbeatWriter
from feeds.fleet.node_lists import NodeLists, UnusableRelease
from feeds.fleet.node_report import NodeReport
from feeds.fleet.object_store import ObjectStore, open_store
from feeds.fleet.release import Heartbeat, Release, Urgent
from feeds.fleet.stored import NotFound, ObjectStoreError
from feeds.fleet.trusted import Found, TrustedStore, UntrustedError
from feeds.fleet.urgent import overrides_of, said
from feeds.refusals import RefusedError
from feeds.scheduler import Scheduler
from pdns.clock import boottime_s
from pdns.config.fleet_rules import ring_of
from pdns.config.fleet_schema import FleetSection
from pdns.config.schema import Config
from pdns.errors import PdnsError
from pdns.ipc.messages import Message, RefuseBundle, Traffic, WatchTraffic
from pdns.state import in_force

MOST_WAIT_S: Final = 300.0  # between two tries with a release that cannot be used
DECIDED_THERE: Final = "the publisher of the fleet decides what lists say: do it there; `pdns fleet pin` keeps this release here"
_ABOUT_LISTS: Final = ("hold", "release", "drop")
_IN_FORCE_S: Final = 30.0  # from the build until every worker should have taken it up
_LOOK_S: Final = 0.1
_log = logging.getLogger(__name__)


class NodeRole:
    """One for each feeds process of a node."""

    def __init__(self, state_dir: Path, scheduler: Scheduler, send: Callable[[Message], object]) -> None:
        """`send` reaches the supervisor."""
        self._state_dir, self._scheduler, self._send = state_dir, scheduler, send
        self._lists = NodeLists(state_dir, scheduler, send)
        self._section = FleetSection()
        self._configured = False
        self._opened: FleetSection | None = None  # for which `_trusted` and `_beats` were made
        self._stores: list[ObjectStore] = []
        self._trusted: TrustedStore | None = None
        self._beats: HeartbeatWriter | None = None
        self._beating: asyncio.Task[None] | None = None
        self._report = NodeReport(state_dir)
        self._gate = Gate(GateLimits(0, 1.0, 1.0))
        self._harm = ""  # what the gate found
        self._urgent_sha256 = ""
        self._more = False  # the store has had something new while a release was brought in
        self._again_s, self._wait_s, self._failing = 0.0, 0.0, 0  # when a release that could not be used is tried again
        self._now = asyncio.Event()

    async def configure(self, config: Config, bundle: str) -> None:
        """Go on under `config`, which the policy bundle with the SHA-256 `bundle` is part of."""
        if not self._configured:
            self._configured = True
            try:
                self._lists.prepare()
            except OSError as exc:
                _log.error("%s: %s", exc.filename, exc.strerror)
            self._scheduler.commands.refused_here = dict.fromkeys(_ABOUT_LISTS, DECIDED_THERE)
            self._scheduler.woken = self._now.set
        self._section = section = config.fleet
        self._gate.limits = GateLimits(section.gate_queries, section.gate_blocked_times, section.gate_servfail_share)
        await self._lists.configure(config, bundle)

    async def run(self) -> None:
        """Follow the publisher until cancelled."""
        try:
            await self._guarded(self._lists.resume)
            self._tell()
            while True:
                self._now.clear()
                await self._guarded(self._step)
                self._tell()
                await self._waited(self._now)
        finally:
            await self._close()

    def leave(self) -> None:
        """Stop being a node."""
        self._scheduler.commands.refused_here = {}
        self._scheduler.woken = lambda: None
        self._scheduler.publisher.let_go()

    def heard(self, message: Message) -> None:
        """A message of the supervisor."""
        if isinstance(message, RefuseBundle):
            self._lists.policy.refused(message)
        elif isinstance(message, Traffic):
            now_s = boottime_s()
            self._gate.saw(TrafficTotals(message.queries, message.blocked, message.servfail), now_s)
            if self._gate.watching:
                self._judge([BlockedName(name.listed, name.queries, name.clients) for name in message.names], now_s)

    def _judge(self, names: list[BlockedName], now_s: float) -> None:
        if harm := self._gate.judge(names, self._lists.is_new, now_s):
            self._harm = harm
            self._now.set()
        elif not self._gate.watching:
            self._lists.forget_before()

    # Commands.

    def pin(self, reason: str) -> str:
        """Stay at the release that is in force."""
        self._lists.directory.keep(pinned=True, pinned_reason=reason)
        self._changed()
        return f"this node stays at release {self._lists.kept.release} until `pdns fleet unpin`: {reason}"

    def unpin(self) -> str:
        """Follow the publisher again, and try the releases that were refused once more."""
        record = self._lists.kept
        if not record.pinned and not record.refused:
            raise RefusedError("this node is not pinned, and has refused no release")
        forgotten = [str(one.number) for one in record.refused]
        self._lists.directory.keep(pinned=False, pinned_reason="", refused=[])
        if self._trusted is not None:
            self._trusted.forget()
        self._changed()
        self._now.set()
        also = f"; releases that it had refused are tried again: {', '.join(forgotten)}" if forgotten else ""
        return f"this node follows the publisher again{also}"

    # Steps.

    async def _guarded(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except OSError as exc:
            self._report.failed("", f"{exc.filename or self._state_dir}: {exc.strerror}")
        except Exception as exc:  # noqa: BLE001 (the next step may succeed)
            _log.exception("fleet: internal error")
            self._report.failed("", f"internal error, see the log: {type(exc).__name__}: {exc}")

    async def _step(self) -> None:
        if self._harm:
            await self._go_back()
        self._open()
        if (trusted := self._trusted) is None:
            return
        try:
            found = await trusted.look(ring_of(self._section), self._lists.kept.release_sha256, self._urgent_sha256)
            self._report.polled("unchanged" if found is None else "changed", trusted)
            if found is not None:
                await self._take(found, trusted)
            await self._lists.settle_policy()
        except NotFound as exc:
            self._report.failed("unreachable", f"the store lacks {exc}", trusted)
        except ObjectStoreError as exc:
            self._report.failed("unreachable", f"the store does not answer: {exc}", trusted)
        except UntrustedError as exc:
            self._report.failed(exc.result, exc.reason, trusted)
        except UnusableRelease as exc:
            self._unusable(exc)
        except PdnsError as exc:
            self._report.failed("refused", str(exc), trusted)

    async def _take(self, found: Found, trusted: TrustedStore) -> None:
        if found.urgent is not None:
            self._take_urgent(found.urgent, found.urgent_sha256)
        if (release := found.release) is None:
            trusted.handled()
            return
        self._report.wanted = release.number
        record = self._lists.kept
        stays = record.pinned and not (self._lists.lost and release.number == record.release)
        if self._lists.directory.refused(release.number) or stays:
            trusted.handled()
            return
        if release.number == self._failing and boottime_s() < self._again_s:
            raise UnusableRelease(self._report.last_error)
        self._failing = release.number
        await self._beside(trusted, self._apply(release, found.release_sha256))
        self._failing, self._wait_s = 0, 0.0

    async def _beside(self, trusted: TrustedStore, work: Coroutine[None, None, None]) -> None:
        """Do `work`, which may take minutes. Entries and kill switches do not wait for it."""
        trusted.handled()
        over, done = asyncio.Event(), False
        looking = asyncio.get_running_loop().create_task(self._look_for_urgent(trusted, over))
        try:
            await work
            done = True
        finally:
            over.set()
            await looking  # a look under way ends first: two of them would write the same files
            if self._more or not done:
                trusted.forget()  # what came meanwhile is looked at as a whole
            self._more = False

    async def _look_for_urgent(self, trusted: TrustedStore, over: asyncio.Event) -> None:
        while not await self._waited(over):
            with contextlib.suppress(PdnsError, OSError):
                found = await trusted.look(ring_of(self._section), self._lists.kept.release_sha256, self._urgent_sha256)
                if found is not None:
                    self._more = True
                    if found.urgent is not None:
                        self._take_urgent(found.urgent, found.urgent_sha256)

    async def _waited(self, event: asyncio.Event) -> bool:
        """Whether `event` was set before the next poll is due."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._section.poll_s * random.uniform(0.9, 1.1)):  # noqa: S311 (it spreads load)
                await event.wait()
        return event.is_set()

    def _take_urgent(self, urgent: Urgent, sha256: str) -> None:
        if self._scheduler.commands.adopt(overrides_of(urgent)):
            _log.info("fleet: local entries and kill switches of the publisher, %s", said(urgent))
            self._scheduler.tell()
        self._urgent_sha256 = sha256

    async def _apply(self, release: Release, sha256: str) -> None:
        assert self._trusted is not None
        self._gate.end()
        before = self._lists.kept.release
        changed = await self._lists.apply(release, sha256, self._trusted)
        self._report.releases["applied"] += 1
        self._changed()
        await self._until_in_force()
        _log.info("fleet: release %d is in force", release.number)
        if before and before != release.number:
            self._gate.begin(boottime_s(), policy_changed=changed)
            self._send(WatchTraffic(WATCH_S))
        self._changed()

    async def _go_back(self) -> None:
        """The release in force does harm here."""
        harm, self._harm = self._harm, ""
        self._gate.end()
        number = self._lists.kept.release
        if self._lists.kept.pinned:
            _log.error("fleet: release %d does harm here, and stays because this node is pinned: %s", number, harm)
            return
        self._report.releases["refused"] += 1
        _log.error("fleet: release %d does harm here and is refused: %s", number, harm)
        try:
            back = await self._lists.go_back(harm)
        except UnusableRelease as exc:
            _log.error("fleet: there is no release to go back to: %s", exc)
            return
        _log.error("fleet: release %d is in force again", back)
        self._changed()

    def _unusable(self, exc: UnusableRelease) -> None:
        if boottime_s() >= self._again_s:
            self._report.releases["failed"] += 1
            self._wait_s = min(MOST_WAIT_S, max(self._section.poll_s, 2 * self._wait_s))
            self._again_s = boottime_s() + self._wait_s
        self._report.failed("refused", str(exc), self._trusted)

    async def _until_in_force(self) -> None:
        until_s = boottime_s() + _IN_FORCE_S
        generation = self._scheduler.live.generation
        while in_force.read(self._state_dir).generation < generation and boottime_s() < until_s:  # noqa: ASYNC110 (a file)
            await asyncio.sleep(_LOOK_S)

    # The store.

    def _open(self) -> None:
        """Make what reaches the stores, if the configuration of them has changed."""
        section = self._section
        if section == self._opened:
            return
        self._stop_beating()
        self._trusted = None
        network = self._scheduler.network
        root, directory = Path(section.root_file), self._lists.directory.path / "metadata"
        try:
            store = open_store(
                section.store, section.endpoint, section.region, section.credentials_file, section.ca_file, network=network
            )
            self._stores.append(store)
            if section.heartbeat_store:
                credentials = section.heartbeat_credentials_file or section.credentials_file
                beats = open_store(section.heartbeat_store, section.endpoint, section.region, credentials, section.ca_file)
                self._stores.append(beats)
                self._beats = HeartbeatWriter(beats, self._heartbeat)
                self._beating = asyncio.get_running_loop().create_task(self._beats.run())
        except PdnsError as exc:
            self._report.failed("unreachable", str(exc))
            return
        self._trusted, self._opened = TrustedStore(store, root, directory), section

    def _stop_beating(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
        self._beats = self._beating = None

    async def _close(self) -> None:
        self._stop_beating()
        for store in self._stores:
            with contextlib.suppress(PdnsError):
                await store.close()
        self._stores.clear()

    # Reports.

    def _heartbeat(self) -> Heartbeat:
        return self._report.heartbeat(self._section, self._lists, self._gate)

    def _changed(self) -> None:
        self._tell()
        if self._beats is not None:
            self._beats.soon()

    def _tell(self) -> None:
        self._report.write(self._section, self._lists)
