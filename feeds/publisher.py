"""Which blockset is live, and the making of the next one when it no longer says what the last-good copies say."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec

from feeds.builder import Builder, BuildError
from feeds.files import disk_reason
from feeds.jobs import Compile, Part
from feeds.protected_names import Protection
from pdns.blockset import generations
from pdns.blockset.annotations import Annotations
from pdns.blockset.layout import FeedEntry, feeds_in
from pdns.blockset.reader import Blockset
from pdns.clock import steady_s
from pdns.config.schema import Feed
from pdns.errors import BlocksetError, OtherFormatError
from pdns.files import records, safe_files
from pdns.files.records import DamagedError
from pdns.files.safe_files import write_whole
from pdns.state.feed_status import HeldNames

RECORD = "compiled.json"
COMPILED = "compiled"  # in the directory that a compiler may write to
MAX_RECORD_BYTES = 256 * 1024 * 1024
EXPIRY_EVERY_S = 300.0  # names that are over leave at most so often, when nothing else changes
MAX_DAMAGED_IN_A_ROW = 3  # a copy that was replaced while it waited to be compiled counts as one
_log = logging.getLogger(__name__)


class Input(msgspec.Struct, frozen=True):
    """What decides one feed's share of a blockset."""

    name: str
    source: str
    category: str
    sha256: str
    reader: str
    decided: str = ""  # hash of what administrators decided about its names


class LiveBlockset(msgspec.Struct, frozen=True, kw_only=True):
    """The live blockset, as `feeds/compiled.json` remembers it. Generation 0: there is none."""

    generation: int = 0
    inputs: list[Input] = []
    entries: int = 0
    build_s: float = 0.0
    created_s: float = 0.0
    next_expiry_s: float = 0.0  # when the first of its names is to leave; 0: none
    feeds: dict[str, FeedEntry] = {}
    protection: Protection | None = None
    held: dict[str, HeldNames] = {}  # feed -> what was taken out of its list


class Source(Protocol):
    """A feed, as the publisher sees it."""

    feed: Feed

    @property
    def name(self) -> str: ...
    @property
    def lost(self) -> bool:
        """Whether there is nothing that its share could be made of: it never loaded, or its files are gone."""
        ...

    async def ready(self, builder: Builder) -> tuple[Input, Part] | None:
        """Its share of the next blockset; None while it has no usable copy. Raises `BuildError`."""
        ...

    def remains(self, before: Input, blockset: str) -> tuple[Input, Part]:
        """Its share when it is lost: what the blockset in that directory, made of `before`, has of it."""
        ...

    def reread(self, parsed: str) -> None:
        """Its entries in the file `parsed` cannot be read: make them anew, unless newer ones have taken their place."""
        ...


class _DamagedError(Exception):
    """`parsed`: feed -> the file of its entries that cannot be read."""

    def __init__(self, parsed: dict[str, str]) -> None:
        super().__init__(parsed)
        self.parsed = parsed


class Publisher:
    """Makes `<state>/blocksets/current` say what the sources say, one generation at a time."""

    def __init__(self, state_dir: Path, builder: Builder, sources: Callable[[], Sequence[Source]]) -> None:
        self._state_dir = state_dir
        self._record = state_dir / "feeds" / RECORD
        self._builder = builder
        self._sources = sources
        self._turn = asyncio.Lock()
        self._highest = 0
        self._unknown = False  # whether `live.inputs` may be other than what the live blockset was made of
        self._looks: tuple[object, ...] = ()  # how the files of the live blockset looked when they were last found whole
        self._record_looks: tuple[int, ...] = ()  # how the record looked when it was read or written
        self._damaged = 0  # a generation that cannot be read: its files are not what was published, or of another format
        self._keep_damaged = False  # it is of another format: that version of the program may come back
        self._held = True  # whether workers can be expected to have in memory what is on the disk no longer
        self._salvaged: set[str] = set()  # feeds whose share was last taken from a blockset
        self.live = LiveBlockset()
        self.protection = Protection()  # what no list blocks by itself; from the next `publish` on

    def resume(self, highest_seen: int, *, in_memory: int = 0) -> None:
        """Take up the blockset that an earlier process left live, if it is whole. Numbers go on above `highest_seen`.

        `in_memory`: the generation that workers have in memory, whatever is on the disk.
        """
        for unfinished in generations.blocksets_directory(self._state_dir).glob(".*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        generation = generations.current_generation(self._state_dir)
        self._highest = max(highest_seen, generation)
        self._unknown = generation > 0
        if not generation:
            return
        record = self._read_record(generation)
        self._record_looks = safe_files.appearance(self._record)
        looks = self._look(generation)
        try:
            found = self._open(generation)
        except OtherFormatError as exc:
            _log.warning("blockset %d, of another version of the program, is made anew: %s", generation, exc)
            self._damaged, self._held, self._keep_damaged = generation, in_memory == generation, True
            names = feeds_in(self._directory(generation))
            feeds = {name: FeedEntry(name=name, source="", category="") for name in names}
            self.live = msgspec.structs.replace(record or LiveBlockset(feeds=feeds), generation=0)
            return
        except BlocksetError as exc:
            _log.error("blockset %d, of the last run, is damaged and is made anew: %s", generation, exc)
            self._damaged, self._held = generation, in_memory == generation
            if record is not None:
                self.live = msgspec.structs.replace(record, generation=0)
            return
        self._looks = looks
        self.live = LiveBlockset(
            generation=generation,
            entries=found.entries,
            created_s=found.created_s,
            next_expiry_s=found.next_expiry_s,
            feeds=found.feeds,
        )
        if record is not None:
            self.live, self._unknown = record, False

    def distrust(self, generation: int) -> None:
        """The blockset of that generation cannot be used, whatever it looks like here."""
        if generation == self.live.generation:
            self._damaged, self._unknown = generation, True

    def mend_record(self) -> None:
        """Write the record of the live blockset again, if it is no longer what was written. Raises `OSError`."""
        if self.live.generation and not self._unknown and safe_files.appearance(self._record) != self._record_looks:
            _log.error("%s has changed on the disk: it is written again", self._record)
            self._write_record(self.live)

    async def damaged(self) -> bool:
        """Whether `publish` must make the live blockset anew, because its files are not what was published.

        Looks at the files, and reads them only when they look otherwise than the last time.
        """
        generation = self.live.generation
        if self._turn.locked() or not generation:
            return False
        if self._damaged == generation:
            return True
        looks = self._look(generation)
        if looks == self._looks:
            return False
        try:
            await asyncio.to_thread(self._open, generation)
        except BlocksetError as exc:
            if generation != self.live.generation:
                return False
            _log.error("blockset %d is damaged on the disk and is made anew: %s", generation, exc)
            self._damaged, self._unknown = generation, True
            return True
        if generation == self.live.generation:
            self._looks = looks
        return False

    def _directory(self, generation: int) -> Path:
        return generations.blocksets_directory(self._state_dir) / str(generation)

    def _open(self, generation: int) -> Blockset:
        found = Blockset.open(self._directory(generation))
        Annotations(found)
        if generations.current_generation(self._state_dir) != generation:
            raise BlocksetError(f"{generations.CURRENT} does not name it")
        return found

    def _look(self, generation: int) -> tuple[object, ...]:
        return generations.appearance(self._state_dir, generation)

    def _read_record(self, generation: int) -> LiveBlockset | None:
        try:
            record = records.decode(safe_files.read_state(self._record, MAX_RECORD_BYTES), LiveBlockset)
        except (OSError, DamagedError):
            return None
        return record if record.generation == generation else None

    async def publish(self) -> bool:
        """Have the live blockset say what the sources said at the time of the call, or later. True if a new one was needed.

        Callers that come while one is being built share the next. Raises `BuildError`; what was live stays live then.
        """
        async with self._turn:
            for _ in range(MAX_DAMAGED_IN_A_ROW):
                try:
                    return await self._publish()
                except _DamagedError as exc:
                    for source in self._sources():
                        if source.name in exc.parsed:
                            source.reread(exc.parsed[source.name])
            raise BuildError("the parsed entries are damaged each time they are read: is the disk sound?")

    def expiry_due(self, now_s: float) -> bool:
        """Whether names are live that should have left, and the last blockset is old enough for a new one."""
        live = self.live
        return 0 < live.next_expiry_s <= now_s and now_s >= live.created_s + EXPIRY_EVERY_S

    async def _publish(self) -> bool:
        shares = await self._shares()
        inputs = [entry for entry, _ in shares]
        protection = self.protection
        same = inputs == self.live.inputs and (protection == self.live.protection or not inputs)
        if same and not self._unknown and not self.expiry_due(steady_s()):
            return False
        started = time.monotonic()
        generation = max(self._highest + 1, generations.next_generation(self._state_dir))
        building = generations.blocksets_directory(self._state_dir) / f".building-{generation}-{os.getpid()}"
        try:
            created_s = steady_s()
            safe_files.make_directory(building.parent)
            safe_files.make_directory(building)  # the only directory that the compiler may write to
            job = Compile(str(building / COMPILED), generation, created_s, [part for _, part in shares], protection)
            compiled = await self._builder.compile(job)
        except OSError as exc:
            raise BuildError(disk_reason(exc, self._state_dir)) from None
        except BuildError as exc:
            damaged = {part.feed.name: part.parsed for _, part in shares if part.feed.name in exc.damaged}
            raise _DamagedError(damaged) if damaged else exc from None
        else:
            live = LiveBlockset(
                generation=generation,
                inputs=inputs,
                entries=compiled.entries,
                build_s=time.monotonic() - started,
                created_s=created_s,
                next_expiry_s=compiled.next_expiry_s,
                feeds={feed.name: feed for feed in compiled.feeds},
                protection=protection,
                held=compiled.held,
            )
            self._go_live(building / COMPILED, live)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        return True

    async def _shares(self) -> list[tuple[Input, Part]]:
        """What the next blockset is made of. Raises `BuildError` when it would list less because files are lost."""
        shares: list[tuple[Input, Part]] = []
        salvaged: set[str] = set()
        missing = []
        whole: tuple[int, dict[str, FeedEntry]] | None = None  # what lost shares are taken from
        for source in self._sources():
            share = await source.ready(self._builder)
            if share is None and source.lost:
                if whole is None:
                    whole = await asyncio.to_thread(self._whole)
                generation, listed = whole
                if source.name in listed:
                    share = source.remains(self._input_of(source, listed[source.name]), str(self._directory(generation)))
                    salvaged.add(source.name)
                elif source.name in self.live.feeds or (self._damaged and not self.live.feeds):
                    missing.append(source.name)
            if share is not None:
                shares.append(share)
        if missing and (self._held or not shares):
            raise BuildError(f"nothing is left on the disk of {', '.join(missing)}: waiting for the source")
        for name in sorted(salvaged - self._salvaged):
            _log.error("feed %s: its files are lost: its names stay in force as the blockset has them", name)
        self._salvaged = salvaged
        return shares

    def _whole(self) -> tuple[int, dict[str, FeedEntry]]:
        """A blockset that is whole on the disk, the live one if that is: its generation, and the feeds in it. 0: none is."""
        if not self._damaged:
            return self.live.generation, self.live.feeds
        for generation in sorted(generations.all_generations(self._state_dir), reverse=True):
            with suppress(BlocksetError):
                found = Blockset.open(self._directory(generation))
                Annotations(found)
                return generation, found.feeds
        return 0, {}

    def _input_of(self, source: Source, listed: FeedEntry) -> Input:
        known = next((entry for entry in self.live.inputs if entry.name == source.name), None)
        return known or Input(source.name, listed.source, source.feed.category, "", "")

    def _write_record(self, live: LiveBlockset) -> None:
        write_whole(self._record, records.encode(live))
        self._record_looks = safe_files.appearance(self._record)

    def _go_live(self, building: Path, live: LiveBlockset) -> None:
        try:
            self._write_record(live)  # first: a record of what is not live is seen to be that
            damaged = 0 if self._keep_damaged else self._damaged
            generations.publish(self._state_dir, building, live.generation, damaged=damaged)
        except BlocksetError as exc:
            raise BuildError(str(exc)) from None
        except OSError as exc:
            raise BuildError(disk_reason(exc, self._state_dir)) from None
        self._highest = live.generation
        self.live, self._unknown, self._damaged, self._held, self._keep_damaged = live, False, 0, True, False
        self._looks = self._look(live.generation)
        names = f"{live.entries:,}"
        _log.info("blockset %d: %s names, feeds: %d, built in %.1f s", live.generation, names, len(live.inputs), live.build_s)
