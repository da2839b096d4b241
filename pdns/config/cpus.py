"""The number of cores that this process may use, by CPU affinity and the CPU quota of its control groups."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

from pdns.config.control_groups import PROC, groups


def usable_cores(proc: Path = PROC) -> int:
    """Cores that this process may use, at least 1: those of its affinity, or fewer if a control group's quota is lower.

    A quota is rounded up: with a quota of 1.5 cores, a single worker would leave a third unused.
    """
    allowed = len(os.sched_getaffinity(0))
    quota = cpu_quota(proc)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cpu_quota(proc: Path = PROC) -> float | None:
    """The least CPU quota, in cores, of the control groups (v1 and v2) of this process and of those above them; None without one.

    `proc` is the directory of the process in procfs. If it cannot be read, there is no quota.
    """
    quotas: list[float] = []
    with suppress(OSError, ValueError):
        for group in groups("cpu", proc):
            quotas += _quota_of(group)
    return min(quotas, default=None)


def _quota_of(group: Path) -> list[float]:
    with suppress(OSError, ValueError, ZeroDivisionError):
        limit, period = (group / "cpu.max").read_text().split()
        return [] if limit == "max" else [int(limit) / int(period)]
    with suppress(OSError, ValueError, ZeroDivisionError):
        limit_us = int((group / "cpu.cfs_quota_us").read_text())
        period_us = int((group / "cpu.cfs_period_us").read_text())
        return [limit_us / period_us] if limit_us > 0 else []
    return []
