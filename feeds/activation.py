"""The live blockset on the disk: taken up at the start, checked for damage, replaced by the next generation."""

from __future__ import annotations

import asyncio
import logging
import shutil
from contextlib import suppress
from pathlib import Path

import msgspec

from feeds.builder import BuildError
from feeds.files import disk_reason
from feeds.live_blockset import LiveBlockset
from pdns.blockset import generations
from pdns.blockset.annotations import Annotations
from pdns.blockset.layout import FeedEntry, feeds_in
from pdns.blockset.reader import Blockset
from pdns.errors import BlocksetError, OtherFormatError
from pdns.files import records, safe_files
from pdns.files.records import DamagedError

RECORD = "compiled.json"
MAX_RECORD_BYTES = 256 * 1024 * 1024
_log = logging.getLogger(__name__)


class Activation:
    """The one place that changes which generation `<state>/blocksets/current` names."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._record = state_dir / "feeds" / RECORD
        self._highest = 0
        self._files_seen: tuple[object, ...] = ()  # appearance of the live blockset's files when they were last found whole
        self._record_seen: tuple[int, ...] = ()  # appearance of the record when it was last read or written
        self._damaged = 0  # a generation whose files are damaged, or of another format
        self._keep_damaged = False  # it is of another format: that version of the program may come back
        self.inputs_unknown = False  # the live blockset may have been made of something else than `live.inputs`
        self.workers_have_it = True  # workers may have a blockset in memory that is no longer on the disk
        self.live = LiveBlockset()

    def resume(self, highest_seen: int, *, in_memory: int = 0) -> None:
        """Take up the blockset that an earlier process left live, if it is whole. New generations are above `highest_seen`.

        `in_memory`: the generation that workers have in memory, whatever is on the disk.
        """
        for unfinished in generations.blocksets_directory(self._state_dir).glob(".*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        generation = generations.current_generation(self._state_dir)
        self._highest = max(highest_seen, generation)
        self.inputs_unknown = generation > 0
        if not generation:
            return
        record = self._read_record(generation)
        self._record_seen = safe_files.appearance(self._record)
        files_seen = self._appearance(generation)
        try:
            found = self._open(generation)
        except OtherFormatError as exc:
            _log.warning("blockset %d, of another version of the program, is made anew: %s", generation, exc)
            self._damaged, self.workers_have_it, self._keep_damaged = generation, in_memory == generation, True
            names = feeds_in(self.directory(generation))
            feeds = {name: FeedEntry(name=name, source="", category="") for name in names}
            self.live = msgspec.structs.replace(record or LiveBlockset(feeds=feeds), generation=0)
            return
        except BlocksetError as exc:
            _log.error("blockset %d, of the last run, is damaged and is made anew: %s", generation, exc)
            self._damaged, self.workers_have_it = generation, in_memory == generation
            if record is not None:
                self.live = msgspec.structs.replace(record, generation=0)
            return
        self._files_seen = files_seen
        self.live = LiveBlockset(
            generation=generation,
            entries=found.entries,
            created_s=found.created_s,
            next_expiry_s=found.next_expiry_s,
            feeds=found.feeds,
        )
        if record is not None:
            self.live, self.inputs_unknown = record, False

    def distrust(self, generation: int) -> None:
        """Treat that generation as damaged, however it looks here: a reader could not use it."""
        if generation == self.live.generation:
            self._damaged, self.inputs_unknown = generation, True

    def mend_record(self) -> None:
        """Write the record of the live blockset again if the file has changed on the disk. Raises `OSError`."""
        if self.live.generation and not self.inputs_unknown and safe_files.appearance(self._record) != self._record_seen:
            _log.error("%s has changed on the disk: it is written again", self._record)
            self._write_record(self.live)

    async def check(self) -> bool:
        """Whether the live blockset is damaged on the disk and must be made anew.

        Reads the files only when their appearance has changed. Not to be called while a blockset is being built.
        """
        generation = self.live.generation
        if not generation:
            return False
        if self._damaged == generation:
            return True
        files_seen = self._appearance(generation)
        if files_seen == self._files_seen:
            return False
        try:
            await asyncio.to_thread(self._open, generation)
        except BlocksetError as exc:
            if generation != self.live.generation:
                return False
            _log.error("blockset %d is damaged on the disk and is made anew: %s", generation, exc)
            self._damaged, self.inputs_unknown = generation, True
            return True
        if generation == self.live.generation:
            self._files_seen = files_seen
        return False

    def whole(self) -> tuple[int, dict[str, FeedEntry]]:
        """A blockset that is whole on the disk, the live one if possible: its generation and its feeds. Generation 0: none is."""
        if not self._damaged:
            return self.live.generation, self.live.feeds
        for generation in sorted(generations.all_generations(self._state_dir), reverse=True):
            with suppress(BlocksetError):
                found = Blockset.open(self.directory(generation))
                Annotations(found)
                return generation, found.feeds
        return 0, {}

    def may_have_listed(self, feed: str) -> bool:
        """Whether the last blockset had names of `feed`, as far as is known."""
        return feed in self.live.feeds or (self._damaged > 0 and not self.live.feeds)

    def directory(self, generation: int) -> Path:
        return generations.blocksets_directory(self._state_dir) / str(generation)

    def next_generation(self) -> int:
        """A number above that of every generation so far."""
        return max(self._highest + 1, generations.next_generation(self._state_dir))

    def go_live(self, built: Path, live: LiveBlockset) -> None:
        """Make the blockset in `built`, described by `live`, the live one. Raises `BuildError`; nothing changes then."""
        try:
            self._write_record(live)  # first: a record whose generation is not current is ignored
            damaged = 0 if self._keep_damaged else self._damaged
            generations.publish(self._state_dir, built, live.generation, damaged=damaged)
        except BlocksetError as exc:
            raise BuildError(str(exc)) from None
        except OSError as exc:
            raise BuildError(disk_reason(exc, self._state_dir)) from None
        self._highest = live.generation
        self.live, self.inputs_unknown, self.workers_have_it = live, False, True
        self._damaged, self._keep_damaged = 0, False
        self._files_seen = self._appearance(live.generation)
        names = f"{live.entries:,}"
        _log.info("blockset %d: %s names, feeds: %d, built in %.1f s", live.generation, names, len(live.inputs), live.build_s)

    def _open(self, generation: int) -> Blockset:
        """Read the current blockset, which must be of that generation. Raises `BlocksetError`."""
        found = Blockset.open(self.directory(generation))
        Annotations(found)
        if generations.current_generation(self._state_dir) != generation:
            raise BlocksetError(f"{generations.CURRENT} does not name it")
        return found

    def _appearance(self, generation: int) -> tuple[object, ...]:
        return generations.appearance(self._state_dir, generation)

    def _read_record(self, generation: int) -> LiveBlockset | None:
        try:
            record = records.decode(safe_files.read_state(self._record, MAX_RECORD_BYTES), LiveBlockset)
        except (OSError, DamagedError):
            return None
        return record if record.generation == generation else None

    def _write_record(self, live: LiveBlockset) -> None:
        safe_files.write_whole(self._record, records.encode(live))
        self._record_seen = safe_files.appearance(self._record)
