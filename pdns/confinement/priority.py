"""Feeds come last: whoever answers queries gets the processor, and the memory, first."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

NICE = 10
_OOM_SCORE = "800"


def step_back() -> None:
    """Run this process as batch work with a niceness of at least `NICE`. The kernel ends it first when memory runs out."""
    with contextlib.suppress(OSError):
        os.nice(max(0, NICE - os.nice(0)))
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")
