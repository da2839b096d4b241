"""Hits of each feed and hashes of the listed names that clients asked for, kept over restarts for reports.

The supervisor writes `<state>/hits.msgpack` every minute. Losing a minute is acceptable: the file shows which feeds are useful,
not every event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from pdns.files import records
from pdns.files.records import DamagedError, later_version
from pdns.files.safe_files import appearance
from pdns.telemetry.counters import Counters

FILE_NAME: Final = "hits.msgpack"
MAX_BYTES: Final = 64 * 1024 * 1024
WRITE_EVERY_S: Final = 60.0
FORMAT: Final = 1
MAX_NAMES: Final = 100_000  # the ones not met for longest are forgotten
_DAY_S: Final = 86400
_FAMILIES: Final = {"feed_hits_total": 0, "feed_only_hits_total": 1}


class FeedHits(msgspec.Struct, frozen=True, array_like=True):
    """Counts of one feed since `Hits.since_s`."""

    hits: int = 0  # queries for what it lists
    only: int = 0  # those that no other feed lists


class Hits(msgspec.Struct, frozen=True, kw_only=True):
    """The file."""

    since_s: float = 0.0  # seconds since the epoch
    written_s: float = 0.0
    feeds: dict[str, FeedHits] = {}
    version: int = FORMAT
    names: dict[int, int] = {}  # `pdns.telemetry.block_ring.name_hash` -> the day since the epoch on which it was last met


def read(state_dir: Path) -> Hits | None:
    """The last written content; None without a readable file."""
    try:
        return records.read(state_dir / FILE_NAME, parse, MAX_BYTES)
    except (OSError, DamagedError):
        return None


def parse(raw: bytes) -> Hits:
    """The content of the file. Raises `DamagedError`."""
    try:
        hits = msgspec.msgpack.decode(raw, type=Hits)
    except (ValueError, RecursionError) as exc:
        raise DamagedError(str(exc)) from None
    if hits.version > FORMAT:
        raise DamagedError(later_version(hits.version))
    return hits


class HitBook:
    """The only writer. `now_s`: seconds since the epoch."""

    def __init__(self, state_dir: Path, now_s: float) -> None:
        """Continues from the content of the file."""
        self._path = state_dir / FILE_NAME
        self._since_s, self._before, self._names = now_s, dict[str, FeedHits](), dict[int, int]()
        self._unread = False  # the file is there and cannot be read
        self._take_up()

    def _take_up(self) -> None:
        before, unread = records.recover(self._path, parse, MAX_BYTES)
        self._unread, self._looks = bool(unread), appearance(self._path)
        if before is not None:
            self._since_s, self._before = before.since_s, before.feeds
            self._names = {**before.names, **self._names}

    def saw(self, hashes: Iterable[int], now_s: float) -> None:
        """These names were met."""
        day = int(now_s // _DAY_S)
        for listed_hash in hashes:
            if self._names.get(listed_hash) != day:
                self._names.pop(listed_hash, None)
                self._names[listed_hash] = day
        while len(self._names) > MAX_NAMES:
            del self._names[next(iter(self._names))]

    def state(self, counters: Sequence[Counters], now_s: float) -> Hits:
        """Everything, including the counts of `counters` since this process began."""
        counted: Counter[tuple[str, int]] = Counter()
        for memory in counters:
            for family, labels, value in memory.items():
                if family in _FAMILIES:
                    counted[labels[0], _FAMILIES[family]] += value
        feeds = {
            feed: FeedHits(before.hits + counted[feed, 0], before.only + counted[feed, 1])
            for feed in dict.fromkeys([*self._before, *(feed for feed, _ in counted)])
            for before in [self._before.get(feed, FeedHits())]
        }
        return Hits(since_s=self._since_s, written_s=now_s, feeds=feeds, names=dict(self._names))

    def write(self, hits: Hits) -> None:
        """Replace the file. Raises `OSError`. An unreadable file stays; its content is added once it can be read."""
        if self._unread:
            if appearance(self._path) != self._looks:
                self._take_up()
            return
        records.store(self._path, msgspec.msgpack.encode(hits), synced=False)
