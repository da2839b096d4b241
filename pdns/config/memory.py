"""The memory that this process and its children may use, by the machine and its control groups."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from pdns.config.cpus import control_groups

_PROC: Final = Path("/proc/self")
_FILES: Final = (
    "memory.max",
    "memory.high",
    "memory.limit_in_bytes",
)  # v2 and v1; above `high` it is slowed down


def usable_memory(proc: Path = _PROC) -> int:
    """Bytes: the memory of the machine, or the least limit of the control groups of this process if that is lower.

    `proc` is the directory of the process in procfs.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *(limit for group in control_groups("memory", proc) for limit in _limits_of(group))])


def _limits_of(group: Path) -> list[int]:
    found = []
    for name in _FILES:
        with suppress(OSError, ValueError):  # "max": no limit
            found.append(int((group / name).read_text()))
    return found
