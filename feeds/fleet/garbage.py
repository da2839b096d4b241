"""What a publisher's store holds and nothing needs any more."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from feeds.fleet import packed
from feeds.fleet.object_store import ObjectStore
from feeds.fleet.release import Release, StoredObject

KEPT_DAYS: Final = 14
EVERY_S: Final = 86400.0
_FOLDERS: Final = ("objects", "targets", "metadata", "nodes")
_NUMBERED: Final = re.compile(r"metadata/(\d+)\.(?:snapshot|targets)\.json")
_DAY_S: Final = 86400.0


async def collect_garbage(
    store: ObjectStore, releases: Iterable[Release], targets: Iterable[str], sequence: int, now_s: float
) -> int:
    """Delete what is older than `KEPT_DAYS` and belongs neither to `releases` nor to `targets`, the paths of those in force.

    Returns how many. Root metadata stays for ever, and what the pointer `sequence` leads to. Raises `ObjectStoreError`.
    """
    needed = {packed.path_of(one.sha256) for release in releases for one in objects_of(release)} | set(targets)
    deleted = 0
    for folder in _FOLDERS:
        for path, _, changed_s in await store.list(folder):
            if now_s - changed_s < KEPT_DAYS * _DAY_S or path in needed:
                continue
            numbered = _NUMBERED.fullmatch(path)
            if folder == "metadata" and (numbered is None or int(numbered[1]) >= sequence):
                continue
            await store.delete(path)
            deleted += 1
    return deleted


def objects_of(release: Release) -> list[StoredObject]:
    """Every object that a node may need for `release`."""
    found = [release.policy] if release.policy is not None else []
    for feed in release.feeds:
        found += [feed.full, *(delta.object for delta in feed.deltas)]
    return found
