"""What is measured of processes, also of children that other processes cannot look at."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from pdns.supervisor.process_usage import usage
from tests.integration.running_pdns import ROOT

PR_SET_DUMPABLE = 4
SNIPPET = f"""
import subprocess
from pdns.confinement.kernel_calls import prctl
from pdns.confinement.privileges import keep_capabilities
from pdns.supervisor import process_usage

keep_capabilities(frozenset())  # as a normal user
prctl({PR_SET_DUMPABLE}, 0)
for _ in range(100):
    with subprocess.Popen(["sleep", "60"]) as child:
        process_usage.open_files(child.pid)
        print(child.pid in process_usage._opened, process_usage.usage(child.pid) is not None)
        process_usage.forget(child.pid)
        child.kill()
"""


def test_each_child_can_be_measured() -> None:
    """Those of a process that cannot be dumped itself: a child inherits that until its program has begun."""
    done = subprocess.run([sys.executable, "-c", SNIPPET], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split("\n") == ["True True"] * 100 + [""]


def test_process_usage_is_that_of_the_kernel() -> None:
    """Of this process: it began not long ago, uses memory and descriptors; of none: nothing."""
    used = usage(os.getpid())
    assert used is not None
    assert 0 < time.time() - used.start_time_s < 86400
    assert used.cpu_s > 0
    assert used.resident_bytes > 1_000_000
    assert 3 <= used.open_fds <= max(used.max_fds, used.open_fds)
    assert usage(2**22 + 1) is None
