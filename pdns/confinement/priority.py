"""Feeds come last: whoever answers queries gets the processor, and the memory, first. The quic process is behind the workers.

See `docs/decisions/0080-a-refresh-that-disturbs-less.md`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from pathlib import Path
from struct import pack
from typing import Final

from pdns.confinement.kernel_calls import call

NICE = 10
NICE_OF_QUIC = 5  # a handshake costs as much as hundreds of answers of a worker
_OOM_SCORE = "800"
_OOM_SCORE_OF_QUIC = "500"
_SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}
_SCHED_ATTR: Final = "=IIQiIQQQ"  # its size, policy, flags, niceness, priority; then three times in nanoseconds
_SCHED_ATTR_BYTES: Final = 48
_SHORT_TURN_NS: Final = 100_000  # the shortest that Linux grants


def step_back() -> None:
    """Run this process as batch work with a niceness of at least `NICE`. The kernel ends it first when memory runs out."""
    with contextlib.suppress(OSError):
        os.nice(max(0, NICE - os.nice(0)))
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    _end_first(_OOM_SCORE)


def come_after_workers() -> None:
    """Run this process with a niceness of at least `NICE_OF_QUIC`. The kernel ends it before the workers."""
    with contextlib.suppress(OSError):
        os.nice(max(0, NICE_OF_QUIC - os.nice(0)))
    _end_first(_OOM_SCORE_OF_QUIC)


def take_short_turns() -> None:
    """Let this process run soon after it is woken, for short turns: Linux 6.12 and later serve those who ask for less first.

    Its share of the processor stays what it is.
    """
    number = _SCHED_SETATTR.get(os.uname().machine)
    if number is None:
        return
    with contextlib.suppress(OSError):
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        wanted = pack(_SCHED_ATTR, _SCHED_ATTR_BYTES, os.SCHED_OTHER, 0, nice, 0, _SHORT_TURN_NS, 0, 0)
        call(number, 0, ctypes.create_string_buffer(wanted), 0)


def step_back_in_thread() -> None:
    """Run this thread, and no other, as batch work with a niceness of at least `NICE`."""
    thread = threading.get_native_id()
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, thread, max(NICE, os.getpriority(os.PRIO_PROCESS, thread)))
    with contextlib.suppress(OSError):
        os.sched_setscheduler(thread, os.SCHED_BATCH, os.sched_param(0))


def _end_first(score: str) -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(score, encoding="ascii")
