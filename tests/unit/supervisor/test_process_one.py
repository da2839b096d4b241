"""What process 1 of a container has to do, in process ids of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from pdns.supervisor.process_one import reap

ORPHANS = """
import asyncio, os, subprocess, sys, time
from contextlib import suppress
from pdns.supervisor.process_one import is_process_one, reap_orphans

assert is_process_one()

def zombies():
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and ") Z " in open(f"/proc/{pid}/stat").read()]

async def main():
    subprocess.run(["sh", "-c", "for i in 1 2 3; do sleep 0.2 & done"], check=True)  # left to this process
    own = subprocess.Popen(["sh", "-c", "exit 7"])
    for _ in range(100):
        if len(zombies()) == 4:
            break
        await asyncio.sleep(0.1)
    print(len(zombies()))
    code = own.wait()
    task = asyncio.ensure_future(reap_orphans())
    for _ in range(200):
        if not zombies():
            break
        await asyncio.sleep(0.1)
    print(len(zombies()), code)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

asyncio.run(main())
"""
EARLY = """
import os, signal
from pdns.supervisor.process_one import end_on_sigterm
end_on_sigterm()
try:
    os.kill(os.getpid(), signal.SIGTERM)
    print("ignored")
except KeyboardInterrupt:
    print("ends")
"""
_AS_ONE = ["unshare", "--pid", "--fork", "--mount", "--mount-proc"]


def as_process_one(code: str) -> str:
    if subprocess.run([*_AS_ONE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespaces here")
    done = subprocess.run([*_AS_ONE, sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_orphans_are_collected_and_own_children_are_not() -> None:
    """Three processes that were left behind go; the exit code of the fourth, which has an owner, is still there for it."""
    assert as_process_one(ORPHANS).split() == ["4", "0", "7"]


def test_sigterm_ends_a_start() -> None:
    """The kernel ignores a signal without a handler for process 1, so `docker stop` would wait for its timeout."""
    assert as_process_one(EARLY) == "ends\n"


def test_a_child_is_left_to_its_owner_at_first() -> None:
    """What has ended is collected by the second look at the earliest."""
    child = subprocess.Popen(["true"])
    until_s = time.monotonic() + 60
    while (seen := reap(0)) == 0:
        assert time.monotonic() < until_s
        time.sleep(0.01)
    assert seen == child.pid
    assert child.wait() == 0
    with pytest.raises(ChildProcessError):
        os.waitpid(child.pid, os.WNOHANG)
    assert reap(seen) == 0
