"""CPU time, memory and descriptors of a process (proc(5))."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, NamedTuple

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_ATTEMPTS: Final = 20
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_BOOTED_S: Final = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)  # /proc/stat may be hidden from a service


class ProcessUsage(NamedTuple):
    """The usage of one process. Times are seconds; points in time are since the epoch."""

    start_time_s: float
    cpu_s: float
    resident_bytes: int
    open_fds: int
    max_fds: int


class _Opened(NamedTuple):
    """Files below /proc that this process cannot open once the child is not dumpable."""

    stat: int
    fds: int  # a directory
    max_fds: int


_opened: Final[dict[int, _Opened]] = {}


def open_files(pid: int) -> None:
    """Open the files that `usage` and `is_busy` read of the child `pid`. Call it before the child hides them from other processes
    of its user. Without these files both functions return nothing later.

    Takes up to `_ATTEMPTS` ms: the kernel lets the parent go on a moment before the new program of the child can be looked at.
    """
    proc = Path(f"/proc/{pid}")
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(0.001)
        with suppress(OSError), ExitStack() as files:
            fds = os.open(proc / "fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            files.callback(os.close, fds)
            stat = os.open(proc / "stat", os.O_RDONLY | os.O_CLOEXEC)
            files.callback(os.close, stat)
            _opened[pid] = _Opened(stat, fds, _max_fds((proc / "limits").read_text()))
            files.pop_all()
            return


def forget(pid: int) -> None:
    """Close the files of a child that is gone."""
    if (opened := _opened.pop(pid, None)) is not None:
        os.close(opened.stat)
        os.close(opened.fds)


def usage(pid: int) -> ProcessUsage | None:
    """The usage of process `pid`; None when it is gone."""
    opened, proc = _opened.get(pid), Path(f"/proc/{pid}")
    try:
        fields = _fields(pid)
        open_fds = len(os.listdir(proc / "fd" if opened is None else opened.fds))  # noqa: PTH208 (names suffice)
        max_fds = _max_fds((proc / "limits").read_text()) if opened is None else opened.max_fds
    except OSError:
        return None
    return ProcessUsage(
        start_time_s=_BOOTED_S + int(fields[19]) / _TICKS_A_SECOND,
        cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND,
        resident_bytes=int(fields[21]) * _PAGE_BYTES,
        open_fds=open_fds,
        max_fds=max_fds,
    )


def is_busy(pid: int) -> bool:
    """Whether process `pid` runs or waits for a core or a disk. False while it sleeps or is stopped."""
    try:
        return _fields(pid)[0] in (b"R", b"D")
    except OSError:
        return False


def _fields(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the state on; the name before them may contain anything. Raises `OSError`."""
    opened = _opened.get(pid)
    stat = Path(f"/proc/{pid}/stat").read_bytes() if opened is None else os.pread(opened.stat, 4096, 0)
    return stat.rpartition(b")")[2].split()


def _max_fds(limits: str) -> int:
    said = next((line.split()[3] for line in limits.splitlines() if line.startswith("Max open files")), "0")
    return int(said) if said.isdigit() else 0
