"""The signed pointer of a fleet: who may write the next one, and how it gets to the store in an order that survives a kill.

Snapshot N is created, never replaced: of two publishers one gets number N, and the other stops. The timestamp comes last.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Mapping
from typing import Final

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Targets
from tuf.api.serialization import SerializationError

from feeds.fleet.object_store import ObjectStore
from feeds.fleet.published import PendingPointer, PublisherFiles, PublisherRecord, hash_of
from feeds.fleet.release import MAX_DOCUMENT_BYTES, BadDocument, Release, Urgent, decode
from feeds.fleet.rings import RingReleases, Rings
from feeds.fleet.signing import TIMESTAMP_PATH, PublisherKeys, SignedPointer, root_path, snapshot_path, targets_path
from feeds.fleet.signing import target_path as path_of_target
from feeds.fleet.stored import Existing, NotFound, NotModified, ObjectStoreError
from pdns.state.fleet_status import RINGS

MAX_METADATA_BYTES: Final = 1024 * 1024
_SNAPSHOT: Final = re.compile(r"metadata/([0-9]{1,15})\.snapshot\.json")
_log = logging.getLogger(__name__)


class FencedError(ObjectStoreError):
    """Another publisher writes to this store."""


class PointerWriter:
    """Writes one pointer after the other. Methods raise `ObjectStoreError` and `OSError`."""

    def __init__(self, store: ObjectStore, files: PublisherFiles, record: PublisherRecord) -> None:
        self._store, self._files, self._record = store, files, record
        self._lock = asyncio.Lock()
        self.adopted: Urgent | None = None  # local entries and kill switches that were found in the store

    async def take_up(self, keys: PublisherKeys, now_s: float) -> None:
        """Compare the store with the record: go on where it stands, take over an idle store, or raise `FencedError`."""
        async with self._lock:
            await self._take_up(keys, now_s)

    async def write(self, keys: PublisherKeys, targets: Mapping[str, bytes], now_s: float, valid_s: float) -> bool:
        """Publish `targets`, by the name of each. True if they differ from what was published."""
        async with self._lock:
            record = self._record
            await self._check_pointer(keys)
            if record.pending is not None:
                await self._carry_out(record.pending)
            wanted = targets_hash(targets)
            changed = wanted != record.targets_hash
            lacking = set(range(record.root_version + 1, keys.root.version)) - keys.versions.keys()
            if lacking and record.root_version:
                raise ObjectStoreError(f"keys_dir has no {min(lacking)}.root.json: nodes need every version of it, copy it there")
            sequence = record.sequence + 1
            signed = keys.sign(sequence, targets, now_s, valid_s)
            new = {number: data for number, data in keys.versions.items() if number > record.root_version}
            roots = {root_path(number): data for number, data in new.items()}
            record.pending = PendingPointer(
                sequence=sequence,
                files=roots | {path_of_target(name, data): data for name, data in targets.items()},
                snapshot=signed.snapshot,
                targets=signed.targets,
                timestamp=signed.timestamp,
                targets_hash=wanted,
                signed_s=now_s,
                expires_s=float(int(now_s) + int(valid_s)),
            )
            self._files.store(record)
            await self._carry_out(record.pending)
            record.root_version = keys.root.version
            self._files.store(record)
            return changed

    async def _carry_out(self, pending: PendingPointer) -> None:
        record, store = self._record, self._store
        for path, data in pending.files.items():
            await store.put(path, data)
        try:
            await store.put(snapshot_path(pending.sequence), pending.snapshot, create=True)
        except Existing:
            found, _ = await store.get(snapshot_path(pending.sequence), MAX_METADATA_BYTES)
            if found != pending.snapshot:
                record.pending = None
                self._fence(f"another publisher has written number {pending.sequence} to the store")
        await store.put(targets_path(pending.sequence), pending.targets)
        await store.put(TIMESTAMP_PATH, pending.timestamp)
        record.sequence, record.targets_hash = pending.sequence, pending.targets_hash
        record.timestamp_sha256 = _sha256(pending.timestamp)
        record.signed_s, record.expires_s, record.pending = pending.signed_s, pending.expires_s, None
        self._files.store(record)

    async def _check_pointer(self, keys: PublisherKeys) -> None:
        """Raise `FencedError` if the pointer in the store is a newer one than ours."""
        found, record = await self._pointer(keys), self._record
        if found is None and record.timestamp_sha256:
            record.forget_store()
            raise ObjectStoreError("the pointer is gone from the store: everything is written to it again")
        ours = {record.timestamp_sha256, *([_sha256(record.pending.timestamp)] if record.pending is not None else [])}
        if isinstance(found, SignedPointer) and found.sequence >= record.sequence and found.sha256 not in ours:
            self._fence(f"another publisher has written pointer {found.sequence} to the store")

    async def _take_up(self, keys: PublisherKeys, now_s: float) -> None:
        record = self._record
        found = await self._pointer(keys)
        if found is None:
            if record.sequence:
                _log.error("fleet: the store has no pointer any more: everything is written to it again")
                record.forget_store()
        elif isinstance(found, bytes):
            if not record.sequence:
                raise ObjectStoreError(
                    f"{TIMESTAMP_PATH}: not signed by a key in keys_dir: is this the store of another fleet? "
                    "If it is of this one, and its online key was replaced, `pdns fleet take-over` goes on"
                )
        elif record.pending is not None and found.sha256 == _sha256(record.pending.timestamp):
            pass  # it was written before we were killed
        elif found.sequence < record.sequence:
            _log.error("fleet: the store has an earlier pointer, number %d: everything is written to it again", found.sequence)
            record.forget_store()
        elif found.sha256 != record.timestamp_sha256:
            if record.sequence:
                self._fence(f"another publisher has written pointer {found.sequence} to the store")
            await self._adopt(keys, found, now_s)
        if record.pending is not None:
            await self._carry_out(record.pending)
        if not await self._is_there(root_path(keys.root.version)):
            record.root_version = 0  # all versions are written again: without each of them nodes do not follow
        self._files.store(record)

    async def _adopt(self, keys: PublisherKeys, pointer: SignedPointer, now_s: float) -> None:
        """Go on from what another publisher, or this one with another state directory, has published."""
        record = self._record
        record.forget_store()
        record.sequence, record.timestamp_sha256, record.expires_s = pointer.sequence, pointer.sha256, pointer.expires_s
        record.rings = Rings()
        raw, _ = await self._store.get(targets_path(pointer.sequence), MAX_METADATA_BYTES)
        try:
            assert isinstance(raw, bytes)
            metadata = Metadata[Targets].from_bytes(raw)
            keys.root.verify_delegate("targets", metadata.signed_bytes, metadata.signatures)
            rings = {}
            for name in RINGS:
                info = metadata.signed.targets[f"release/{name}.json"]
                data, _ = await self._store.get(f"targets/release/{info.hashes['sha256']}.{name}.json", MAX_DOCUMENT_BYTES)
                assert isinstance(data, bytes)
                info.verify_length_and_hashes(data)
                release = decode(data, Release)
                record.add(release)
                rings[name] = RingReleases(release.number, {release.number: now_s})
            urgent = metadata.signed.targets["urgent.json"]
            data, _ = await self._store.get(f"targets/{urgent.hashes['sha256']}.urgent.json", MAX_DOCUMENT_BYTES)
            assert isinstance(data, bytes)
            urgent.verify_length_and_hashes(data)
            self.adopted = decode(data, Urgent)
            record.last_release = max(record.releases)
            record.rings = Rings(ring=rings)
        except (SerializationError, RepositoryError, ValueError, BadDocument, KeyError, NotFound) as exc:
            _log.error("fleet: what was published before cannot be read: %s", exc)
            record.releases, record.rings = {}, Rings()
            record.last_release = pointer.sequence  # no release has a higher number
        _log.warning("fleet: goes on from pointer %d, release %d, in the store", pointer.sequence, record.last_release)

    async def take_over(self, keys: PublisherKeys, now_s: float) -> None:
        """Publish again where another publisher has written."""
        async with self._lock:
            record = self._record
            found = await self._pointer(keys)
            record.fenced, record.pending = "", None
            if isinstance(found, SignedPointer) and found.sha256 != record.timestamp_sha256:
                before = record.sequence, record.last_release
                await self._adopt(keys, found, now_s)
                record.sequence, record.last_release = max(before[0], record.sequence), max(before[1], record.last_release)
            elif isinstance(found, bytes):  # of a key that was replaced
                record.sequence = max(record.sequence, await self._highest())
                record.last_release = max(record.last_release, record.sequence)  # no release has a higher number
            while await self._is_there(snapshot_path(record.sequence + 1)):
                record.sequence += 1  # a number without a pointer: its publisher was stopped between the two
            self._files.store(record)

    async def _highest(self) -> int:
        """The highest sequence number that the store has a snapshot of; 0: none."""
        paths = [path for path, _, _ in await self._store.list("metadata")]
        numbers = [int(found[1]) for path in paths if (found := _SNAPSHOT.fullmatch(path))]
        return max(numbers, default=0)

    async def _is_there(self, path: str) -> bool:
        try:
            await self._store.get(path, MAX_METADATA_BYTES)
        except NotFound:
            return False
        return True

    async def _pointer(self, keys: PublisherKeys) -> SignedPointer | bytes | None:
        """The store's pointer; its bytes when these keys did not sign it; None when there is none."""
        try:
            found, _ = await self._store.get(TIMESTAMP_PATH, MAX_METADATA_BYTES)
        except NotFound:
            return None
        assert not isinstance(found, NotModified)
        return keys.pointer(found) or found

    def _fence(self, why: str) -> None:
        self._record.fenced = why
        self._files.store(self._record)
        raise FencedError(f"{why}: this one has stopped; `pdns fleet take-over` makes it publish again")


def targets_hash(targets: Mapping[str, bytes]) -> str:
    """A hash of what the targets are."""
    return hash_of({name: _sha256(data) for name, data in targets.items()})


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
