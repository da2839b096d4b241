"""`<state>/events/places.json`: how far the rings of the workers were read, and the hour up to there.

The file is written after the records are in the spool. After a crash, records that were read since are read again; the spool
tells which of them it has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from pdns.events.hour_book import HourState
from pdns.events.spool_segments import SpoolPosition
from pdns.files import records
from pdns.files.safe_files import read_state, write_whole

FILE_NAME: Final = "places.json"
MAX_PLACES_BYTES: Final = 16 * 1024 * 1024


class RingPlace(msgspec.Struct, frozen=True):
    """The next record of a ring, and the weight of all before it."""

    next: int = 0
    weight: int = 0
    is_final: bool = False  # the worker is gone, and everything is read


class Places(msgspec.Struct, kw_only=True):
    """The content of the file."""

    rings: dict[str, RingPlace] = {}  # by number, in hexadecimal
    spool_segment: int = 0  # where the spool ended
    spool_offset: int = 0
    hour: HourState = msgspec.field(default_factory=HourState)
    version: int = 1

    @property
    def spool(self) -> SpoolPosition:
        return SpoolPosition(self.spool_segment, self.spool_offset)


def read_places(events_dir: Path) -> Places:
    """The content of the file; empty where it cannot be read: then everything that the rings hold is read again."""
    try:
        return records.decode(read_state(events_dir / FILE_NAME, MAX_PLACES_BYTES), Places)
    except (OSError, records.DamagedError):
        return Places()


def write_places(events_dir: Path, places: Places) -> None:
    """Replace the file. Raises `OSError`."""
    write_whole(events_dir / FILE_NAME, records.encode(places), mode=0o640, synced=False)
