"""The cores that a process may use, on trees of control groups as kernels show them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pdns.config.cpus import cpu_quota, usable_cores


class FakeSystem:
    """Control groups under `tmp_path`, and what procfs says of a process in them."""

    def __init__(self, directory: Path) -> None:
        self.proc = directory / "proc"
        self.mounted = directory / "cgroup with a space"
        self.proc.mkdir()
        self.mounted.mkdir()

    def put(self, group: str, **files: str) -> None:
        path = self.mounted / group.lstrip("/")
        path.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (path / name.replace("__", ".")).write_text(f"{content}\n")

    def member(self, membership: str, filesystem: str, options: str = "rw", root: str = "/") -> None:
        (self.proc / "cgroup").write_text(f"12:devices:/other\n{membership}\n")
        where = str(self.mounted).replace(" ", "\\040")
        lines = [
            "22 1 0:20 / /proc rw,nosuid shared:5 - proc proc rw",
            f"30 1 0:26 {root} {where} rw,nosuid shared:9 - {filesystem} cgroup {options}",
        ]
        (self.proc / "mountinfo").write_text("\n".join(lines) + "\n")


@pytest.fixture
def system(tmp_path: Path) -> FakeSystem:
    return FakeSystem(tmp_path)


def test_v2_the_smallest_on_the_path_counts(system: FakeSystem) -> None:
    """A group may not use more than any group above it."""
    system.put("/a", cpu__max="150000 100000")
    system.put("/a/b", cpu__max="400000 100000")
    system.put("/a/b/c", cpu__max="max 100000")
    system.member("0::/a/b/c", "cgroup2")
    assert cpu_quota(system.proc) == 1.5


def test_v1(system: FakeSystem) -> None:
    """A quota of -1 means no quota."""
    system.put("/", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    system.put("/docker/x", cpu__cfs_quota_us="30000", cpu__cfs_period_us="100000")
    system.member("4:cpu,cpuacct:/docker/x", "cgroup", "rw,cpu,cpuacct")
    assert cpu_quota(system.proc) == 0.3
    assert usable_cores(system.proc) == 1


@pytest.mark.parametrize("membership", ["0::/", "0::/kubepods/pod1/c1", "0::/../../init.scope"])
def test_in_a_container_the_group_itself_is_mounted(system: FakeSystem, membership: str) -> None:
    """Whatever path the process is said to be at."""
    system.put("/", cpu__max="100000 100000")
    system.member(membership, "cgroup2", root="/kubepods/pod1/c2")
    assert cpu_quota(system.proc) == 1.0


@pytest.mark.parametrize("content", ["max 100000", "", "no numbers", "1 0 3"])
def test_no_quota(system: FakeSystem, content: str) -> None:
    """What says nothing limits nothing."""
    system.put("/a", cpu__max=content)
    system.member("0::/a", "cgroup2")
    assert cpu_quota(system.proc) is None
    assert usable_cores(system.proc) == len(os.sched_getaffinity(0))


def test_without_procfs(tmp_path: Path) -> None:
    """A procfs that is not there limits nothing."""
    assert cpu_quota(tmp_path / "missing") is None


def test_a_period_of_zero(system: FakeSystem) -> None:
    """A file that cannot be true limits nothing, and raises nothing."""
    system.put("/a", cpu__max="100000 0")
    system.member("0::/a", "cgroup2")
    assert cpu_quota(system.proc) is None


def test_rounded_up_and_never_more_than_the_affinity(system: FakeSystem) -> None:
    """A thousand cores of quota on this machine are as many as it has."""
    system.put("/a", cpu__max="100000000 100000")
    system.member("0::/a", "cgroup2")
    assert usable_cores(system.proc) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("quota_us", "cores"), [(150_000, 1.5), (50_000, 0.5)])
def test_a_real_group(quota_us: int, cores: float) -> None:
    """A process in a group of the kernel of this machine sees its quota."""
    with real_group("cpu", {"cpu.max": f"{quota_us} 100000", "cpu.cfs_quota_us": str(quota_us)}) as group:
        code = "from pdns.config.cpus import cpu_quota, usable_cores; print(cpu_quota(), usable_cores())"
        join = f'echo $$ > "{group}/cgroup.procs" && exec "$0" -c "$1"'
        said = subprocess.run(["sh", "-c", join, sys.executable, code], capture_output=True, text=True, timeout=60, check=True)
    expected = min(len(os.sched_getaffinity(0)), -(-quota_us // 100_000))
    assert said.stdout.split() == [str(cores), str(expected)]


@contextmanager
def real_group(controller: str, limits: dict[str, str]) -> Iterator[Path]:
    """A control group below the root (v1 or v2) with those of `limits` that it has; skips where that is not allowed."""
    for top in (Path("/sys/fs/cgroup") / controller, Path("/sys/fs/cgroup")):
        group = top / f"pdns-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            there = [name for name in limits if (group / name).exists()]
            if there:
                for name in there:
                    (group / name).write_text(limits[name])
                yield group
                return
        finally:
            group.rmdir()
    pytest.skip(f"no control group with {controller} can be made here")
