"""Brings the texts of a release onto this disk: by the shortest chain of differences from what is here, else whole.

Every object is compared with the hash and the size in the signed release before it is unpacked, every text with its hash after.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from feeds.fleet import line_diff
from feeds.fleet.line_diff import BadDiff
from feeds.fleet.node_record import NodeDirectory, policy_text, texts_of
from feeds.fleet.packed import BadObject, path_of, unpack
from feeds.fleet.release import Delta, FeedContent, Release, StoredObject
from feeds.fleet.stored import ObjectStoreError
from pdns.errors import PdnsError
from pdns.files import safe_files

MAX_POLICY_BYTES: Final = 4 * 1024 * 1024
_CHUNK_BYTES: Final = 1024 * 1024
_log = logging.getLogger(__name__)


class UnusableRelease(PdnsError):
    """A release whose texts cannot be made here: objects are missing, damaged or not what they should be."""


class ObjectSource(Protocol):
    """Where objects come from."""

    async def object(self, path: str, size_bytes: int) -> bytes: ...


class Step(NamedTuple):
    """One object on the way to a text. Without `before` it is the text itself."""

    object: StoredObject
    before: str
    after: str


def chains(feed: FeedContent, here: Collection[str]) -> list[list[Step]]:
    """The ways to the text of `feed`, the cheapest first: from texts that are `here`, and from the full one."""
    if feed.text in here:
        return []
    by_result: dict[str, Delta] = {delta.after: delta for delta in feed.deltas}
    ways: list[list[Step]] = []
    steps: list[Step] = []
    at = feed.text
    for _ in range(len(feed.deltas) + 1):
        if at in here:
            ways.append(list(reversed(steps)))
            break
        if at == feed.full_text:
            ways.append([Step(feed.full, "", at), *reversed(steps)])
        if (delta := by_result.get(at)) is None:
            break
        steps.append(Step(delta.object, delta.before, delta.after))
        at = delta.before
    return sorted(ways, key=lambda way: sum(step.object.bytes for step in way))


class Applier:
    """Makes texts in a node's directory."""

    def __init__(self, directory: NodeDirectory, source: ObjectSource) -> None:
        self._directory, self._source = directory, source

    async def bring(self, release: Release) -> None:
        """Have every text of `release` here, whole and on the disk.

        Raises `ObjectStoreError` when the store does not answer, `UnusableRelease` and `OSError`.

        What was made stays for the next try.
        """
        in_force = self._directory.release(self._directory.record.release)
        used = texts_of(in_force) if in_force is not None else set()
        for feed in release.feeds:
            if feed.text not in used or not self._directory.has(feed.text):
                await self._text(feed)
        if release.policy is not None and not await asyncio.to_thread(self._directory.has, policy_text(release)):
            await self._policy(release.policy)

    async def _text(self, feed: FeedContent) -> None:
        if await asyncio.to_thread(self._directory.is_sound, feed.text):
            return
        here = {text for delta in feed.deltas for text in (delta.before, delta.after) if self._directory.has(text)}
        here |= {feed.full_text} if self._directory.has(feed.full_text) else set()
        why: Exception | None = None
        for way in chains(feed, here - {feed.text}):
            try:
                for step in way:
                    await self._step(step)
            except (UnusableRelease, ObjectStoreError) as exc:
                why = why or exc
                _log.warning("fleet: feed %s: %s; another way is tried", feed.name, exc)
            else:
                return
        if isinstance(why, ObjectStoreError):
            raise why
        raise UnusableRelease(f"feed {feed.name}: {why or 'there is no way from what is here to its text'}")

    async def _step(self, step: Step) -> None:
        if step.before and self._directory.has(step.after):
            return  # made on an earlier try, and read when it is used
        data = await self._source.object(path_of(step.object.sha256), step.object.bytes)
        await asyncio.to_thread(self._make, step, data)

    def _write(self, step: Step, data: bytes, into: Path) -> str:
        with safe_files.create(into, 0o600) as out:
            if step.before:
                with safe_files.open_state(self._directory.text(step.before)) as before:
                    most_bytes = os.fstat(before.fileno()).st_size + step.object.unpacked_bytes
                    sha256 = line_diff.apply(before, unpack(data, step.object), out, most_bytes).sha256
            else:
                digest, unpacked = hashlib.sha256(), unpack(data, step.object)
                while chunk := unpacked.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    out.write(chunk)
                sha256 = digest.hexdigest()
            out.flush()
            os.fsync(out.fileno())
        return sha256

    def _make(self, step: Step, data: bytes) -> None:
        into = self._directory.new_text()
        try:
            sha256 = self._write(step, data, into)
            if step.after not in ("", sha256):
                raise UnusableRelease(f"object {step.object.sha256[:16]}: it gives another text than the release says")
            self._directory.place(into, step.after or step.object.sha256)
        except (BadObject, BadDiff) as exc:
            raise UnusableRelease(str(exc)) from None
        finally:
            into.unlink(missing_ok=True)

    async def _policy(self, policy: StoredObject) -> None:
        if policy.unpacked_bytes > MAX_POLICY_BYTES:
            raise UnusableRelease(f"its policy is larger than {MAX_POLICY_BYTES:,} bytes")
        data = await self._source.object(path_of(policy.sha256), policy.bytes)
        await asyncio.to_thread(self._make, Step(policy, "", ""), data)
