"""The memory that a configuration may need, beside what this process may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pdns.config.memory import usable_memory
from pdns.config.schema import Config

_MIB: Final = 1 << 20
# Measured: docs/install.md. All processes with two workers and a million listed names, while a list is compiled.
_PROGRAM_BYTES: Final = 256 * _MIB
_WORKER_BYTES: Final = 32 * _MIB  # for each worker above two


def needed_bytes(config: Config, workers: int) -> int:
    """About what all processes together take at most with a million listed names."""
    return _PROGRAM_BYTES + config.cache.max_bytes + max(0, workers - 2) * _WORKER_BYTES


def memory_notes(config: Config, workers: int, proc: Path = Path("/proc/self")) -> Iterator[str]:
    """A warning if the memory of the machine, or the limit of a container or service, is less than that."""
    usable, needed = usable_memory(proc), needed_bytes(config, workers)
    if usable < needed:
        yield (
            f"this container, service or machine has {usable // _MIB} MiB of memory. With a million names, {workers} worker"
            f"{'s' * (workers != 1)} and cache.max_bytes = {config.cache.max_bytes} may need {-(-needed // _MIB)} MiB:"
            " raise the limit, or lower cache.max_bytes"
        )
