"""What one job may take of this machine. The kernel holds the process that does it to that: a list decides what happens there."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from feeds.containers import MAX_RATIO, SMALL_BYTES, is_packed
from feeds.jobs import ExportJob, Job, Parse, PublishJob
from pdns.confinement.confine import Missing, reason_of

MIB: Final = 1024 * 1024
MAX_DESCRIPTORS: Final = 64
KILLED_AFTER_S: Final = 5  # of processor time, when SIGXCPU has not ended it
# Parsing: of the content, unpacked, and of the entries that it is compared with. Honest lists take at most a fifth of it.
PARSE_CPU_S, PARSE_CPU_S_A_MIB = 30, 1.5
PARSE_MEMORY_BYTES, PARSE_MEMORY_A_BYTE = 512 * MIB, 16
PARSE_FILE_BYTES, PARSE_FILE_A_BYTE = 64 * MIB, 8
# Compiling: of the entries of all lists, which this program has written; `JOB_TIMEOUT_S` bounds its time.
COMPILE_MEMORY_BYTES, COMPILE_MEMORY_A_BYTE = 1024 * MIB, 32
COMPILE_FILE_BYTES, COMPILE_FILE_A_BYTE = 256 * MIB, 8
COMPILE_CPU_S: Final = 900
PUBLISH_FILE_A_BYTE: Final = 64  # of a blockset, which is packed
SALVAGED_A_BYTE: Final = 8  # of entries in a blockset that a feed's are taken from: there they are packed


class Allowance(NamedTuple):
    """Processor time, memory (`RLIMIT_DATA`), and the length of each file that is written."""

    cpu_s: int
    memory_bytes: int
    file_bytes: int
    descriptors: int = MAX_DESCRIPTORS


def allowance_of(job: Job) -> Allowance:
    """What `job` may take, by the size of the files that it reads."""
    if isinstance(job, Parse):
        content_bytes = _content_bytes(job) + _size_bytes(job.before)
        return Allowance(
            PARSE_CPU_S + int(PARSE_CPU_S_A_MIB * content_bytes / MIB),
            PARSE_MEMORY_BYTES + PARSE_MEMORY_A_BYTE * content_bytes,
            PARSE_FILE_BYTES + PARSE_FILE_A_BYTE * content_bytes,
        )
    if isinstance(job, PublishJob | ExportJob):
        listed_bytes = sum(_size_bytes(str(path)) for path in Path(job.blockset).glob("*")) if job.blockset else 0
        return Allowance(
            COMPILE_CPU_S,
            COMPILE_MEMORY_BYTES + COMPILE_MEMORY_A_BYTE * listed_bytes,
            COMPILE_FILE_BYTES + PUBLISH_FILE_A_BYTE * listed_bytes,
            MAX_DESCRIPTORS + (len(job.feeds) if isinstance(job, ExportJob) else 0),
        )
    salvaged = {part.blockset for part in job.parts if part.blockset}
    entries_bytes = sum(_size_bytes(part.parsed) for part in job.parts)
    entries_bytes += SALVAGED_A_BYTE * sum(_size_bytes(str(path)) for directory in salvaged for path in Path(directory).glob("*"))
    return Allowance(
        COMPILE_CPU_S,
        COMPILE_MEMORY_BYTES + COMPILE_MEMORY_A_BYTE * entries_bytes,
        COMPILE_FILE_BYTES + COMPILE_FILE_A_BYTE * entries_bytes,
    )


def hold_to(allowance: Allowance) -> Missing:
    """Bound this process from now on, for good. Past its processor time it dies of SIGXCPU; the rest are errors in it.

    Returns the limits that the system refuses to set, each with its reason: the job is done without them.
    """
    missing = {}
    for name, limit, value in (
        ("cpu", resource.RLIMIT_CPU, allowance.cpu_s),
        ("data", resource.RLIMIT_DATA, allowance.memory_bytes),
        ("fsize", resource.RLIMIT_FSIZE, allowance.file_bytes),
        ("nofile", resource.RLIMIT_NOFILE, allowance.descriptors),
        ("core", resource.RLIMIT_CORE, 0),
    ):
        spare = KILLED_AFTER_S if limit == resource.RLIMIT_CPU else 0
        try:
            _, hard = resource.getrlimit(limit)
            most, last = (
                (value, value + spare) if hard == resource.RLIM_INFINITY else (min(value, hard), min(value + spare, hard))
            )
            resource.setrlimit(limit, (most, last))
        except (OSError, ValueError) as error:
            missing[name] = reason_of(error)
    return missing


def refused_limits() -> Missing:
    """Which limits `hold_to` could not set in a process started by this one, without changing any."""
    missing = {}
    for name, limit in (("cpu", resource.RLIMIT_CPU), ("data", resource.RLIMIT_DATA), ("fsize", resource.RLIMIT_FSIZE)):
        try:
            resource.setrlimit(limit, resource.getrlimit(limit))
        except (OSError, ValueError) as error:
            missing[name] = reason_of(error)
    return missing


def _content_bytes(job: Parse) -> int:
    """What the list has at most, unpacked."""
    raw_bytes = _size_bytes(job.raw)
    packed = job.packed
    with suppress(OSError), Path(job.raw).open("rb") as file:
        packed = packed or is_packed(file)
    return min(job.feed.max_bytes, max(SMALL_BYTES, MAX_RATIO * raw_bytes)) if packed else raw_bytes


def _size_bytes(path: str) -> int:
    try:
        return Path(path).stat().st_size if path else 0
    except OSError:
        return 0
