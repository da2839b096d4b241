"""Which version of a file is there."""

from __future__ import annotations

import os
from pathlib import Path

FileVersion = tuple[int, ...]


def version_of(path: str | Path) -> FileVersion:
    """A value that changes when the file at `path`, or what its links lead to, changes or is replaced.

    One number, that of the error, for a file that cannot be looked at.
    """
    try:
        found = os.stat(path)  # noqa: PTH116 (of what the links lead to)
    except OSError as error:
        return (error.errno or 0,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
