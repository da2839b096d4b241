"""The number of cores that this process may use, by CPU affinity and the CPU quota of its control groups."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final

_PROC: Final = Path("/proc/self")


def usable_cores(proc: Path = _PROC) -> int:
    """Cores that this process may use, at least 1: those of its affinity, or fewer if a control group's quota is lower.

    A quota is rounded up: with a quota of 1.5 cores, a single worker would leave a third unused.
    """
    allowed = len(os.sched_getaffinity(0))
    quota = cpu_quota(proc)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cpu_quota(proc: Path = _PROC) -> float | None:
    """The least CPU quota, in cores, of the control groups (v1 and v2) of this process and of those above them; None without one.

    `proc` is the directory of the process in procfs. If it cannot be read, there is no quota.
    """
    return min((quota for group in control_groups("cpu", proc) for quota in _quota_of(group)), default=None)


def control_groups(controller: str, proc: Path = _PROC) -> list[Path]:
    """The directories of the control groups (v1 and v2) that limit this process, and of those above them, if mounted.

    `controller` is that of v1. Empty if procfs cannot be read.
    """
    found: list[Path] = []
    with suppress(OSError, ValueError):
        memberships = _memberships((proc / "cgroup").read_text())
        for line in (proc / "mountinfo").read_text().splitlines():
            fields, _, rest = line.partition(" - ")
            kind, _, options = rest.partition(" ")
            root, mount_point = (_unescaped(field) for field in fields.split()[3:5])
            if kind == "cgroup2":
                path = memberships.get("")
            elif kind == "cgroup" and controller in options.split()[-1].split(","):
                path = memberships.get(controller)
            else:
                continue
            if path is not None:
                found += _groups(Path(mount_point), root, path)
    return found


def _memberships(text: str) -> dict[str, str]:
    """By controller ("" for v2), the path of the group that this process is in (cgroups(7))."""
    found = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = path
    return found


def _groups(mount_point: Path, root: str, path: str) -> list[Path]:
    """The directories of the group at `path` and of each above it, as far as `mount_point` shows them."""
    try:
        below = PurePosixPath(path).relative_to(root)
    except ValueError:  # in a container the path may be the host's; then the mount is the group itself
        below = PurePosixPath()
    if ".." in below.parts:
        below = PurePosixPath()
    group = mount_point / below
    groups = [group]
    while group != mount_point:
        group = group.parent
        groups.append(group)
    return groups


def _quota_of(group: Path) -> list[float]:
    with suppress(OSError, ValueError, ZeroDivisionError):
        limit, period = (group / "cpu.max").read_text().split()
        return [] if limit == "max" else [int(limit) / int(period)]
    with suppress(OSError, ValueError, ZeroDivisionError):
        limit_us = int((group / "cpu.cfs_quota_us").read_text())
        period_us = int((group / "cpu.cfs_period_us").read_text())
        return [limit_us / period_us] if limit_us > 0 else []
    return []


def _unescaped(field: str) -> str:
    """A path from mountinfo, where space, tab, newline and backslash are octal."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
