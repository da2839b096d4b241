"""The last-good copy of each feed, on disk: `<state>/feeds/<name>/`.

`copy.json` is what counts: it names the other files, whose names come from their content, so that replacing it is the one
moment at which a new copy takes the place of the old. Whatever it does not name is unfinished work.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
from pathlib import Path

import msgspec

from feeds.fetch import Validators
from feeds.files import TEMPORARY, write_whole
from pdns import __version__
from pdns.core import names
from pdns.feedstatus import OddLines
from pdns.generations import sync

RECORD = "copy.json"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What the parser made of a copy. The entries themselves are in the file `parsed`."""

    source: str  # fingerprint of the configuration that it was read under
    reader: str  # version of the program that read it
    parsed: str
    format: str
    lines: int
    entries: int
    addresses: int
    odd: dict[str, OddLines] = {}
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


def reader_version() -> str:
    """Which program reads lists here: its version, and a hash of the code that decides what a line means."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    modules = ("parse", "directory", "normalise", "containers", "zips", "pack", "detail", "entries", "names")
    for path in (
        *(here / f"{name}.py" for name in modules),
        *sorted((here / "formats").glob("*.py")),
        Path(names.__file__),
    ):
        digest.update(path.read_bytes())
    return f"{__version__}-{digest.hexdigest()[:16]}"


class FeedStore:
    """The directory of one feed."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.beside: set[str] = set()  # names of files that are kept beside the last-good copy
        self._numbers = itertools.count()

    def prepare(self) -> None:
        """Make the directory. Raises `OSError`."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def new_file(self) -> Path:
        """A path that nobody else uses, for what is still on trial."""
        return self.directory / f"{os.getpid()}-{next(self._numbers)}{TEMPORARY}"

    def load(self) -> Copy | None:
        """The whole copy that is kept here, of whatever url; None when there is none."""
        return self._read_record()

    def tidy(self, copy: Copy | None) -> None:
        """Remove all but the files of `copy`, the last-good one, and those `beside` it: unfinished work of an earlier process."""
        self._sweep(copy, unfinished_too=True)

    def keep(self, copy: Copy, *, raw: Path | None = None, parsed: Path | None = None) -> None:
        """Make `copy` the last-good one; `raw` and `parsed` are its files where they are new, and on the disk already.

        Raises `OSError`; what was kept before is then still whole and still counts.
        """
        self.place(copy, raw=raw, parsed=parsed)
        write_whole(self.directory / RECORD, msgspec.json.encode(copy))
        self._sweep(copy, unfinished_too=False)

    def place(self, copy: Copy, *, raw: Path | None, parsed: Path | None) -> None:
        """Give the files of `copy`, where they are new, their names. Raises `OSError`."""
        if raw is not None:
            raw.replace(self.directory / copy.raw)
        if parsed is not None:
            parsed.replace(self.directory / copy.reading.parsed)
        if raw is not None or parsed is not None:
            sync(self.directory)

    def raw_path(self, copy: Copy) -> Path:
        return self.directory / copy.raw

    def parsed_path(self, copy: Copy) -> Path:
        return self.directory / copy.reading.parsed

    def _read_record(self) -> Copy | None:
        try:
            copy = msgspec.json.decode((self.directory / RECORD).read_bytes(), type=Copy)
            whole = (self.directory / copy.raw).stat().st_size == copy.size_bytes
        except (OSError, ValueError, RecursionError):
            return None
        return copy if whole else None

    def _sweep(self, copy: Copy | None, *, unfinished_too: bool) -> None:
        needed = {RECORD, copy.raw, copy.reading.parsed, *self.beside} if copy is not None else self.beside
        try:
            with os.scandir(self.directory) as entries:
                for entry in entries:
                    if entry.name not in needed and (unfinished_too or not entry.name.endswith(TEMPORARY)):
                        Path(entry.path).unlink(missing_ok=True)
        except OSError:
            return  # it costs room, nothing else


def remove_unconfigured(feeds_dir: Path, configured: set[str]) -> list[str]:
    """Delete the directories of feeds that are no longer configured; returns their names."""
    gone = []
    try:
        with os.scandir(feeds_dir) as entries:
            for entry in entries:
                if entry.name not in configured and entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                    gone.append(entry.name)
    except OSError:
        pass
    return gone
