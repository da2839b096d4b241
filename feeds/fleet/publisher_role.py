"""The publisher of a fleet: keeps the store in step with the live blockset, the policy, the overrides and the rings.

Three loops: one makes releases, one writes pointers, one looks at the nodes. A kill switch waits for none of the others, and this
server goes on blocking whatever becomes of the store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from feeds.builder import BuildError
from feeds.files import disk_reason
from feeds.fleet import garbage, rings
from feeds.fleet.bundle import bundle_of
from feeds.fleet.inventory import Inventory
from feeds.fleet.object_store import ObjectStore, open_store
from feeds.fleet.packed import MissingLibrary
from feeds.fleet.pointer import FencedError, PointerWriter, targets_hash
from feeds.fleet.published import PublisherFiles, PublisherRecord
from feeds.fleet.release import Release, Urgent, encode, encode_small
from feeds.fleet.release_maker import Making, ReleaseMaker, packed_policy
from feeds.fleet.rings import RingError
from feeds.fleet.signing import PublisherKeys, target_path
from feeds.fleet.stored import ObjectStoreError
from feeds.fleet.trust import TrustError
from feeds.fleet.urgent import overrides_of
from feeds.refusals import RefusedError
from feeds.scheduler import Scheduler
from pdns.clock import steady_s
from pdns.config.fleet_rules import node_name
from pdns.config.fleet_schema import FleetSection
from pdns.config.schema import Config
from pdns.files.file_version import version_of
from pdns.files.records import LockedError
from pdns.state import fleet_status
from pdns.state.fleet_status import RINGS, FleetStatus

LOOK_EVERY_S: Final = 0.1
RETRY_S, MOST_RETRY_S = 1.0, 30.0
SIGNED_AGAIN: Final = 3  # times within the validity of a pointer
SIGNED_AT_LEAST_S: Final = 1800.0  # alerts take a pointer of some hours for one that is held back
NODES_EVERY_S: Final = 10.0
TELL_EVERY_S: Final = 0.5
ROOT_ENDS_SOON_S: Final = 60 * 86400.0
_log = logging.getLogger(__name__)


class PublisherRole:
    """One for each feeds process of a publisher."""

    def __init__(self, state_dir: Path, scheduler: Scheduler) -> None:
        self._state_dir, self._scheduler = state_dir, scheduler
        self._files = PublisherFiles(state_dir)
        self._record = PublisherRecord()
        self._loaded = False
        self._section = FleetSection()
        self._store: ObjectStore | None = None
        self._keys: PublisherKeys | None = None
        self._keys_seen: tuple[object, ...] = ()
        self._maker = ReleaseMaker(state_dir, self._files, self._record)
        self._pointer: PointerWriter | None = None
        self._taken_up = False
        self._policy, self._feeds = b"", frozenset[str]()
        self._policy_sha256 = ""
        self._inventory = Inventory()
        self._errors: dict[str, str] = {}  # what goes wrong at the moment, by loop
        self._published: Counter[str] = Counter()
        self._collected_s = 0.0
        self._told = FleetStatus()
        self._pointing = asyncio.Lock()
        self._made: dict[str, bytes] = {}  # the targets, and what they were made of
        self._made_of: tuple[object, ...] = ()
        self._targets_hash = ""

    async def configure(self, config: Config) -> None:
        """Publish as `config` says."""
        section, before = config.fleet, self._section
        self._section = section
        self._policy, self._feeds = bundle_of(config), frozenset(feed.name for feed in config.feed)
        self._policy_sha256 = packed_policy(self._policy)[0].sha256
        same = all(
            getattr(section, key) == getattr(before, key)
            for key in ("store", "endpoint", "region", "credentials_file", "ca_file")
        )
        if not same or self._store is None:
            self._close_store()

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name, step, every_s in (
                ("pointer", self._point, LOOK_EVERY_S),
                ("release", self._release, LOOK_EVERY_S),
                ("nodes", self._look_at_nodes, min(NODES_EVERY_S, max(LOOK_EVERY_S, self._section.soak_s / 4))),
            ):
                tasks.create_task(self._keep(name, step, every_s))
            tasks.create_task(self._tell())

    def close(self) -> None:
        """Nothing is published any more."""
        self._write_status()
        self._close_store()

    def _close_store(self) -> None:
        self._store, self._pointer, self._taken_up = None, None, False

    async def _keep(self, name: str, step: Callable[[], Awaitable[None]], every_s: float) -> None:
        delay_s = RETRY_S
        while True:
            reason = ""
            try:
                await step()
            except FencedError as exc:
                reason = str(exc)
                self._published["fenced"] += reason != self._errors.get(name)
            except (ObjectStoreError, TrustError, MissingLibrary) as exc:
                reason = str(exc)
            except BuildError as exc:
                reason = exc.reason
            except LockedError as exc:
                reason = str(exc)
            except OSError as exc:
                reason = disk_reason(exc, self._files.directory)
            except Exception as exc:  # noqa: BLE001 (the others go on, and this one later)
                _log.exception("fleet: failed")
                reason = f"internal error, see the log: {type(exc).__name__}"
            if reason and reason != self._errors.get(name):
                _log.error("fleet: %s", reason)
            elif not reason and name in self._errors:
                _log.info("fleet: the store works again")
            if reason:
                self._errors[name] = reason
                self._published["failed"] += name == "pointer" and not self._record.fenced
            else:
                self._errors.pop(name, None)
            await asyncio.sleep(delay_s if reason else every_s)
            delay_s = min(2 * delay_s, MOST_RETRY_S) if reason else RETRY_S

    @property
    def is_idle(self) -> bool:
        """Whether the store has everything that there is to be published."""
        record = self._record
        live = self._scheduler.live
        made = bool(record.frozen) or not self._maker.is_due(live, self._policy_sha256)
        return made and record.newest is not None and self._targets() is self._made and self._targets_hash == record.targets_hash

    # The pointer.

    async def _point(self) -> None:
        async with self._pointing:  # a command may ask for it as well
            await self._point_if_due()

    async def _point_if_due(self) -> None:
        pointer, keys = await self._ready()
        record = self._record
        if record.fenced:
            raise FencedError(f"{record.fenced}: this one has stopped; `pdns fleet take-over` makes it publish again")
        if record.newest is None:
            return
        targets, now_s = self._targets(), steady_s()
        again_s = record.signed_s + min(SIGNED_AT_LEAST_S, self._section.pointer_valid_s / SIGNED_AGAIN)
        same = self._targets_hash == record.targets_hash and record.pending is None
        if same and record.signed_s <= now_s < again_s and record.root_version == keys.root.version:
            return
        changed = await pointer.write(keys, targets, now_s, self._section.pointer_valid_s)
        self._published["published" if changed else "signed"] += 1
        _log.info("fleet: pointer %d, releases %s", record.sequence, _said(record.rings.releases))

    def _targets(self) -> dict[str, bytes]:
        """What nodes are to have, by the name of each target."""
        record, overrides = self._record, self._scheduler.publish_inputs().overrides
        counts = len(overrides.indicators), len(overrides.disabled), len(overrides.paused)  # entries end without a revision
        made_of = (record.rings.releases, overrides.revision, counts)
        if made_of != self._made_of:
            urgent = Urgent(
                revision=overrides.revision, disabled=overrides.disabled, indicators=overrides.indicators, paused=overrides.paused
            )
            of_rings = {f"release/{name}.json": encode_small(record.releases[record.rings.ring[name].release]) for name in RINGS}
            self._made, self._made_of = of_rings | {"urgent.json": encode(urgent)}, made_of
            self._targets_hash = targets_hash(self._made)
        return self._made

    async def _ready(self, *, take_up: bool = True) -> tuple[PointerWriter, PublisherKeys]:
        """What is needed to write pointers. Raises `ObjectStoreError`, `TrustError` and `OSError`."""
        keys = await self._current_keys()
        if not self._loaded:
            self._files.prepare()
            self._record = await asyncio.to_thread(self._files.load)
            self._maker = ReleaseMaker(self._state_dir, self._files, self._record)
            self._loaded = True
        if self._store is None:
            section = self._section
            self._store = await asyncio.to_thread(
                open_store, section.store, section.endpoint, section.region, section.credentials_file, section.ca_file
            )
        if self._pointer is None:
            self._pointer = PointerWriter(self._store, self._files, self._record)
        if take_up and not self._taken_up and not self._record.fenced:
            await self._pointer.take_up(keys, steady_s())
            self._took_up(self._pointer)
        return self._pointer, keys

    def _took_up(self, pointer: PointerWriter) -> None:
        if pointer.adopted is not None:  # what is in force on nodes stays in force
            self._scheduler.commands.inherit(overrides_of(pointer.adopted))
            pointer.adopted = None
        self._taken_up = True

    async def _current_keys(self) -> PublisherKeys:
        directory = Path(self._section.keys_dir)
        seen = (str(directory), version_of(directory), version_of(directory / "root.json"))
        if self._keys is None or seen != self._keys_seen:
            self._keys = await asyncio.to_thread(PublisherKeys, directory)
            self._keys_seen = seen
            if self._keys.root.expires.timestamp() - time.time() < ROOT_ENDS_SOON_S:
                _log.warning("fleet: root.json is valid until %s only: renew it with `pdns fleet keys`", self._keys.root.expires)
        return self._keys

    # Releases.

    async def _release(self) -> None:
        record, scheduler = self._record, self._scheduler
        generation = scheduler.publish_inputs().generation
        if not self._taken_up or self._store is None or record.fenced or record.frozen or not generation:
            return
        if scheduler.feeds_in != self._feeds:  # half of the lists would look like a mistake to nodes, or fail the required ones
            return
        published = [feed.name for feed in record.newest.feeds] if record.newest is not None else []
        if lacking := scheduler.without_copy(published):  # another state directory: nodes have more than is here
            raise BuildError(f"no release before these feeds are here, which nodes have: {', '.join(lacking)}")
        live = scheduler.live
        if not self._maker.is_due(live, self._policy_sha256):
            return
        began_s = time.monotonic()
        seen_s = scheduler.updates.seen_s(record.generation, live.generation)
        release = await self._maker.make(self._store, Making(live, self._policy, seen_s), steady_s())
        if release is None or record.frozen or record.fenced:
            return
        record.rings = rings.offered(record.rings, release.number, steady_s())
        record.add(release)
        await asyncio.to_thread(self._files.store, record)
        entries = sum(feed.entries for feed in release.feeds)
        _log.info("fleet: release %d: %s entries, made in %.1f s", release.number, f"{entries:,}", time.monotonic() - began_s)

    # Nodes, rings, and what is not needed any more.

    async def _look_at_nodes(self) -> None:
        record, store = self._record, self._store
        if not self._taken_up or store is None or record.fenced or record.newest is None:
            return
        now_s = steady_s()
        await self._inventory.look(store, now_s)
        section = self._section
        before, waiting = record.rings, rings.waiting(record.rings)
        record.rings = rings.advanced(before, self._inventory.fresh(now_s), section.soak_s, section.soak_nodes, now_s)
        if record.rings != before:
            await asyncio.to_thread(self._files.store, record)
            if record.rings.releases != before.releases:
                _log.info("fleet: rings: %s", _said(record.rings.releases))
            elif (why := rings.waiting(record.rings)) != waiting:
                _log.warning("fleet: %s", why)
        if now_s >= self._collected_s + garbage.EVERY_S or now_s < self._collected_s:
            self._collected_s = now_s
            targets = [target_path(name, data) for name, data in self._targets().items()]
            if deleted := await garbage.collect_garbage(store, record.releases.values(), targets, record.sequence, now_s):
                _log.info("fleet: %d files that nothing needs any more are deleted from the store", deleted)

    # Commands.

    async def promote(self, release: int, ring: str) -> str:
        """Put `release` in `ring` and in the rings before it. Returns what was done; raises `RefusedError`."""
        record = self._working()
        if release not in record.releases:
            raise RefusedError(f"no release {release} is kept; those that are: {_numbers(record.releases)}")
        try:
            record.rings = rings.promoted(record.rings, release, ring, steady_s())
        except RingError as exc:
            raise RefusedError(str(exc)) from None
        await self._written()
        return f"release {release} is in ring {ring}: {_said(record.rings.releases)}"

    async def rollback(self, release: int) -> str:
        """Give all rings the content of `release` at once, as a new release; no other is made until `unpin`."""
        record = self._working()
        if (old := record.releases.get(release)) is None:
            raise RefusedError(f"no release {release} is kept; those that are: {_numbers(record.releases)}")
        if release == record.rings.ring[rings.ALL].release == record.last_release:
            raise RefusedError(f"release {release} is in all rings already")
        number = record.last_release + 1
        why = f"rolled back to release {old.rolled_back_to or release}"
        record.frozen = why
        record.rings = rings.rolled_back(record.rings, number, steady_s(), why)
        record.add(replace(old, number=number, rolled_back_to=old.rolled_back_to or release))
        await self._written()
        return f"release {number} has the content of release {release}, in all rings; no other is made until `pdns fleet unpin`"

    async def pin(self, reason: str) -> str:
        """Let no release go to another ring by itself."""
        record = self._working()
        record.rings = replace(record.rings, pinned=reason)
        await self._written(publish=False)
        return f"no release goes to another ring by itself until `pdns fleet unpin`: {reason}"

    async def unpin(self) -> str:
        """End `pin`, and what `rollback` has stopped."""
        record = self._working()
        if not record.rings.pinned and not record.frozen:
            raise RefusedError("the rings are not pinned")
        record.rings, record.frozen = replace(record.rings, pinned=""), ""
        record.generation = 0  # what is live by now is looked at
        await self._written(publish=False)
        return "releases are made, and go from ring to ring, again"

    async def take_over(self) -> str:
        """Publish again after another publisher has written to the store: that one stops then."""
        if self._taken_up and not self._record.fenced:
            raise RefusedError("this publisher has not stopped")
        try:
            pointer, keys = await self._ready(take_up=False)
            await pointer.take_over(keys, steady_s())
        except (ObjectStoreError, TrustError) as exc:
            raise RefusedError(str(exc)) from None
        self._took_up(pointer)
        return f"publishes again, from pointer {self._record.sequence + 1} on"

    def _working(self) -> PublisherRecord:
        if self._record.fenced:
            raise RefusedError(f"{self._record.fenced}: `pdns fleet take-over` makes this one publish again")
        if self._record.newest is None:
            raise RefusedError("nothing has been published yet; `pdns fleet status` shows why")
        return self._record

    async def _written(self, *, publish: bool = True) -> None:
        """Have the record on the disk and, if the store can be reached, the pointer in it."""
        await asyncio.to_thread(self._files.store, self._record)
        if publish:
            try:
                await self._point()
            except (ObjectStoreError, TrustError) as exc:
                raise RefusedError(f"it is on record, but not published yet: {exc}") from None

    # Status.

    async def _tell(self) -> None:
        while True:
            self._write_status()
            await asyncio.sleep(TELL_EVERY_S)

    def _write_status(self) -> None:
        status = self.status()
        if replace(status, written_s=0.0) == replace(self._told, written_s=0.0):
            return
        self._told = status
        try:
            fleet_status.write(self._state_dir, status)
        except OSError as exc:
            _log.error("%s", disk_reason(exc, self._files.directory))

    def status(self) -> FleetStatus:
        """What the status file is to say."""
        record, newest = self._record, self._record.newest
        return FleetStatus(
            role="publisher",
            written_s=time.time(),
            node=node_name(self._section),
            sequence=record.sequence,
            release=record.last_release,
            compiled_sha256=newest.compiled if newest is not None else "",
            pointer_issued_s=record.signed_s,
            pointer_expires_s=record.expires_s,
            last_poll_s=record.signed_s,
            last_success_s=record.signed_s,
            last_error=next(iter(self._errors.values()), "") or record.fenced,
            pinned=bool(record.rings.pinned),
            pinned_reason=record.rings.pinned,
            rings=record.rings.releases,
            nodes=self._inventory.status(),
            published=dict(self._published),
            fenced=bool(record.fenced),
            last_published_s=record.signed_s,
        )


def _said(releases: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in releases.items())


def _numbers(releases: dict[int, Release]) -> str:
    return ", ".join(map(str, sorted(releases))) or "none"
