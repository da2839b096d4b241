"""Where blocksets stand, generation after generation, and which one is current."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from pdns.errors import BlocksetError

CURRENT = "current"
KEPT_GENERATIONS = 2


def blocksets_directory(state_dir: Path) -> Path:
    return state_dir / "blocksets"


def current_directory(state_dir: Path) -> Path:
    """Where the live blockset is, whichever that may be."""
    return blocksets_directory(state_dir) / CURRENT


def current_generation(state_dir: Path) -> int:
    """The generation that `current` points at; 0 when there is none yet."""
    try:
        return int(current_directory(state_dir).readlink().name)
    except (OSError, ValueError):
        return 0


def next_generation(state_dir: Path) -> int:
    """A number above that of every generation on the disk, published or not."""
    return max(_generations(state_dir), default=0) + 1


def publish(state_dir: Path, built: Path, generation: int) -> Path:
    """Make `built` the current blockset, atomically, and remove all but the last two generations. Returns where it now is.

    `built` lies on the same file system. A process that has mapped a removed generation keeps it. Raises `BlocksetError`.
    """
    directory = blocksets_directory(state_dir)
    target = directory / str(generation)
    link = directory / f".{CURRENT}.{os.getpid()}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if built != target:
            built.rename(target)
        with suppress(FileNotFoundError):
            link.unlink()
        link.symlink_to(str(generation))
        link.replace(directory / CURRENT)
        sync(directory)
    except OSError as exc:
        raise BlocksetError(f"{exc.filename or target}: {exc.strerror}") from None
    kept = {generation, *sorted(g for g in _generations(state_dir) if g < generation)[-(KEPT_GENERATIONS - 1) :]}
    for entry in directory.iterdir():
        if entry.name.startswith(".") or (entry.name.isdecimal() and int(entry.name) not in kept):
            shutil.rmtree(entry, ignore_errors=True)
    return target


def _generations(state_dir: Path) -> list[int]:
    with suppress(OSError):
        return [int(entry.name) for entry in blocksets_directory(state_dir).iterdir() if entry.name.isdecimal()]
    return []


def sync(path: Path) -> None:
    """Have a file's content, or a directory's names, survive a power cut. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
