"""How each sink is doing: `<state>/events/sinks.json`, written by the events process, read by `pdns events sinks`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from pdns.files import records
from pdns.files.safe_files import read_state, write_whole

FILE_NAME: Final = "sinks.json"
MAX_STATES_BYTES: Final = 1024 * 1024


class SinkState(msgspec.Struct, frozen=True, kw_only=True):
    """One sink. Counts are since it was configured, across restarts."""

    name: str
    segment: int
    offset: int
    up: bool  # the last attempt succeeded
    lag_s: float  # age of the oldest record that it has not; 0 if there is none
    written: int  # records
    lost: int
    lost_queries: int
    errors: int  # since the process started
    last_error: str = ""
    last_error_s: float = 0.0
    last_written_s: float = 0.0


class SinkStates(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the file."""

    sinks: tuple[SinkState, ...] = ()
    version: int = 1


def states_path(events_dir: Path) -> Path:
    return events_dir / FILE_NAME


def write_states(events_dir: Path, states: list[SinkState]) -> bool:
    """Replace the file. Whether that succeeded; never raises."""
    try:
        write_whole(states_path(events_dir), records.encode(SinkStates(sinks=tuple(states))), mode=0o640, synced=False)
    except OSError:
        return False
    return True


def read_states(events_dir: Path) -> SinkStates:
    """The content of the file. Raises `OSError` and `DamagedError`."""
    return records.decode(read_state(states_path(events_dir), MAX_STATES_BYTES), SinkStates)
