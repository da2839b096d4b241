"""The memory that a process may use, on trees of control groups as kernels show them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pdns.config.memory import usable_memory
from tests.unit.config.test_cpus import FakeSystem

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def system(tmp_path: Path) -> FakeSystem:
    return FakeSystem(tmp_path)


def test_the_least_limit_on_the_path_counts(system: FakeSystem) -> None:
    """A group may not use more than any group above it; "max" is no limit."""
    system.put("/a", memory__max="300000000")
    system.put("/a/b", memory__max="800000000")
    system.put("/a/b/c", memory__max="max")
    system.member("0::/a/b/c", "cgroup2")
    assert usable_memory(system.proc) == 300_000_000


def test_v1(system: FakeSystem) -> None:
    """The kernel writes a huge number where there is no limit."""
    system.put("/", memory__limit_in_bytes="9223372036854771712")
    system.put("/docker/x", memory__limit_in_bytes="200000000")
    system.member("4:memory:/docker/x", "cgroup", "rw,memory")
    assert usable_memory(system.proc) == 200_000_000


@pytest.mark.parametrize("limit", ["max", "9223372036854771712", "odd"])
def test_without_a_limit_it_is_the_memory_of_the_machine(system: FakeSystem, limit: str) -> None:
    """No limit, one above the memory of the machine, or an unreadable one."""
    system.put("/", memory__max=limit)
    system.member("0::/", "cgroup2")
    assert usable_memory(system.proc) == MACHINE
    assert usable_memory(Path("/nowhere")) == MACHINE
