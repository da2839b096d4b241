"""What stays level, and what does not: leaks made on purpose, in real processes."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.footprint import (
    Footprint,
    Life,
    Point,
    descriptor_verdicts,
    disk_verdict,
    drops_verdict,
    memory_verdicts,
    process_verdict,
    slope,
    tree,
    udp_drops,
)
from loadtest.loopback import udp_socket

LEAKING = """
import os, time
kept = []
print(flush=True)
while True:
    kept.append(bytearray(os.urandom(400_000)))
    os.dup(0)
    time.sleep(0.02)
"""
STEADY = "import time; print(flush=True); time.sleep(60)"
CHILD = "[sys.executable, '-c', 'import time; time.sleep(60)'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL"
LEAVING_ONE = f"import subprocess, sys; subprocess.Popen({CHILD}); {STEADY}"


@contextlib.contextmanager
def started(code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like the supervisor to `tree`."""
    process = subprocess.Popen([sys.executable, "-c", code, "pdns serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def sampled(code: str, directory: Path) -> tuple[Footprint, list[Point], list[Point]]:
    """The samples of a second, the first ones, and the last ones."""
    with started(code) as process:
        footprint = Footprint(process.pid, directory, 9)
        before = footprint.sample()
        for _ in range(25):
            time.sleep(0.04)
            after = footprint.sample()
    return footprint, before, after


def test_a_process_that_leaks_is_noticed(tmp_path: Path) -> None:
    """Memory that grows by megabytes, and descriptors that are never closed, fail their checks."""
    footprint, before, after = sampled(LEAKING, tmp_path)
    memory = memory_verdicts(footprint.points, run_s=footprint.points[-1].at_s)
    assert [verdict.ok for verdict in memory] == [False]
    assert [verdict.ok for verdict in descriptor_verdicts(before, after) if "supervisor" in verdict.what] == [False]


def test_a_process_that_is_steady_is_level(tmp_path: Path) -> None:
    """What does not grow passes, and a process that is not there does not."""
    footprint, before, after = sampled(STEADY, tmp_path)
    assert [verdict.ok for verdict in memory_verdicts(footprint.points, footprint.points[-1].at_s)] == [True]
    assert [verdict.ok for verdict in descriptor_verdicts(before, after)] == [True, False, False]
    assert process_verdict(before, after, footprint.left_alive()).ok


def test_a_process_that_outlives_the_resolver_is_noticed(tmp_path: Path) -> None:
    """A child that goes on after its parent was killed is left alive; one more than before is one too many."""
    with started(LEAVING_ONE) as process:
        footprint = Footprint(process.pid, tmp_path, 9)
        while len(after := footprint.sample()) < 2:
            time.sleep(0.02)
    left = footprint.left_alive()
    try:
        assert len(left) == 1
        assert process_verdict(after[:1], after[:1], []).ok
        assert not process_verdict(after[:1], after[:1], left).ok
        assert not process_verdict(after[:1], after, []).ok
    finally:
        for life in left:
            os.kill(life.pid, 9)


def test_the_slope_is_that_of_the_line() -> None:
    """Least squares: exact on a line, and between two lines when half the points are on each."""
    assert slope([(x, 3.0 * x + 7) for x in range(10)]) == pytest.approx(3)
    assert slope([(x, 2.0 * x + x % 2) for x in range(1001)]) == pytest.approx(2, abs=0.01)


def test_only_the_second_half_counts_and_a_new_process_settles_first() -> None:
    """Growth in the first half, or in a process's first tenth of the run, is not a leak; too few points say nothing."""
    old, young, dead = Life(1, 1), Life(2, 2), Life(3, 3)
    points = [Point(at, old, "supervisor", 0, min(at, 50) * 1_000_000, 0, 5) for at in range(101)]
    points += [Point(at, young, "worker", 0, min(at, 70) * 1_000_000, 0, 5) for at in range(60, 101)]
    points += [Point(at, dead, "worker", 0, at * 9_000_000, 0, 5) for at in range(90)]
    assert [(v.what, v.ok) for v in memory_verdicts(points, 100)] == [
        ("memory of supervisor 1", True),
        ("memory of worker 2", True),
    ]
    assert [v.ok for v in memory_verdicts(points[:101], 10)] == [None]
    rising = [point._replace(pss=point.pss + int(point.at_s) * 200_000) for point in points[:101]]
    assert [v.ok for v in memory_verdicts(rising, 100)] == [False]


def test_a_long_run_has_less_patience_than_a_short_one() -> None:
    """Five megabytes are first times in minutes and a leak in an hour."""
    for run_s, ok in ((300, True), (3600, False)):
        line = [Point(at, Life(1, 1), "feeds", 0, 30_000_000 + 10_000_000 * at // run_s, 0, 5) for at in range(run_s + 1)]
        assert [verdict.ok for verdict in memory_verdicts(line, run_s)] == [ok]


def test_a_state_directory_that_grows_is_noticed() -> None:
    """Twice the lists and some room for a job is bounded, more is not, even if it is gone again at the end."""
    assert disk_verdict([(0, 5_000_000), (1, 13_000_000)], 5_000_000).ok
    assert not disk_verdict([(0, 5_000_000), (1, 15_000_000), (2, 5_000_000)], 5_000_000).ok


def test_what_the_kernel_drops_is_known(tmp_path: Path) -> None:
    """A full receive buffer shows, socket by socket; a resolver that counts fewer or more than the kernel is noticed."""
    with udp_socket() as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(100):
            sender.sendto(b"x" * 500, sock.getsockname())
        port = sock.getsockname()[1]
        footprint = Footprint(os.getpid(), tmp_path, port)
        footprint.sample()
        sock.setblocking(False)
        read = 0
        with contextlib.suppress(BlockingIOError):
            while sock.recv(1000):
                read += 1
    dropped = sum(footprint.drops.values())
    assert dropped == 100 - read > 0
    assert not udp_drops(port)
    assert drops_verdict(footprint.drops, dropped, sockets_may_change=False).ok
    assert not drops_verdict(footprint.drops, dropped - 1, sockets_may_change=True).ok
    assert not drops_verdict(footprint.drops, dropped + 1, sockets_may_change=False).ok
    assert drops_verdict(footprint.drops, dropped + 1, sockets_may_change=True).ok
    assert not drops_verdict({}, 0, sockets_may_change=False).ok


def test_the_tree_has_grandchildren_and_no_strangers() -> None:
    """All below a process are found, by what they are; others are not."""
    with started(LEAVING_ONE) as process:
        while len(found := tree(process.pid)) < 2:
            time.sleep(0.02)
        assert sorted(found.values()) == ["job", "supervisor"]
        assert os.getpid() not in {life.pid for life in found}
        for life, role in found.items():
            if role == "job":
                os.kill(life.pid, 9)
