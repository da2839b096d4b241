"""What the kernel says of a process: CPU time, memory, children. Linux."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import msgspec

_KIB = 1024


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Resident memory of one process in bytes. `pss`: shared pages divided by the number of processes that map them."""

    rss: int
    pss: int
    anonymous: int
    blockset: int  # pages of files below a directory named blocksets


def cpu_s(pid: int) -> float:
    """CPU time that all threads of `pid` have used, ended ones included, to the nanosecond. Raises `OSError`."""
    return time.clock_gettime(~pid << 3 | 2)  # clock_getcpuclockid(3), which Python has only for threads


def waited_s(pid: int) -> float:
    """How long the live threads of `pid` have waited for a core while they could run; 0 where the kernel does not count it."""
    waited_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            waited_ns += int((task / "schedstat").read_text().split()[1])
    return waited_ns / 1e9


def pin(pid: int, core: int) -> None:
    """Every thread of `pid` runs on `core` from now on; threads that it starts inherit that."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), {core})


def cores() -> list[int]:
    """The cores that this process may use, lowest first."""
    return sorted(os.sched_getaffinity(0))


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat that follow the name: state, parent, ... Raises `OSError`."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def children(pid: int) -> dict[int, str]:
    """The live children of `pid`: id to command line, arguments separated by spaces."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if int(stat(int(entry.name))[1]) == pid:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return found


def memory(pid: int) -> Memory:
    """Resident memory of `pid` now. Raises `OSError`."""
    sums = _fields(Path(f"/proc/{pid}/smaps_rollup").read_text())
    return Memory(
        rss=sums["Rss"],
        pss=sums["Pss"],
        anonymous=sums["Anonymous"],
        blockset=_resident_below(Path(f"/proc/{pid}/smaps").read_text(), "/blocksets/"),
    )


def _fields(text: str) -> dict[str, int]:
    fields = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if value.endswith(" kB"):
            fields[key] = int(value[:-3]) * _KIB
    return fields


def _resident_below(smaps: str, part: str) -> int:
    total = 0
    counts = False
    for line in smaps.splitlines():
        if "-" in line.split(" ", 1)[0]:  # the head of a mapping: its address range, and its file last
            counts = part in line
        elif counts and line.startswith("Rss:"):
            total += int(line.split()[1]) * _KIB
    return total
