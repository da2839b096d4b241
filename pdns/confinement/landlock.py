"""Landlock (landlock(7)): limits access to files, TCP ports and other processes, for this process and its children."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from struct import pack
from typing import Final

from pdns.confinement.kernel_calls import call

LEAST_ABI: Final = 2  # earlier versions forbid all moves of files between directories
_NET_ABI: Final = 4
_SCOPE_ABI: Final = 6
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_ASK_VERSION: Final = 1
_PATH_BENEATH: Final = 1

_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_READ: Final = 1 << 2 | 1 << 3  # files, directories
_REMOVE_AND_MAKE: Final = sum(1 << bit for bit in range(4, 13))
_REFER: Final = 1 << 13
_TRUNCATE: Final = 1 << 14
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | 1 << 2 | _TRUNCATE
_BIND_TCP: Final = 1 << 0
_CONNECT_TCP: Final = 1 << 1
_ABSTRACT_SOCKETS_AND_SIGNALS: Final = 3


def abi() -> int:
    """The version that the kernel offers; 0 for none."""
    with suppress(OSError):
        return call(_CREATE_RULESET, None, 0, _ASK_VERSION)
    return 0


def restrict(*, write: Iterable[Path], read: Iterable[Path] | None, bind: bool = True, connect: bool = True) -> None:
    """Limit this thread and its children to changing files below `write`, and reading files below `read` and `write`; None: all.
    Without `bind` or `connect`, TCP sockets cannot do that (Linux 6.7). Processes outside cannot be signalled, nor their
    abstract sockets or memory used (Linux 6.12).

    A path in `read` that does not exist is left out. Raises `OSError` with nothing changed if the kernel lacks support, or if a
    path in `write` does not exist, because it could not be created later.
    """
    version = abi()
    if version < LEAST_ABI:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    changing = _WRITE_FILE | _REMOVE_AND_MAKE | _REFER | (_TRUNCATE if version > LEAST_ABI else 0)
    reading = _READ | _EXECUTE if read is not None else 0
    net = (0 if bind else _BIND_TCP) | (0 if connect else _CONNECT_TCP)
    attributes = pack("=QQQ", changing | reading, net, _ABSTRACT_SOCKETS_AND_SIGNALS)
    size = 24 if version >= _SCOPE_ABI else 16 if version >= _NET_ABI else 8
    ruleset = call(_CREATE_RULESET, ctypes.create_string_buffer(attributes, 24), size, 0)
    try:
        for path in write:
            _allow(ruleset, path, changing | reading & _READ)
        for path in read or ():
            with suppress(FileNotFoundError):
                _allow(ruleset, path, reading)
        call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not path.is_dir():
            rights &= _OF_FILES
        call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.create_string_buffer(pack("=Qi", rights, fd), 12), 0)
    finally:
        os.close(fd)
