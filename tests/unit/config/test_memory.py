"""The limit of memory, on trees of control groups as kernels show them and in a real group."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from pdns.config.memory import memory_limit, memory_notes, needed_bytes
from pdns.config.schema import Cache, Config
from tests.unit.config.test_cpus import FakeSystem, real_group

MIB = 1 << 20


@pytest.fixture
def system(tmp_path: Path) -> FakeSystem:
    return FakeSystem(tmp_path)


def test_v2_the_smallest_on_the_path_counts(system: FakeSystem) -> None:
    """`memory.high`, above which the kernel slows a group down, counts too."""
    system.put("/a", memory__max=str(512 * MIB), memory__high="max")
    system.put("/a/b", memory__max="max", memory__high=str(256 * MIB))
    system.member("0::/a/b", "cgroup2")
    assert memory_limit(system.proc) == 256 * MIB


def test_v1(system: FakeSystem) -> None:
    """The huge number of v1 is no limit."""
    system.put("/", memory__limit_in_bytes="9223372036854771712")
    system.put("/docker/x", memory__limit_in_bytes=str(128 * MIB))
    system.member("4:memory:/docker/x", "cgroup", "rw,memory")
    assert memory_limit(system.proc) == 128 * MIB


@pytest.mark.parametrize("content", ["max", "", "no number", "0", "-1"])
def test_no_limit(system: FakeSystem, content: str) -> None:
    """What says nothing limits nothing."""
    system.put("/a", memory__max=content)
    system.member("0::/a", "cgroup2")
    assert memory_limit(system.proc) is None


def test_without_procfs(tmp_path: Path) -> None:
    """A procfs that is not there limits nothing."""
    assert memory_limit(tmp_path / "missing") is None


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
    assert "is 320 MiB" in note
    assert "may need 1280 MiB" in note


def test_a_real_group() -> None:
    """A process in a group of the kernel of this machine sees its limit."""
    with real_group("memory", {"memory.max": str(100 * MIB), "memory.limit_in_bytes": str(100 * MIB)}) as group:
        code = "from pdns.config.memory import memory_limit; print(memory_limit())"
        join = f'echo $$ > "{group}/cgroup.procs" && exec "$0" -c "$1"'
        said = subprocess.run(["sh", "-c", join, sys.executable, code], capture_output=True, text=True, timeout=60, check=True)
    assert int(said.stdout) == 100 * MIB
