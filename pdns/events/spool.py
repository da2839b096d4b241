"""The spool: records on the disk, between the process that collects them and the sinks that they are delivered to.

Segments `<number>.seg` (see `pdns.events.spool_segments`) are bounded in bytes together; the oldest goes first. Each sink reads
at its own position. A process that ends at any moment loses nothing that `append` has taken; a machine that loses its power loses
what was not synced.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from pdns.event_store.event import Record
from pdns.events.spool_segments import MAGIC, SpoolChunk, SpoolPosition, encode_all, is_of_other_version, queries_of, read_chunk
from pdns.files.safe_files import create, make_directory, open_state, put_aside, remove

LEAST_BYTES: Final = 1024 * 1024  # that a spool may be bounded to
_LEAST_SEGMENT_BYTES: Final = 64 * 1024
_MOST_SEGMENT_BYTES: Final = 8 * 1024 * 1024
_SEGMENTS: Final = 16  # that the bound is divided into
_MAX_AGE_S: Final = 3600.0  # of the segment that is written, once all of it is read
_NAME: Final = re.compile(r"(\d{16})\.seg")
_log = logging.getLogger(__name__)


class SpoolRead(NamedTuple):
    """Records, and the position after them."""

    records: list[Record]
    next: SpoolPosition
    damaged: int = 0  # records that could not be read on the way


class Spool:
    """The spool in one directory, which this object alone writes. No method raises."""

    def __init__(
        self,
        directory: Path,
        max_bytes: int,
        before_drop: Callable[[int], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`before_drop` is called with the number of a segment that is about to be removed unread, because the spool is full."""
        self.directory = directory
        self.before_drop = before_drop
        self.lost_records: Counter[str] = Counter()  # by reason: "disk", "too_long"
        self.lost_queries: Counter[str] = Counter()  # of these records
        self._clock = clock
        self._sizes: dict[int, int] = {}  # bytes of each segment, the oldest first
        self._damaged: set[int] = set()  # segments that are known to be
        self._next = 1  # the number of the next segment
        self._fd: int | None = None  # of the last segment; None: the next record begins one
        self._since_s = 0.0
        self._is_failing = False
        self.set_max_bytes(max_bytes)
        self._look()

    def set_max_bytes(self, max_bytes: int) -> None:
        """Bound the spool to `max_bytes`, from the next record on."""
        self._max_bytes = max(max_bytes, LEAST_BYTES)
        self._segment_bytes = min(max(self._max_bytes // _SEGMENTS, _LEAST_SEGMENT_BYTES), _MOST_SEGMENT_BYTES)

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(self._sizes.values())

    @property
    def oldest(self) -> SpoolPosition:
        """The position of the oldest record."""
        return SpoolPosition(next(iter(self._sizes), self._next), 0)

    @property
    def end(self) -> SpoolPosition:
        """The position after the last record."""
        if not self._sizes:
            return SpoolPosition(self._next, 0)
        last = next(reversed(self._sizes))
        return SpoolPosition(last, self._sizes[last])

    def append(self, records: Sequence[Record]) -> None:
        """Add records. Those that the disk does not take, or that are too long, are counted as lost."""
        encoded, too_long = encode_all(records)
        if too_long:
            _log.error("%d records are too long for the spool", too_long)
            self.lost_records["too_long"] += too_long
            self.lost_queries["too_long"] += sum(map(queries_of, records))
            records = [record for record in records if encode_all([record])[0]]
            self.lost_queries["too_long"] -= sum(map(queries_of, records))
        at = 0
        while at < len(encoded):
            end, size = at, 0
            while end < len(encoded) and (end == at or size + len(encoded[end]) <= self._segment_bytes // 2):
                size += len(encoded[end])
                end += 1
            self._write(b"".join(encoded[at:end]), records[at:end])
            at = end

    def read(self, position: SpoolPosition, most: int) -> SpoolRead:
        """Up to `most` records from `position` on. Damaged places are skipped; no record comes twice.

        There are `most` unless the position returned is the end.
        """
        found: list[Record] = []
        damaged = 0
        while True:
            segment, offset = position = self._there(position)
            if segment not in self._sizes:
                return SpoolRead(found, position, damaged)
            chunk = self._chunk(segment, offset, most - len(found))
            found += chunk.records
            damaged += chunk.damaged
            position = SpoolPosition(segment, chunk.next)
            if chunk.at_end and (following := self._after(segment)) is not None:
                position = SpoolPosition(following, 0)
            if len(found) >= most or position == self.end:
                return SpoolRead(found, position, damaged)

    def rest_of(self, position: SpoolPosition, segment: int) -> Iterator[Record]:
        """The records of one segment from `position` on; all of them if it is in an earlier segment."""
        offset = position.offset if position.segment == segment else 0
        while position.segment <= segment and segment in self._sizes:
            chunk = self._chunk(segment, offset, 4096)
            yield from chunk.records
            if chunk.at_end:
                return
            offset = chunk.next

    def checked(self, position: SpoolPosition) -> SpoolPosition:
        """`position` as a place of this spool. The oldest record, if it belongs to an earlier spool that was removed."""
        if position.segment in self._sizes:  # which is shorter after a power cut
            return SpoolPosition(position.segment, min(position.offset, self._sizes[position.segment]))
        return self._there(position) if position <= self.end else self.oldest

    def release(self, position: SpoolPosition) -> None:
        """Remove the segments before `position`; all readers have read them."""
        for segment in [number for number in self._sizes if number < position.segment]:
            self._remove(segment)  # never the one that is written: positions are within the spool
        if position == self.end and self._fd is not None and self._clock() - self._since_s > _MAX_AGE_S:
            self._roll()
            self._remove(position.segment)

    def descriptor(self) -> int | None:
        """A descriptor to sync what `append` has written; the caller closes it. None: there is nothing to sync."""
        try:
            return None if self._fd is None else os.dup(self._fd)
        except OSError:
            return None

    def close(self) -> None:
        """Sync, and write no more."""
        if self._fd is not None:
            with suppress(OSError):
                os.fdatasync(self._fd)
        self._roll()

    def _look(self) -> None:
        """Take up the segments of an earlier process."""
        try:
            make_directory(self.directory, 0o750)
            names = sorted(path.name for path in self.directory.iterdir())
        except OSError as exc:
            _log.error("the spool %s cannot be read: %s", self.directory, exc)
            return
        for name in names:
            if found := _NAME.fullmatch(name):
                self._next = int(found[1]) + 1
                with suppress(OSError):
                    if self._put_aside(self.directory / name):
                        continue
                with suppress(OSError):
                    self._sizes[int(found[1])] = (self.directory / name).lstat().st_size

    def _put_aside(self, path: Path) -> bool:
        """Keep a segment of another version of the program for that version. Raises `OSError`."""
        with open_state(path) as file:
            if not is_of_other_version(file):
                return False
        _log.error("%s is of another version of the program: its records wait for that version", path)
        put_aside(path)
        return True

    def _write(self, data: bytes, records: Sequence[Record]) -> None:
        while self._sizes and self.size_bytes + len(data) + len(MAGIC) > self._max_bytes:
            self._drop()
        try:
            if self._fd is not None and self._sizes[self.end.segment] + len(data) > self._segment_bytes:
                self._roll()
            if self._fd is None:
                self._begin()
            self._put(data)
        except OSError as exc:
            self._lose(records, exc)
            return
        if self._is_failing:
            self._is_failing = False
            _log.warning("events are written to the spool again")

    def _begin(self) -> None:
        number = self._next
        with create(self._path(number), 0o640) as file:
            self._fd = os.dup(file.fileno())
        self._next += 1
        self._sizes[number] = 0
        self._since_s = self._clock()
        self._put(MAGIC)

    def _put(self, data: bytes) -> None:
        """Write whole, or leave the segment as it was. Raises `OSError`."""
        assert self._fd is not None
        segment, size = self.end
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self._fd, data[written:], size + written)
        except OSError:
            try:
                os.ftruncate(self._fd, size)
            except OSError:
                self._roll()
            if not size:
                self._roll()
                self._remove(segment)
            raise
        self._sizes[segment] = size + written

    def _lose(self, records: Sequence[Record], exc: OSError) -> None:
        self.lost_records["disk"] += len(records)
        self.lost_queries["disk"] += sum(map(queries_of, records))
        if not self._is_failing:
            self._is_failing = True
            _log.error("events are lost: the spool cannot be written: %s", exc)

    def _roll(self) -> None:
        if self._fd is not None:
            with suppress(OSError):
                os.close(self._fd)
            self._fd = None

    def _drop(self) -> None:
        segment = self.oldest.segment
        if segment == self.end.segment:
            self._roll()
        self.before_drop(segment)
        self._remove(segment)

    def _remove(self, segment: int) -> None:
        with suppress(OSError):
            remove(self._path(segment))
        del self._sizes[segment]
        self._damaged.discard(segment)

    def _there(self, position: SpoolPosition) -> SpoolPosition:
        if position.segment in self._sizes:
            return position
        following = self._after(position.segment)
        return self.end if following is None else SpoolPosition(following, 0)

    def _after(self, segment: int) -> int | None:
        return next((number for number in self._sizes if number > segment), None)

    def _chunk(self, segment: int, offset: int, most: int) -> SpoolChunk:
        size = self._sizes[segment]
        try:
            with open_state(self._path(segment)) as file:
                chunk = read_chunk(file, offset, size, most)
        except OSError as exc:
            _log.error("a part of the spool cannot be read: %s", exc)
            chunk = SpoolChunk([], size, 1, True)
        if chunk.damaged:
            if segment not in self._damaged:
                self._damaged.add(segment)
                _log.error("%s is damaged after byte %d: records are lost", self._path(segment), offset)
            if segment == self.end.segment:
                self._roll()  # a reader that starts again skips the rest of a damaged segment
        return chunk

    def _path(self, segment: int) -> Path:
        return self.directory / f"{segment:016}.seg"
