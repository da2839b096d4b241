"""The last-good copy of each feed, on disk: `<state>/feeds/<name>/`.

`copy.json` is what counts: it names the other files, whose names come from their content, so that replacing it is the one
moment at which a new copy takes the place of the old. Whatever it does not name is unfinished work.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from feeds.fetch import Validators
from feeds.jobs import Parsed
from pdns import __version__
from pdns.blockset.generations import sync
from pdns.files import records, safe_files
from pdns.files.records import LockedError
from pdns.files.safe_files import DAMAGED, TEMPORARY, make_directory, rename
from pdns.state.feed_status import SkippedLines

RECORD = "copy.json"
MAX_BYTES = 16 * 1024 * 1024
READERS: Final = (  # what decides what a line means; a package stands for its modules
    "feeds.parse", "feeds.directory", "feeds.normalise", "feeds.containers", "feeds.zips", "feeds.fetch.inflate", "feeds.pack",
    "feeds.annotations", "feeds.entries", "feeds.names", "feeds.packed_keys", "feeds.formats", "pdns.wire.names",
    "feeds.fleet.entries_text", "feeds.fleet.text_to_entries",
)  # fmt: skip


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the parser made of a copy. The entries themselves are in the file `parsed`."""

    source: str  # fingerprint of the configuration that it was read under
    reader: str  # version of the program that read it
    parsed: str
    format: str
    lines: int
    entries: int
    addresses: int
    odd: dict[str, SkippedLines] = {}
    notes: list[str] = []


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """One whole, usable answer of a source. Times are seconds since the epoch."""

    url: str  # as configured when it was fetched
    raw: str
    sha256: str
    size_bytes: int
    validators: Validators
    last_success_s: float
    last_changed_s: float
    reading: Reading
    version: int = 1


def reader_version(modules: Iterable[str] = READERS) -> str:
    """Which program reads lists here: its version, and a hash of the code that decides what a line means.

    Raises `ModuleNotFoundError` when one of `modules` is missing: without it a changed parser would keep old readings in use.
    """
    digest = hashlib.sha256()
    for module in modules:
        for path in _sources(module):
            digest.update(path.read_bytes())
    return f"{__version__}-{digest.hexdigest()[:16]}"


def _sources(module: str) -> list[Path]:
    """The files of a module, or of every module in a package. Does not run it."""
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{__name__}: READERS names {module}, which does not exist; name the module that replaces it")
    path = Path(spec.origin)
    return sorted(path.parent.glob("*.py")) if spec.submodule_search_locations else [path]


def reading_of(result: Parsed, source: str, reader: str, sha256: str) -> Reading:
    """What the program `reader` made of the copy with that hash, under the configuration `source`."""
    return Reading(
        source=source,
        reader=reader,
        parsed=f"{sha256[:16]}-{source[:8]}.parsed",
        format=result.format,
        lines=result.lines,
        entries=result.entries,
        addresses=result.addresses,
        odd=result.odd,
        notes=result.notes,
    )


class FeedStore:
    """The directory of one feed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.beside: set[str] = set()  # names of files that are kept beside the last-good copy
        self._unread: LockedError | None = None  # why a file that is there cannot be read: nothing is changed until it can be
        self._looks: dict[str, tuple[int, ...]] = {}
        self._numbers = itertools.count()

    def prepare(self) -> None:
        """Make the directory. Raises `OSError`, also when what is kept here could not be read by the last `load`."""
        make_directory(self.directory, 0o700)
        if self._unread is not None:
            raise self._unread

    def new_file(self) -> Path:
        """A path that no other process uses, for a candidate."""
        return self.directory / f"{os.getpid()}-{next(self._numbers)}{TEMPORARY}"

    @property
    def unread(self) -> bool:
        """Whether files are here that the last `load` could not read."""
        return self._unread is not None

    def load(self) -> Copy | None:
        """The whole copy that is kept here, of whatever url; None when there is none, or it cannot be read."""
        copy = self._read_record()
        return None if self.unread else copy

    def tidy(self, copy: Copy | None) -> None:
        """Remove all but the files of `copy`, the last-good one, and those `beside` it: unfinished work of an earlier process."""
        self._sweep(copy, unfinished_too=True)

    def keep(self, copy: Copy, *, raw: Path | None = None, parsed: Path | None = None) -> None:
        """Make `copy` the last-good one; `raw` and `parsed` are its files where they are new, and on the disk already.

        Raises `OSError`; what was kept before is then still whole and still counts.
        """
        self.place(copy, raw=raw, parsed=parsed)
        records.store(self.directory / RECORD, records.encode(copy))
        self._looks = self._look(copy)
        self._sweep(copy, unfinished_too=False)

    def place(self, copy: Copy, *, raw: Path | None, parsed: Path | None) -> None:
        """Give the files of `copy`, where they are new, their names. Raises `OSError`."""
        if raw is not None:
            rename(raw, self.directory / copy.raw)
        if parsed is not None:
            rename(parsed, self.directory / copy.reading.parsed)
        if raw is not None or parsed is not None:
            sync(self.directory)

    def raw_path(self, copy: Copy) -> Path:
        return self.directory / copy.raw

    def parsed_path(self, copy: Copy) -> Path:
        return self.directory / copy.reading.parsed

    def _read_record(self) -> Copy | None:
        path = self.directory / RECORD
        copy, unread = records.recover(path, lambda raw: records.decode(raw, Copy), MAX_BYTES)
        self._unread = unread or _locked(*(() if copy is None else (self.raw_path(copy), self.parsed_path(copy))))
        if copy is None or not (self.is_whole(copy) or self.has_entries(copy)):
            return None
        self._looks = self._look(copy)
        return copy

    def is_whole(self, copy: Copy) -> bool:
        """Whether the list itself is there, as far as can be seen without reading it."""
        return _size_bytes(self.raw_path(copy)) == copy.size_bytes

    def has_entries(self, copy: Copy) -> bool:
        """Whether there is a file of its entries."""
        return _size_bytes(self.parsed_path(copy)) is not None

    def is_sound(self, copy: Copy) -> bool:
        """Whether the list itself is what was fetched. Reads it. Raises `LockedError` when it is there and cannot be read."""
        records.require_readable(self.raw_path(copy))
        try:
            with safe_files.open_state(self.raw_path(copy)) as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == copy.sha256
        except OSError:
            return False

    def damaged(self, copy: Copy) -> bool:
        """Whether any file of `copy` looks otherwise than when it was kept, loaded or asked about last."""
        return self._look(copy) != self._looks

    def changed(self, copy: Copy) -> set[str]:
        """Which files of `copy` no longer look as they did when it was kept, loaded or asked about last."""
        before, self._looks = self._looks, self._look(copy)
        return {name for name, looks in self._looks.items() if before.get(name) != looks}

    def _look(self, copy: Copy) -> dict[str, tuple[int, ...]]:
        return {name: safe_files.appearance(self.directory / name) for name in (RECORD, copy.raw, copy.reading.parsed)}

    def _sweep(self, copy: Copy | None, *, unfinished_too: bool) -> None:
        if self.unread:
            return
        needed = {RECORD, RECORD + records.SECOND_COPY, *self.beside}
        if copy is not None:
            needed |= {copy.raw, copy.reading.parsed}
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    unneeded = entry.name not in needed and DAMAGED not in entry.name
                    if unneeded and (unfinished_too or not entry.name.endswith(TEMPORARY)):
                        safe_files.remove(Path(entry.path))
        except OSError:
            return  # it costs room, nothing else


def _locked(*paths: Path) -> LockedError | None:
    try:
        for path in paths:
            records.require_readable(path, whole=False)
    except LockedError as exc:
        return exc
    return None


def _size_bytes(path: Path) -> int | None:
    """Of a file that may be read; None when there is none."""
    try:
        with safe_files.open_state(path) as file:
            return os.fstat(file.fileno()).st_size
    except OSError:
        return None


def remove_unconfigured(feeds_dir: Path, configured: set[str]) -> list[str]:
    """Delete the directories of feeds that are no longer configured; returns their names."""
    gone = []
    try:
        with os.scandir(feeds_dir) as entries:
            for entry in entries:
                if entry.name not in configured and entry.is_dir(follow_symlinks=False):
                    safe_files.remove(Path(entry.path))
                    gone.append(entry.name)
    except OSError:
        pass
    return gone
