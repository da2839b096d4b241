"""`<state>/in_force.json`: what every worker that answers has taken up. The supervisor alone writes it; commands wait for it.

Losing it costs nothing: it says how things stand now, and is written anew at each start.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

FILE_NAME: Final = "in_force.json"


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file: the lowest of all workers. 0: none."""

    overrides: int = 0  # revision of `overrides.json`
    generation: int = 0  # of the blockset

    def covers(self, wanted: InForce) -> bool:
        """Whether `wanted`, or something later, is in force."""
        return self.overrides >= wanted.overrides and self.generation >= wanted.generation


def read(state_dir: Path) -> InForce:
    """What is in force; nothing when that is not known."""
    try:
        return msgspec.json.decode((state_dir / FILE_NAME).read_bytes(), type=InForce)
    except (OSError, ValueError, RecursionError):
        return InForce()


def write(state_dir: Path, now: InForce) -> None:
    """Replace the file. Raises `OSError`."""
    path = state_dir / FILE_NAME
    temporary = path.with_name(FILE_NAME + ".tmp")
    temporary.write_bytes(msgspec.json.encode(now))
    temporary.replace(path)
