"""What is read from the kernel about processes, and which addresses count as ours."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loadtest import process
from loadtest.loopback import loopback


def test_cpu_time_is_that_of_the_process() -> None:
    """The clock of our own process by its id is Python's clock of this process."""
    before = time.process_time()
    measured = process.cpu_s(os.getpid())
    assert before <= measured <= time.process_time()


def test_cpu_time_of_a_process_that_is_gone() -> None:
    """A process that ended has no CPU time: an error, not 0."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(OSError):
        process.cpu_s(child.pid)


def test_children_are_found_by_command_line() -> None:
    """A child is listed with its arguments."""
    with subprocess.Popen([sys.executable, "-c", "input()", "marker"], stdin=subprocess.PIPE) as child:
        deadline = time.monotonic() + 5
        while "marker" not in process.children(os.getpid()).get(child.pid, "") and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "marker" in process.children(os.getpid())[child.pid]
        child.communicate()


def test_pin_keeps_a_process_on_a_core() -> None:
    """A pinned process may use that core alone."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        core = process.cores()[-1]
        process.pin(child.pid, core)
        assert os.sched_getaffinity(child.pid) == {core}
        child.communicate()


def test_memory_counts_mapped_blockset_pages(tmp_path: Path) -> None:
    """Pages of a file below `blocksets` are counted apart, and are part of the resident memory."""
    (tmp_path / "blocksets").mkdir()
    file = tmp_path / "blocksets" / "names"
    file.write_bytes(b"x" * 65536)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert mapped[::4096] == b"x" * 16  # touches every page
        memory = process.memory(os.getpid())
    assert memory.blockset == 65536
    assert memory.rss >= memory.pss > memory.blockset
    assert memory.anonymous > 0


@pytest.mark.parametrize(("host", "text"), [("127.0.0.1", "127.0.0.1:53"), ("127.9.8.7", "127.9.8.7:53"), ("::1", "[::1]:53")])
def test_loopback_addresses(host: str, text: str) -> None:
    """127.0.0.0/8 and ::1 are on this machine."""
    assert str(loopback(host, 53)) == text


@pytest.mark.parametrize(("host", "port"), [("192.0.2.1", 53), ("::", 53), ("0.0.0.0", 53), ("localhost", 53), ("127.0.0.1", 0)])
def test_other_addresses_are_refused(host: str, port: int) -> None:
    """Anything else is refused, names included."""
    with pytest.raises(ValueError):
        loopback(host, port)
