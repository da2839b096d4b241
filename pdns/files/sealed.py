"""Shared memory that no process can shorten or, once it is sealed, change. A mapping is taken up and given back in slices.

A process that maps a file on a disk dies with SIGBUS when the file is truncated. This cannot happen with such memory.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from pdns.files.pieces import pieces

_POPULATE_READ: Final = 22  # MADV_POPULATE_READ, of Linux 5.14
_SLICE_BYTES: Final = 256 * 1024  # for which the interpreter is held: some 50 us
_PAUSE_S: Final = 0.0005
_FIXED_SIZE: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def new_memory(name: str, size_bytes: int) -> int:
    """A descriptor of `size_bytes` of zeros, writable, with a fixed size. `name` is shown in /proc.

    Raises `OSError`.
    """
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size_bytes)
        with suppress(PermissionError):  # a worker may change no attributes, and shares no memory that it makes
            os.fchmod(fd, 0o400)  # who has it by `read_only` cannot open it again and write
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _FIXED_SIZE)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_only(fd: int) -> int:
    """A new descriptor of the memory behind `fd`, through which it cannot be written. The caller owns it. Raises `OSError`."""
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


def sealed_memory(name: str, parts: Iterable[bytes | memoryview]) -> int:
    """A descriptor of memory with the concatenated `parts`, which can never change.

    Raises `OSError`, and whatever `parts` raises.
    """
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for part in parts:
            for piece in pieces(part):
                left = piece
                while left:
                    left = left[os.write(fd, left) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | _FIXED_SIZE)
    except BaseException:
        os.close(fd)
        raise
    return fd


def take_up(memory: mmap.mmap) -> None:
    """Have every page of a mapping at hand, so that no look-up waits for one. For a thread: others run in between.

    Without effect before Linux 5.14.
    """
    _in_slices(memory, _POPULATE_READ)


def give_back(memory: mmap.mmap) -> None:
    """Give back the pages of a mapping that is read-only: closing a large one at once holds up everything else in the process.

    For a thread: others run in between. Pages that are read again come back.
    """
    _in_slices(memory, mmap.MADV_DONTNEED)


def _in_slices(memory: mmap.mmap, advice: int) -> None:
    with suppress(OSError):
        for start in range(0, len(memory), _SLICE_BYTES):
            memory.madvise(advice, start, min(_SLICE_BYTES, len(memory) - start))
            time.sleep(_PAUSE_S)
