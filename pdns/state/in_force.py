"""`<state>/in_force.json`: the changes that every answering worker has taken up. The supervisor writes it; commands wait for it.

Losing the file costs nothing: it holds the present state, and each start writes it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from pdns.files.safe_files import read_state, write_whole

FILE_NAME: Final = "in_force.json"
FORMAT: Final = 1
_MAX_BYTES: Final = 4096
_LOOK_S: Final = 0.1  # between two looks at what the workers have taken up


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file: the lowest values of all workers. 0: none."""

    overrides: int = 0  # revision of `overrides.json`
    generation: int = 0  # of the blockset
    credentials: int = 0  # revision of `credentials.json`
    version: int = FORMAT

    def covers(self, wanted: InForce) -> bool:
        """Whether `wanted`, or something later, is in force."""
        return (
            self.overrides >= wanted.overrides and self.generation >= wanted.generation and self.credentials >= wanted.credentials
        )


def read(state_dir: Path) -> InForce:
    """What is in force; zeros when that is unknown."""
    try:
        found = msgspec.json.decode(read_state(state_dir / FILE_NAME, _MAX_BYTES), type=InForce)
    except (OSError, ValueError, RecursionError):
        return InForce()
    return found if found.version <= FORMAT else InForce()


def write(state_dir: Path, now: InForce) -> None:
    """Replace the file. Raises `OSError`."""
    write_whole(state_dir / FILE_NAME, msgspec.json.encode(now), synced=False)


async def keep(state_dir: Path, now: Callable[[], InForce]) -> None:
    """Keep the file equal to the value of `now`, which callers of commands wait for. Runs until cancelled."""
    while True:
        what = now()
        with suppress(OSError):  # tried again at the next look
            if await asyncio.to_thread(changed, state_dir, what):
                await asyncio.to_thread(write, state_dir, what)
        await asyncio.sleep(_LOOK_S)


def changed(state_dir: Path, now: InForce) -> bool:
    """Whether the file differs from `now`. Costs a read of some bytes."""
    return read(state_dir) != now
