"""What the kernel says of a process (proc(5))."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final, NamedTuple

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_BOOTED_S: Final = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)  # /proc/stat may be hidden from a service


class ProcessUsage(NamedTuple):
    """One process. Times are seconds, those of the clock since the epoch."""

    start_time_s: float
    cpu_s: float
    resident_bytes: int
    open_fds: int
    max_fds: int


def usage(pid: int) -> ProcessUsage | None:
    """What process `pid` uses; None when it is gone."""
    proc = Path(f"/proc/{pid}")
    try:
        fields = (proc / "stat").read_bytes().rpartition(b")")[2].split()  # the name before it may hold anything
        open_fds = len(os.listdir(proc / "fd"))  # noqa: PTH208 (names suffice)
        limits = (proc / "limits").read_text()
    except OSError:
        return None
    max_fds = next((line.split()[3] for line in limits.splitlines() if line.startswith("Max open files")), "0")
    return ProcessUsage(
        start_time_s=_BOOTED_S + int(fields[19]) / _TICKS_A_SECOND,
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND,
        resident_bytes=int(fields[21]) * _PAGE_BYTES,
        open_fds=open_fds,
        max_fds=int(max_fds) if max_fds.isdigit() else 0,
    )


def is_busy(pid: int) -> bool:
    """Whether process `pid` runs, or would if it had a core or what it reads from the disk; not when it sleeps or is stopped."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in (b"R", b"D")
    except OSError:
        return False
