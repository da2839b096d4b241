"""The files of the history: `<state>/events/names/<day>/`, one filter for each tenant, and one for all.

A day is a date, UTC. `<tenant>.bloom` has the digests of a tenant, `+all.bloom` those of all, and `day.json`
says what is missing.
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from pdns.files.safe_files import make_directory, read_state, remove, write_whole
from pdns.history.filters import NameFilter
from pdns.telemetry.asked_names import DAY_S

FORMAT: Final = 1
ALL: Final = ""  # instead of a tenant
_ALL_FILE: Final = "+all"  # no encoded name of a tenant has a +
_SUFFIX: Final = ".bloom"
_RECORD: Final = "day.json"
_MAX_FILE_BYTES: Final = 256 * 1024 * 1024
_MAX_RECORD_BYTES: Final = 1024 * 1024
_MODE: Final = 0o640
ALL_PREFIX: Final = "*"  # of the hashes in the filter for all: what passes there by chance is no likelier to pass elsewhere


class DayRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one day besides its filters."""

    since_s: float = 0.0  # noted from then on
    until_s: float = 0.0  # written last
    lost: int = 0  # digests that were overwritten before they were read
    left_out: int = 0  # digests for which the filter for all had no room
    version: int = FORMAT


def date_of(day: int) -> str:
    """The day since the epoch as a date."""
    return time.strftime("%Y-%m-%d", time.gmtime(day * DAY_S))


def history_directory(state_dir: Path) -> Path:
    """Where all days are."""
    return state_dir / "events" / "names"


class DayFiles:
    """The files of one day, with the `key` of its digests."""

    def __init__(self, directory: Path, day: int, key: bytes) -> None:
        self.day = day
        self.directory = directory / date_of(day)
        self._key = key

    def tenants(self) -> list[str]:
        """Those that have a filter."""
        try:
            found = [path.name.removesuffix(_SUFFIX) for path in self.directory.iterdir() if path.suffix == _SUFFIX]
        except OSError:
            return []
        return sorted(unquote(name) for name in found if name != _ALL_FILE)

    def read(self, tenant: str, *, most: int = 1 << 40) -> NameFilter:
        """The filter of a tenant, or of `ALL`. Raises `DamagedFilterError` and `OSError`."""
        raw = read_state(self._path(tenant), _MAX_FILE_BYTES)
        return NameFilter.decoded(raw, self._key, ALL_PREFIX if tenant == ALL else "", most=most)

    def write(self, tenant: str, filter_: NameFilter) -> None:
        """Replace the filter of a tenant, or of `ALL`, in one step. Raises `OSError`."""
        write_whole(self._path(tenant), filter_.encoded(self._key), mode=_MODE, synced=False)

    def known(self) -> DayRecord:
        """What is known besides; nothing where it cannot be read."""
        try:
            record = msgspec.json.decode(read_state(self.directory / _RECORD, _MAX_RECORD_BYTES), type=DayRecord)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return DayRecord()
        return record if record.version <= FORMAT else DayRecord()

    def write_record(self, record: DayRecord) -> None:
        """Raises `OSError`."""
        write_whole(self.directory / _RECORD, msgspec.json.encode(record), mode=_MODE, synced=False)

    def make(self) -> None:
        """Make its directory. Raises `OSError`."""
        make_directory(self.directory, 0o750)

    def size_bytes(self) -> int:
        """Of all its files."""
        total = 0
        with suppress(OSError):
            for path in self.directory.iterdir():
                with suppress(OSError):
                    total += path.lstat().st_size
        return total

    def remove(self) -> None:
        """Remove all of it. Raises `OSError`."""
        remove(self.directory)

    def _path(self, tenant: str) -> Path:
        return self.directory / f"{_ALL_FILE if tenant == ALL else _file_name(tenant)}{_SUFFIX}"


def _file_name(tenant: str) -> str:
    """No separator, no dot in front, no clash with `ALL`: whatever a tenant is called."""
    return quote(tenant, safe="").replace(".", "%2E").replace("+", "%2B")


def days_in(directory: Path, key: bytes) -> list[DayFiles]:
    """All days that are there, the oldest first."""
    return [DayFiles(directory, day, key) for day in sorted(_days(directory))]


def _days(directory: Path) -> Iterator[int]:
    try:
        names = [path.name for path in directory.iterdir()]
    except OSError:
        return
    for name in names:
        with suppress(ValueError, OverflowError):
            day = day_of(name)
            if date_of(day) == name:
                yield day


def day_of(date: str) -> int:
    """The reverse of `date_of`. Raises `ValueError`."""
    return calendar.timegm(time.strptime(date, "%Y-%m-%d")) // DAY_S
