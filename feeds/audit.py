"""`<state>/audit.jsonl`: who ordered what, when, why, and what came of it. Only ever added to, by the feeds process alone."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import msgspec

from pdns.files.safe_files import append
from pdns.state.commands import Command, Outcome

FILE_NAME: Final = "audit.jsonl"


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the file."""

    time_s: float
    user: str
    command: str
    feed: str = ""
    name: str = ""
    reason: str = ""
    for_s: float = 0.0
    all: bool = False  # with a release: everything, or everything of a category or kind
    category: str = ""
    kind: str = ""
    force: bool = False
    tenant: str = ""
    sink: str = ""
    report: int = 0  # its number
    fleet_release: int = 0
    ring: str = ""
    device: str = ""
    credential: str = ""
    done: bool
    outcome: str


def write(state_dir: Path, order: Command, outcome: Outcome) -> None:
    """Add a line, onto the disk. Raises `OSError`."""
    ordered = msgspec.structs.asdict(order)
    line = Line(time_s=round(time.time(), 3), **ordered, done=outcome.done, outcome=outcome.text)
    append(state_dir / FILE_NAME, msgspec.json.encode(line) + b"\n")
