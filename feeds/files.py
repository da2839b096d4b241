"""What to tell people about a disk that refuses."""

from __future__ import annotations

import errno
from pathlib import Path

from pdns.files.records import LockedError, remedy


def disk_reason(exc: OSError, directory: Path) -> str:
    """What to tell a person about a write under `directory` that failed, and what to do about it.

    A hidden directory is work in progress and gone when this is read: the one that it lies in is named.
    """
    if isinstance(exc, LockedError):
        return f"nothing is changed: {exc}"
    if directory.name.startswith("."):
        directory = directory.parent
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left in {directory}: make room there (a copy and a blockset are about twice the size of the lists)"
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        path = Path(exc.filename or directory)
        return f"{directory} cannot be written ({exc.strerror}). {remedy(path if path.is_absolute() else directory / path, exc)}"
    return f"{exc.filename or directory}: {exc.strerror or exc}"
