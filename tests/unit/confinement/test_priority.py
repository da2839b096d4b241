"""Who goes first: the worker takes short turns, a thread steps back alone."""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
import threading

import pytest

from pdns.confinement.kernel_calls import call
from pdns.confinement.priority import NICE, step_back_in_thread, take_short_turns

_SCHED_GETATTR = {"x86_64": 315, "aarch64": 275}
_SHORT_TURN_NS = 100_000


def _turn_ns() -> int:
    """How long a turn this process asks for; 0 before Linux 6.12."""
    attributes = ctypes.create_string_buffer(48)
    call(_SCHED_GETATTR[os.uname().machine], 0, attributes, 48, 0)
    return int(struct.unpack("=IIQiIQQQ", attributes.raw)[5])


@pytest.mark.skipif(os.uname().machine not in _SCHED_GETATTR, reason="no number for this machine")
def test_a_worker_takes_short_turns() -> None:
    """Its turns are the shortest that Linux grants; niceness and policy stay. Others go first if they ask for less."""
    if not _turn_ns():
        pytest.skip("Linux before 6.12 has no such thing")
    mine = (_turn_ns(), os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0))
    code = f"from {__name__} import said_by_a_child; said_by_a_child()"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert [int(word) for word in told.split()] == [_SHORT_TURN_NS, *mine[1:]]
    assert _turn_ns() == mine[0]


def said_by_a_child() -> None:
    """Write what this process is like after `take_short_turns`."""
    take_short_turns()
    sys.stdout.write(f"{_turn_ns()} {os.getpriority(os.PRIO_PROCESS, 0)} {os.sched_getscheduler(0)}")


def test_one_thread_steps_back_alone() -> None:
    """It is nice and batch work; the rest of the process is as it was."""
    before = os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)
    seen = []

    def look() -> None:
        step_back_in_thread()
        thread = threading.get_native_id()
        seen.append((os.getpriority(os.PRIO_PROCESS, thread), os.sched_getscheduler(thread)))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [(max(NICE, before[0]), os.SCHED_BATCH)]
    assert (os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)) == before
