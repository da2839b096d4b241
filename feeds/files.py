"""Files that are whole at any moment: written beside their place, synced, renamed into it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from pdns.generations import sync

TEMPORARY = ".tmp"  # whatever ends in this is unfinished work, and counts for nothing


def write_whole(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step: a reader, a full disk or a kill meets the old content or the new, never a part.

    One process at a time may write `path`. Raises `OSError`, and leaves no temporary file then.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def disk_reason(exc: OSError, directory: Path) -> str:
    """What to tell a person about a write under `directory` that failed, and what to do about it.

    A hidden directory is work in progress and gone when this is read: the one that it lies in is named.
    """
    if directory.name.startswith("."):
        directory = directory.parent
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left in {directory}: make room there (a copy and a blockset are about twice the size of the lists)"
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{directory} cannot be written ({exc.strerror}): give it to the user that runs the resolver"
    return f"{exc.filename or directory}: {exc.strerror or exc}"
