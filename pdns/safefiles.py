"""Files that another process, or another user, may have put in our way: read only if they are regular, and only so much."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

_CHUNK_BYTES: Final = 1024 * 1024
_KINDS: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotRegularError(OSError):
    """A directory, pipe, link, socket or device where a regular file was expected."""


class TooLongError(OSError):
    """A file that is longer than its reader allows."""


def read_bounded(path: Path, max_bytes: int, *, follow_links: bool = False) -> bytes:
    """The content of the regular file at `path`, at most `max_bytes` of it. Never waits for another process.

    A symbolic link as the last part of `path` is refused unless `follow_links`. Raises `NotRegularError`, `TooLongError`
    (nothing is read of a file whose size says so) or another `OSError`.
    """
    fd = open_regular(path, follow_links=follow_links)
    try:
        content = bytearray()
        if os.fstat(fd).st_size <= max_bytes:
            while chunk := os.read(fd, min(_CHUNK_BYTES, max_bytes + 1 - len(content))):
                content += chunk
                if len(content) > max_bytes:
                    break
            else:
                return bytes(content)
    finally:
        os.close(fd)
    raise TooLongError(errno.EFBIG, f"longer than {max_bytes:,} bytes", str(path))


def open_regular(path: Path, *, follow_links: bool = False) -> int:
    """A descriptor to read the regular file at `path` from; not inherited by children.

    Never waits: neither for the writer of a pipe nor for a terminal. Raises `NotRegularError` or another `OSError`.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    try:
        fd = os.open(path, flags)
    except OSError as exc:
        if exc.errno == errno.ELOOP and not follow_links:
            raise NotRegularError(errno.ELOOP, "a symbolic link, not a regular file", str(path)) from None
        if exc.errno == errno.ENXIO:
            raise NotRegularError(errno.ENXIO, "a socket or a device, not a regular file", str(path)) from None
        raise
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        raise NotRegularError(errno.EINVAL, f"{kind}, not a regular file", str(path))
    return fd
