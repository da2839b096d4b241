"""Where blocksets stand, generation after generation, and which one is current."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pdns.errors import BlocksetError
from pdns.files import safe_files

CURRENT = "current"
KEPT_GENERATIONS = 2


def blocksets_directory(state_dir: Path) -> Path:
    return state_dir / "blocksets"


def current_directory(state_dir: Path) -> Path:
    """Where the live blockset is, whichever that may be: the directory itself, not the link."""
    generation = current_generation(state_dir)
    return blocksets_directory(state_dir) / (str(generation) if generation else CURRENT)


def current_generation(state_dir: Path) -> int:
    """The generation that `current` points at; 0 when there is none yet."""
    try:
        return int((blocksets_directory(state_dir) / CURRENT).readlink().name)
    except (OSError, ValueError):
        return 0


def next_generation(state_dir: Path) -> int:
    """A number above that of every generation on the disk, published or not."""
    return max(all_generations(state_dir), default=0) + 1


def appearance(state_dir: Path, generation: int) -> tuple[object, ...]:
    """What changes when anything about the files of a blockset does, or `current` names another one."""
    directory = blocksets_directory(state_dir) / str(generation)
    try:
        files = sorted(entry.name for entry in os.scandir(directory))
    except OSError:
        files = []
    current = current_generation(state_dir)
    return (current, safe_files.appearance(directory), *((name, safe_files.appearance(directory / name)) for name in files))


def publish(state_dir: Path, built: Path, generation: int, *, damaged: int = 0) -> Path:
    """Make `built` the current blockset, atomically, and remove all but the last two generations. Returns where it now is.

    Generation `damaged` is not kept; an earlier one stays instead.

    `built` lies on the same file system. A process that has mapped a removed generation keeps it. Raises `BlocksetError`.
    """
    directory = blocksets_directory(state_dir)
    target = directory / str(generation)
    link = directory / f".{CURRENT}.{os.getpid()}"
    try:
        safe_files.make_directory(directory)
        if built != target:
            safe_files.remove(target)
            built.rename(target)
        safe_files.remove(link)
        link.symlink_to(str(generation))
        if not (directory / CURRENT).is_symlink():
            safe_files.remove(directory / CURRENT)
        link.replace(directory / CURRENT)
        sync(directory)
    except OSError as exc:
        raise BlocksetError(f"{exc.filename or target}: {exc.strerror}") from None
    earlier = sorted(g for g in all_generations(state_dir) if g < generation and g != damaged)
    kept = {generation, *earlier[-(KEPT_GENERATIONS - 1) :]}
    for entry in directory.iterdir():
        if entry.name.startswith(".") or (entry.name.isdecimal() and int(entry.name) not in kept):
            with suppress(OSError):
                safe_files.remove(entry)
    return target


def all_generations(state_dir: Path) -> list[int]:
    """Those that are on the disk, published or not, in no particular order."""
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
