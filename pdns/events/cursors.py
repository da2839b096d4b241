"""Where each sink stands in the spool, on the disk: `<state>/events/cursors/NAME.json`."""

from __future__ import annotations

import logging
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from pdns.events.spool_segments import SpoolPosition
from pdns.files import records
from pdns.files.records import DamagedError
from pdns.files.safe_files import make_directory, read_state, remove, write_whole

MAX_CURSOR_BYTES: Final = 64 * 1024
_SUFFIX: Final = ".json"
_log = logging.getLogger(__name__)


class SinkCursor(msgspec.Struct, frozen=True, kw_only=True):
    """A position, and what was counted up to it since the sink was configured."""

    segment: int = 0
    offset: int = 0
    mark: str = ""  # of a `MarkedSink`
    written: int = 0  # records
    lost: int = 0  # records that the spool had no room for, until the sink took them, and that were damaged there
    lost_queries: int = 0  # of these records
    at_risk: int = 0  # records that are in memory only, because the spool has no room for them any more
    at_risk_queries: int = 0
    version: int = 1

    @property
    def position(self) -> SpoolPosition:
        return SpoolPosition(self.segment, self.offset)


class CursorFiles:
    """The cursors of all sinks. No method raises."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._failing: set[str] = set()
        try:
            make_directory(directory, 0o750)
        except OSError as exc:
            _log.error("the positions of sinks cannot be kept: %s", exc)

    def load(self, name: str) -> SinkCursor | None:
        """The cursor of a sink; None for a new one, and for one whose cursor is damaged."""
        path = self._path(name)
        try:
            return records.decode(read_state(path, MAX_CURSOR_BYTES), SinkCursor)
        except FileNotFoundError:
            return None
        except (OSError, DamagedError) as exc:
            _log.error("the position of the sink %s is lost, it starts at the oldest record: %s: %s", name, path, exc)
            return None

    def store(self, name: str, cursor: SinkCursor, *, synced: bool) -> bool:
        """Keep a cursor; with `synced` also across a power cut. Whether it is kept."""
        try:
            write_whole(self._path(name), records.encode(cursor), mode=0o640, synced=synced)
        except OSError as exc:
            if name not in self._failing:
                self._failing.add(name)
                _log.error("the position of the sink %s cannot be written: %s", name, exc)
            return False
        self._failing.discard(name)
        return True

    def forget_others(self, names: Collection[str]) -> None:
        """Remove the cursors of sinks that are not among `names`."""
        kept = {name + _SUFFIX for name in names}
        with suppress(OSError):
            for path in self._directory.iterdir():
                if path.name not in kept:
                    remove(path)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{_SUFFIX}"
