"""What the supervisor does besides when it is process 1, as in a container."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Final, NoReturn

_LOOK_EVERY_S: Final = 1.0


def is_process_one() -> bool:
    return os.getpid() == 1


def end_on_sigterm() -> None:
    """Make SIGTERM end a start that has not come to its own handlers yet: the kernel ignores it for process 1 otherwise."""
    if is_process_one():
        signal.signal(signal.SIGTERM, signal.default_int_handler)


async def reap_orphans() -> NoReturn:
    """Collect processes that were left to process 1, until cancelled. Without this, each stays as a zombie."""
    before = 0
    while True:
        await asyncio.sleep(_LOOK_EVERY_S if is_process_one() else 3600.0)
        before = reap(before) if is_process_one() else 0


def reap(before: int) -> int:
    """Collect the processes that have ended and have no owner here. `before`: what the last call returned, at first 0.

    Returns a process that has only been seen to have ended; 0 for none. One of our own is collected by its owner long before the
    next call, so one that is still there then is an orphan.
    """
    while found := _ended():
        if found != before:
            return found
        os.waitpid(found, os.WNOHANG)
    return 0


def _ended() -> int:
    """A child that has ended, which is left as it is; 0 for none."""
    try:
        result = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return 0 if result is None else result.si_pid
