"""The memory that a configuration may need, and the limit of a real group."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from pdns.config.memory_need import memory_notes, needed_bytes
from pdns.config.schema import Cache, Config
from tests.unit.config.test_cpus import FakeSystem, real_group

MIB = 1 << 20


@pytest.fixture
def system(tmp_path: Path) -> FakeSystem:
    return FakeSystem(tmp_path)


def test_a_warning_names_what_is_needed(system: FakeSystem) -> None:
    """It grows with the cache and the workers, and is silent at the limit that it asks for."""
    config = Config()
    large = replace(config, cache=Cache(max_bytes=1 << 30))
    assert needed_bytes(large, 2) - needed_bytes(config, 2) == (1 << 30) - config.cache.max_bytes
    assert needed_bytes(config, 1) == needed_bytes(config, 2) < needed_bytes(config, 8)
    system.put("/", memory__max=str(needed_bytes(config, 2)))
    system.member("0::/", "cgroup2")
    assert list(memory_notes(config, 2, system.proc)) == []
    (note,) = memory_notes(large, 2, system.proc)
    assert "has 320 MiB" in note
    assert "may need 1280 MiB" in note


def test_a_real_group() -> None:
    """A process in a group of the kernel of this machine sees its limit."""
    with real_group("memory", {"memory.max": str(100 * MIB), "memory.limit_in_bytes": str(100 * MIB)}) as group:
        code = "from pdns.config.memory import usable_memory; print(usable_memory())"
        join = f'echo $$ > "{group}/cgroup.procs" && exec "$0" -c "$1"'
        said = subprocess.run(["sh", "-c", join, sys.executable, code], capture_output=True, text=True, timeout=60, check=True)
    assert int(said.stdout) == 100 * MIB
