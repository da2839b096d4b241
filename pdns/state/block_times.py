"""`<state>/block-times.jsonl`: how long each update of a feed took from the fetcher to the last worker, for reports.

Only the supervisor writes it. A line is `[time, feed, seconds]`, the time in seconds since the epoch. The metric
`pdns_indicator_to_block_seconds` counts the same since the start; this file outlives a restart.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from pdns.files.safe_files import append, read_bounded, write_whole

FILE_NAME: Final = "block-times.jsonl"
LONG_BYTES: Final = 1024 * 1024  # some 25,000 updates: then the oldest half is forgotten
MAX_BYTES: Final = 8 * 1024 * 1024
_MODE: Final = 0o640
_LATEST_S: Final = 253_402_300_799.0  # the year 9999

_Line = tuple[float, str, float]


class BlockTime(NamedTuple):
    """One update that added names or networks."""

    time_s: float  # when the last worker took it up
    feed: str
    took_s: float


def read(state_dir: Path) -> list[BlockTime]:
    """The updates of the file, the oldest first. Damaged lines are left out. Raises `OSError`."""
    try:
        raw = read_bounded(state_dir / FILE_NAME, MAX_BYTES)
    except FileNotFoundError:
        return []
    decoder = msgspec.json.Decoder(_Line)
    found = []
    for line in raw.splitlines():
        try:
            time_s, feed, took_s = decoder.decode(line)
        except (ValueError, RecursionError):
            continue
        if 0.0 <= time_s <= _LATEST_S and 0.0 <= took_s < math.inf:
            found.append(BlockTime(time_s, feed, took_s))
    return found


def add(state_dir: Path, new: list[BlockTime]) -> None:
    """Append to the file; of a long one, the newest half is kept. Only the supervisor calls this. Raises `OSError`."""
    path = state_dir / FILE_NAME
    try:
        is_long = path.lstat().st_size > LONG_BYTES
    except OSError:
        is_long = False
    if is_long:
        known = read(state_dir)
        write_whole(path, b"".join(map(_line, [*known[len(known) // 2 :], *new])), mode=_MODE, synced=False)
    else:
        append(path, b"".join(map(_line, new)), _MODE, synced=False)


def _line(one: BlockTime) -> bytes:
    return msgspec.json.encode((round(one.time_s), one.feed, round(one.took_s, 3))) + b"\n"
