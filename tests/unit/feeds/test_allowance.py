"""The limits of the process that does a job, each in a process of its own: they cannot be taken back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any

import pytest

MIB = 1024 * 1024
_HOLD = """
import json, resource, signal, sys
from feeds.allowance import Allowance, hold_to, refused_limits
def limits():
    return {name: resource.getrlimit(getattr(resource, "RLIMIT_" + name)) for name in ("CPU", "DATA", "FSIZE", "NOFILE", "CORE")}
"""
_LOOP = """
hold_to(Allowance(1, 1 << 30, 1 << 20))
while True:
    pass
"""


def run(program: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", _HOLD + program], capture_output=True, timeout=120, check=False)


def said(program: str) -> Any:
    done = run(program)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_a_job_may_take_cannot_be_raised() -> None:
    """Soft and hard limit are the same; the hard limit of processor time is five seconds above."""
    assert said("print(json.dumps([hold_to(Allowance(100, 512 << 20, 8 << 20)), limits()]))") == [
        {},
        {"CPU": [100, 105], "DATA": [512 * MIB] * 2, "FSIZE": [8 * MIB] * 2, "NOFILE": [64, 64], "CORE": [0, 0]},
    ]


@pytest.mark.parametrize(("hard_s", "held"), [(50, [50, 50]), (100, [100, 100]), (103, [100, 103]), (200, [100, 105])])
def test_a_lower_limit_stays(hard_s: int, held: list[int]) -> None:
    """A limit that the process was started with is never exceeded, and costs as little of the time between the two as it can."""
    program = f"resource.setrlimit(resource.RLIMIT_CPU, ({hard_s}, {hard_s}))\n"
    program += "print(json.dumps([hold_to(Allowance(100, 1 << 30, 1 << 20)), limits()['CPU']]))"
    assert said(program) == [{}, held]


def test_asking_which_limits_are_refused_changes_none() -> None:
    """On a system that refuses none, there is none."""
    before, refused, after = said("print(json.dumps([limits(), refused_limits(), limits()]))")
    assert (refused, after) == ({}, before)


def test_too_much_processor_time_has_its_own_signal() -> None:
    """The parent can say why it ended."""
    assert run(_LOOP).returncode == -signal.SIGXCPU


@pytest.mark.long
def test_ignoring_that_signal_ends_soon_after() -> None:
    """Nothing in the process can go on past the hard limit."""
    assert run("signal.signal(signal.SIGXCPU, signal.SIG_IGN)" + _LOOP).returncode == -signal.SIGKILL
