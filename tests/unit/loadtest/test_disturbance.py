"""What else ran on a machine while something was measured."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from loadtest import disturbance, process
from loadtest.disturbance import Disturbance, Observation

STAT = """cpu  100 0 100 1000 0 0 0 0 0 0
cpu0 100 20 200 5000 50 3 7 40 60 0
cpu1 10 0 10 900 0 0 0 10 0 0
cpu2 1 1 1 1 1 1 1 1 0 0
intr 1 2 3
"""


def test_busy_and_stolen_time_of_the_cores_that_count() -> None:
    """Idle, waiting for a disk and stolen time are not busy; time of guests, which is in another column as well, counts once."""
    hertz = os.sysconf("SC_CLK_TCK")
    assert disturbance.busy_and_stolen_s(STAT, [0, 1]) == (350 / hertz, 50 / hertz)
    assert disturbance.busy_and_stolen_s(STAT, [2]) == (5 / hertz, 1 / hertz)


def test_the_mean_is_never_below_nothing() -> None:
    """The kernel counts in ticks, so that a short slice may seem to have had less than nothing."""
    one, other = Disturbance(stolen=0.0, others=-0.1, waited=0.2), Disturbance(stolen=0.1, others=0.0, waited=0.0)
    assert disturbance.mean([one, other]) == Disturbance(stolen=0.05, others=0.0, waited=0.1)
    assert disturbance.mean([]) == Disturbance(stolen=0.0, others=0.0, waited=0.0)


@pytest.mark.realtime
def test_another_program_is_noticed() -> None:
    """A busy loop on the core of the server shows as time of others, and as waiting of the server."""
    core = process.cores()[0]
    spin = [sys.executable, "-c", "while True: pass"]
    with subprocess.Popen(spin) as server:
        process.pin(server.pid, core)
        try:
            with subprocess.Popen(spin) as other:
                process.pin(other.pid, core)
                observed = Observation([server.pid], [])
                time.sleep(1.0)
                beside = observed.end(0.0)
                other.kill()
        finally:
            server.kill()
    assert beside.waited > 0.1
    assert beside.others * len(process.cores()) > 0.1
