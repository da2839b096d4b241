"""The audit logs of the state directory: who changed what, when, why, and what came of it.

The feeds process writes `audit.jsonl`: commands about feeds and local entries. The supervisor writes `audit-config.jsonl`:
changes of the configuration and the cache. Both are only ever added to.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from pdns.files.safe_files import append, open_state
from pdns.free_text import visible

OF_FEEDS: Final = "audit.jsonl"
OF_SUPERVISOR: Final = "audit-config.jsonl"
MOST_LINES: Final = 1000  # that are read at a time
_MOST_READ_BYTES: Final = 1024 * 1024
_MOST_CHARACTERS: Final = 400


class ChangeLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the supervisor's log."""

    time_s: float
    user: str
    command: str  # set tenant | remove tenant | set policy | remove policy | flush | reload
    name: str = ""
    below: bool = False
    reason: str = ""
    done: bool
    outcome: str


def write(
    state_dir: Path, user: str, command: str, *, name: str, reason: str, done: bool, outcome: str, below: bool = False
) -> None:  # fmt: skip
    """Add a line to the supervisor's log, onto the disk. Raises `OSError`."""
    line = ChangeLine(
        time_s=round(time.time(), 3), user=user, command=command, name=name, reason=reason, done=done, below=below,
        outcome=visible(outcome, _MOST_CHARACTERS),
    )  # fmt: skip
    append(state_dir / OF_SUPERVISOR, msgspec.json.encode(line) + b"\n")


def read(state_dir: Path, most: int = MOST_LINES) -> list[dict[str, Any]]:
    """The last lines of both logs, the newest first. Lines that are damaged are left out. Raises `OSError`."""
    lines = [line for name in (OF_FEEDS, OF_SUPERVISOR) for line in _last(state_dir / name)]
    return sorted(lines, key=lambda line: -line["time_s"])[:most]


def _last(path: Path) -> list[dict[str, Any]]:
    try:
        with open_state(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _MOST_READ_BYTES))
            content = file.read(_MOST_READ_BYTES)
    except FileNotFoundError:
        return []
    found = []
    for line in content.splitlines():
        try:
            values = msgspec.json.decode(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict) and isinstance(values.get("time_s"), float | int):
            found.append(values)
    return found
