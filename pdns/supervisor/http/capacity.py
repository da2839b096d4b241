"""What the machine and the configuration allow: the values that usage is compared with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pdns.config.memory import usable_memory
from pdns.config.schema import Config

MEMORY = usable_memory()


def limits(config: Config) -> Iterator[tuple[str, int]]:
    """The value of `pdns_limit` for each of its labels, over all workers together. Bytes for memory."""
    yield "in_flight", config.upstream.max_in_flight
    yield "tcp_connections", config.server.tcp_max_connections
    yield "cache_bytes", config.cache.max_bytes
    yield "memory_bytes", MEMORY


def disk(state_dir: Path) -> Iterator[tuple[str, int]]:
    """Bytes of the file system of the state directory, and those that the service can still write; nothing if unknown."""
    with suppress(OSError):
        of = os.statvfs(state_dir)
        yield "state_disk_bytes", of.f_blocks * of.f_frsize
        yield "state_disk_free_bytes", of.f_bavail * of.f_frsize
