"""The lists and the policy of a node: which release they are of, and how they change from one to another, as a whole."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from feeds.fleet.apply import Applier, ObjectSource, UnusableRelease
from feeds.fleet.node_policy import NodePolicy
from feeds.fleet.node_record import NodeDirectory, NodeRecord
from feeds.fleet.release import MOST_REFUSED, Release
from feeds.scheduler import Scheduler
from pdns.blockset.canonical import content_hash
from pdns.blockset.generations import current_directory
from pdns.blockset.layout import read_manifest
from pdns.blockset.reader import Blockset
from pdns.config.schema import Config
from pdns.errors import BlocksetError
from pdns.ipc.messages import Message
from pdns.state.fleet_status import RefusedRelease

__all__ = ["NodeLists", "UnusableRelease"]
_log = logging.getLogger(__name__)


class NodeLists:
    """One for each node."""

    def __init__(self, state_dir: Path, scheduler: Scheduler, send: Callable[[Message], object]) -> None:
        self._state_dir, self._scheduler = state_dir, scheduler
        self.directory = NodeDirectory(state_dir)
        self.policy = NodePolicy(self.directory, send)
        self.compiled = ""  # hash of the files that this node has compiled
        self.compiled_differs = False  # from those of the publisher
        self._config = Config()
        self._release: Release | None = None  # whose lists are in, or are being brought in
        self._before: Blockset | None = None  # the blockset before the release that is judged
        self._working = asyncio.Lock()  # one change of the scheduler's feeds at a time
        self.lost = False  # what the release in force is made of

    @property
    def kept(self) -> NodeRecord:
        return self.directory.record

    def prepare(self) -> None:
        """Read what is kept. Raises `OSError`."""
        self._scheduler.publisher.pause()  # nothing is built before `resume` has the lists of one release together
        self.directory.prepare()

    async def configure(self, config: Config, bundle: str) -> None:
        """Go on under `config`, which the policy bundle with that SHA-256 is part of."""
        async with self._working:
            self._config = config
            held = self._scheduler.publisher.paused
            await self._scheduler.configure(self.policy.adapted(config, self._release), build=not held)
        self.policy.configured(bundle)

    async def resume(self) -> None:
        """Go on with the release that is recorded. Without any, nothing is built."""
        record = self.kept
        for number in (record.wanted, record.release):
            if (release := self.directory.release(number)) is None:
                continue
            try:
                await self._bring_in(release)
            except UnusableRelease as exc:
                _log.error("fleet: release %d cannot be taken up again: %s", number, exc)
                continue
            await self._enter(release, record.release_sha256 if number == record.release else "")
            return
        if record.release:
            _log.error("fleet: the files of release %d are lost: they are fetched again", record.release)
            self.lost = True
            self.directory.keep(release_sha256="")  # so the release of the ring is looked at, whichever it is
            self._scheduler.publisher.let_go()

    async def apply(self, release: Release, sha256: str, source: ObjectSource) -> bool:
        """Bring `release`, whose document has that SHA-256, in force. True if its policy is another one than before.

        Raises `StoreError`, `UnusableRelease` and `OSError`; what was in force is still, then.
        """
        await Applier(self.directory, source).bring(release)
        self.directory.keep_release(release)
        self.directory.keep(wanted=release.number)
        self._remember_before()
        before = self._release
        await self._bring_in(release)
        if before is not None and not release.rolled_back_to:
            self._scheduler.updates.add_published(self._scheduler.live.generation, _seen_s(release, before))
            self._scheduler.tell()
        changed, self.lost = self.policy.differs(release), False
        await self._enter(release, sha256)
        return changed

    async def go_back(self, reason: str) -> int:
        """Refuse the release in force, and bring the one before in force again. Returns its number.

        Raises `UnusableRelease` when there is none.
        """
        record = self.kept
        refused = [*record.refused, RefusedRelease(record.release, reason, time.time())]
        back = self.directory.release(record.before)
        self.directory.keep(refused=refused[-MOST_REFUSED:], wanted=back.number if back is not None else 0)
        if back is None:
            raise UnusableRelease("this release is the first one here")
        self.forget_before()
        await self._bring_in(back)
        await self._enter(back, record.release_sha256)
        return back.number

    async def settle_policy(self) -> None:
        """Offer the policy of the release in force, if it is not in the configuration and was not refused."""
        if self._release is not None and self.policy.differs(self._release):
            await self._offer(self._release)

    def is_new(self, listed: bytes) -> bool:
        """Whether the blockset before the release did not list that name, in wire form."""
        return self._before is not None and not self._before.lookup(listed)

    def forget_before(self) -> None:
        """The blockset before is not needed any more."""
        self._before = None

    def _remember_before(self) -> None:
        try:
            self._before = Blockset.open(current_directory(self._state_dir)) if self.kept.release else None
        except BlocksetError:
            self._before = None

    async def _bring_in(self, release: Release) -> None:
        """Make the lists of `release` live, in one build. Raises `UnusableRelease`; the lists before are live then."""
        async with self._working:
            before = self._release
            if why := await self._lists_of(release):
                if before is not None and before is not release and (again := await self._lists_of(before)):
                    _log.error("fleet: release %d cannot be taken up again: %s", before.number, again)
                raise UnusableRelease(f"release {release.number}: {why}")

    async def _lists_of(self, release: Release) -> str:
        self._release = release
        self._scheduler.publisher.pause()
        adapted = self.policy.adapted(self._config, release)
        await self._scheduler.configure(adapted, build=False)
        unknown = {feed.name for feed in release.feeds} - {feed.name for feed in adapted.feed}
        if unknown:
            _log.error("fleet: release %d: no policy configures feeds: %s", release.number, ", ".join(sorted(unknown)))
        return await self._scheduler.bring_in({feed.name: self.directory.text(feed.text) for feed in release.feeds})

    async def _enter(self, release: Release, sha256: str) -> None:
        """The lists of `release` are live: have its policy follow, and record it."""
        await self._offer(release)
        record = self.kept
        if record.release != release.number:
            refused = self.directory.refused(record.release)
            self.directory.keep(
                release=release.number,
                since_s=time.time(),
                wanted=0,
                before=0 if refused else record.release,
                release_sha256=sha256,
            )
        else:
            self.directory.keep(wanted=0, release_sha256=sha256)
        await asyncio.to_thread(self.directory.tidy)

    async def _offer(self, release: Release) -> None:
        await self.policy.offer(release)
        await asyncio.to_thread(self._compare, release)

    def _compare(self, release: Release) -> None:
        """Compare the compiled files with those of the publisher."""
        try:
            self.compiled = content_hash(read_manifest(current_directory(self._state_dir)))
        except BlocksetError as exc:
            _log.error("fleet: %s", exc)
            return
        expired = any(feed.expired for feed in self._scheduler.live.feeds.values())  # since the publisher has compiled
        differs = bool(release.compiled) and self.compiled != release.compiled and not expired
        if differs and not self.compiled_differs:
            _log.warning("fleet: release %d: this node compiles other files than the publisher", release.number)
        self.compiled_differs = differs


def _seen_s(release: Release, before: Release) -> dict[str, float]:
    """When the publisher first saw what `release` has and `before` has not, by feed."""
    texts = {feed.name: feed.text for feed in before.feeds}
    return {feed.name: feed.seen_s for feed in release.feeds if feed.seen_s and texts.get(feed.name, feed.text) != feed.text}
