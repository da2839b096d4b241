"""System calls that Python has no function for, by way of the C library."""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache


@lru_cache(maxsize=1)
def libc() -> ctypes.CDLL:
    """The C library of this process. Pass its results to `checked`."""
    return ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: object) -> int:
    """Make system call `number` and return its result. Raises `OSError`."""
    syscall = libc().syscall
    syscall.restype = ctypes.c_long
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return checked(syscall(ctypes.c_long(number), *given))


def prctl(option: int, value: int, *more: int) -> int:
    """Calls prctl of the C library. Raises `OSError`."""
    given = [ctypes.c_ulong(one) for one in (value, *more, 0, 0, 0)[:4]]
    return checked(libc().prctl(ctypes.c_int(option), *given))


def checked(result: int) -> int:
    """`result`, unless it is -1. Raises `OSError`, by errno, then."""
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)
