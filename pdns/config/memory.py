"""The memory that this process may use, by the limits of its control groups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from pdns.config.control_groups import PROC, groups
from pdns.config.schema import Config

_UNLIMITED_BYTES: Final = 1 << 60  # v1 writes a number near 2^63 where there is no limit
_MIB: Final = 1 << 20
# Measured: docs/install.md. All processes with two workers and a million listed names, while a list is compiled.
_PROGRAM_BYTES: Final = 256 * _MIB
_WORKER_BYTES: Final = 32 * _MIB  # for each worker above two


def memory_limit(proc: Path = PROC) -> int | None:
    """The least memory limit, in bytes, of the control groups (v1 and v2) of this process and of those above them.

    None without one. `proc` is the directory of the process in procfs. If it cannot be read, there is no limit.
    """
    limits: list[int] = []
    with suppress(OSError, ValueError):
        for group in groups("memory", proc):
            limits += _limits_of(group)
    return min(limits, default=None)


def needed_bytes(config: Config, workers: int) -> int:
    """About what all processes together take at most with a million listed names."""
    return _PROGRAM_BYTES + config.cache.max_bytes + max(0, workers - 2) * _WORKER_BYTES


def memory_notes(config: Config, workers: int, proc: Path = PROC) -> Iterator[str]:
    """A warning if the limit is less than what this configuration may come to need."""
    limit, needed = memory_limit(proc), needed_bytes(config, workers)
    if limit is not None and limit < needed:
        yield (
            f"the memory limit of this container or service is {limit // _MIB} MiB. With a million listed names, {workers} worker"
            f"{'s' * (workers != 1)} and cache.max_bytes = {config.cache.max_bytes} may need {-(-needed // _MIB)} MiB:"
            " raise the limit, or lower cache.max_bytes"
        )


def _limits_of(group: Path) -> list[int]:
    found = []
    for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            limit = int((group / name).read_text())
            if 0 < limit < _UNLIMITED_BYTES:
                found.append(limit)
    return found
