"""Makes releases of a publisher's live blockset: has its texts exported, uploads what is new, and says what there is."""

from __future__ import annotations

import asyncio
import io
import logging
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from feeds.builder import Builder
from feeds.fleet import packed
from feeds.fleet.export import DELTA, FULL, TEXT
from feeds.fleet.object_store import ObjectStore
from feeds.fleet.published import PublishedFeed, PublisherFiles, PublisherRecord, hash_of
from feeds.fleet.release import MAX_OBJECT_BYTES, Delta, FeedContent, Release, StoredObject
from feeds.fleet.stored import Existing, NotFound, TooLarge
from feeds.jobs import ExportedFeed, ExportFeed, ExportJob
from feeds.live_blockset import LiveBlockset
from pdns.blockset.generations import blocksets_directory
from pdns.files.safe_files import read_state, remove, rename

FULL_EVERY_S: Final = 86400.0
MOST_DELTAS: Final = 64  # of all feeds of a release: each costs every node some 280 bytes a change
LEAST_DELTAS_A_FEED, MOST_DELTAS_A_FEED = 4, 16
_KEPT: Final = re.compile(rf".*-[0-9a-f]{{16}}{re.escape(TEXT)}").fullmatch
_log = logging.getLogger(__name__)


class Making(NamedTuple):
    """What a release is to be made of."""

    live: LiveBlockset
    policy: bytes
    seen_s: Mapping[str, float]  # feed -> when the fetcher first saw what is new in it


class ReleaseMaker:
    """One for each publisher."""

    def __init__(self, state_dir: Path, files: PublisherFiles, record: PublisherRecord) -> None:
        self._state_dir, self._files, self._record = state_dir, files, record
        self._builder = Builder()  # its own: no list waits for an export

    def is_due(self, live: LiveBlockset, policy_sha256: str) -> bool:
        """Whether the newest release does not say what is live."""
        newest = self._record.newest
        if newest is None or newest.policy is None:
            return live.generation > 0
        return live.generation not in (0, self._record.generation) or newest.policy.sha256 != policy_sha256

    async def make(self, store: ObjectStore, making: Making, now_s: float) -> Release | None:
        """Upload what is new, and return the next release; None if nothing is new in it.

        Raises `BuildError`, `ObjectStoreError` and `OSError`; what was uploaded by then is used the next time.
        """
        live, record = making.live, self._record
        shares = {entry.name: _inputs_hash(live, entry.name) for entry in live.inputs}
        job = ExportJob(
            directory=str(self._files.texts),
            blockset=str(blocksets_directory(self._state_dir) / str(live.generation)),
            feeds=[await asyncio.to_thread(self._wanted, name, now_s) for name in shares if self._is_new(name, shares[name])],
        )
        feeds = {name: feed for name, feed in record.feeds.items() if name in shares}
        try:
            exported = await self._builder.export(job)
            for one in exported.feeds:
                feeds[one.name] = await self._published(store, one, shares[one.name], making, now_s, len(shares))
        finally:
            await asyncio.to_thread(_clear, self._files.texts)
        policy = await self._upload_policy(store, making.policy)
        record.feeds, record.generation = feeds, live.generation
        await asyncio.to_thread(self._keep_texts)
        release = Release(
            number=record.last_release + 1,
            created_s=live.created_s,
            compiled=exported.compiled,
            feeds=[feeds[name].content for name in shares],
            policy=policy,
        )
        newest = record.newest
        if newest is not None and _content(newest) == _content(release):
            self._files.store(record)
            return None
        return release

    def _is_new(self, name: str, share: str) -> bool:
        known = self._record.feeds.get(name)
        return known is None or known.share != share

    def _wanted(self, name: str, now_s: float) -> ExportFeed:
        known = self._record.feeds.get(name)
        if known is None:
            return ExportFeed(name=name)
        path = self._files.texts / known.text_file
        content = known.content
        try:
            usable = path.stat().st_size == content.text_bytes
        except OSError:
            usable = False
        if not usable:
            return ExportFeed(name=name, before_sha256=content.text)
        due = now_s - known.full_s >= FULL_EVERY_S or len(_since_full(content)) + 1 > _most_deltas(len(self._record.feeds))
        chain_bytes = sum(delta.object.bytes for delta in _since_full(content))
        return ExportFeed(
            name=name,
            before=str(path),
            before_sha256=content.text,
            most_delta_bytes=0 if due else max(0, content.full.bytes // 2 - chain_bytes),
        )

    async def _published(
        self, store: ObjectStore, one: ExportedFeed, share: str, making: Making, now_s: float, feeds: int
    ) -> PublishedFeed:
        known = self._record.feeds.get(one.name)
        if not one.changed and known is not None:
            return msgspec.structs.replace(known, share=share)
        texts = self._files.texts
        for stored, suffix in ((one.full, FULL), (one.delta, DELTA)):
            if stored is not None:
                await upload(store, stored, await asyncio.to_thread(read_state, texts / f"{one.name}{suffix}", MAX_OBJECT_BYTES))
        text_file = f"{one.name}-{one.text[:16]}{TEXT}"
        await asyncio.to_thread(rename, texts / f"{one.name}{TEXT}", texts / text_file)
        deltas: list[Delta] = []
        if known is not None and one.delta is not None:
            deltas = [*known.content.deltas, Delta(before=known.content.text, after=one.text, object=one.delta)]
        full, full_text, full_s = one.full, one.text, now_s
        if full is None:
            assert known is not None
            full, full_text, full_s = known.content.full, known.content.full_text, known.full_s
        else:
            deltas = deltas[-(_most_deltas(feeds) // 2) :]
        content = FeedContent(
            name=one.name,
            text=one.text,
            text_bytes=one.text_bytes,
            entries=one.entries,
            seen_s=making.seen_s.get(one.name, making.live.created_s),
            full=full,
            full_text=full_text,
            deltas=deltas,
        )
        return PublishedFeed(content=content, share=share, text_file=text_file, full_s=full_s)

    async def _upload_policy(self, store: ObjectStore, policy: bytes) -> StoredObject:
        stored, data = packed_policy(policy)
        newest = self._record.newest
        if newest is None or newest.policy != stored:
            await upload(store, stored, data)
        return stored

    def _keep_texts(self) -> None:
        """Remove texts that no feed has any more."""
        needed = {feed.text_file for feed in self._record.feeds.values()}
        for path in self._files.texts.iterdir():
            if path.name not in needed:
                remove(path)


def packed_policy(policy: bytes) -> tuple[StoredObject, bytes]:
    """The object that a policy bundle is stored as."""
    out = io.BytesIO()
    stored = packed.pack(io.BytesIO(policy), out)
    return stored, out.getvalue()


async def upload(store: ObjectStore, stored: StoredObject, data: bytes) -> None:
    """Have the object in the store, whole. Raises `ObjectStoreError`."""
    path = packed.path_of(stored.sha256)
    try:
        await store.put(path, data, create=True)
    except Existing:  # an earlier attempt, or the same content; or what a power cut or somebody else has left
        with suppress(TooLarge, NotFound):
            if (await store.get(path, stored.bytes))[0] == data:
                return
        await store.put(path, data)


def _most_deltas(feeds: int) -> int:
    return max(LEAST_DELTAS_A_FEED, min(MOST_DELTAS_A_FEED, MOST_DELTAS // max(1, feeds)))


def _since_full(content: FeedContent) -> list[Delta]:
    """The deltas that lead from the whole text to the last one."""
    chain: list[Delta] = []
    text = content.text
    for delta in reversed(content.deltas):
        if text == content.full_text:
            break
        chain.append(delta)
        text = delta.before
    return chain


def _inputs_hash(live: LiveBlockset, name: str) -> str:
    """A hash of what decides the entries of a feed."""
    entry = next(entry for entry in live.inputs if entry.name == name)
    counts = live.feeds.get(name)
    if counts is not None:
        counts = msgspec.structs.replace(counts, unique_entries=0)  # they depend on other feeds
    return hash_of([entry, counts, live.protection, live.held.get(name)])


def _content(release: Release) -> tuple[object, ...]:
    """What nodes would notice."""
    texts = [(feed.name, feed.text) for feed in release.feeds]
    return texts, release.compiled, release.policy


def _clear(directory: Path) -> None:
    """Remove what the child has written, but for texts that have their names."""
    for path in directory.iterdir():
        if not _KEPT(path.name):
            remove(path)
