"""Feeds come last: whoever answers queries gets the processor, and the memory, first. The quic process is behind the workers."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

NICE = 10
NICE_OF_QUIC = 5  # a handshake costs as much as hundreds of answers of a worker
_OOM_SCORE = "800"
_OOM_SCORE_OF_QUIC = "500"


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


def _end_first(score: str) -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(score, encoding="ascii")
