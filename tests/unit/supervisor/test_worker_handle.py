"""Who is taken for hung."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from pdns.supervisor.process_usage import is_busy
from pdns.supervisor.worker_handle import SILENT_AFTER_S, WorkerHandle
from pdns.telemetry.stats import HEARTBEAT
from pdns.telemetry.worker_memory import RateLimitMemory

_SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def start() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []

    def started(code: str) -> subprocess.Popen[bytes]:
        processes.append(subprocess.Popen([sys.executable, "-c", f"print(flush=True); {code}"], stdout=subprocess.PIPE))
        stdout = processes[-1].stdout
        assert stdout is not None
        stdout.readline()
        return processes[-1]

    yield started
    for process in processes:
        process.kill()
        process.communicate()


def until(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_who_computes_is_busy_and_who_sleeps_or_is_stopped_is_not(start: Callable[[str], subprocess.Popen[bytes]]) -> None:
    """What the kernel says of a process tells one that would run from one that stands still."""
    computing, sleeping = start("\nwhile True: pass").pid, start(_SLEEP).pid
    until(lambda: is_busy(computing))
    until(lambda: not is_busy(sleeping))
    os.kill(computing, signal.SIGSTOP)
    until(lambda: not is_busy(computing))
    assert not is_busy(2**22 + 1)


@pytest.mark.parametrize(
    ("code", "beaten", "killed_after_s"),
    [
        (_SLEEP, True, 3.0),
        ("\nwhile True: pass", True, 10.0),
        (_SLEEP, False, 30.0),
    ],
    ids=["stands still", "computes", "starts"],
)
def test_patience(
    start: Callable[[str], subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    beaten: bool,
    killed_after_s: float,
) -> None:
    """3 s of silence when it does nothing, 10 s when it is at something or gets no core, 30 s while it starts."""

    async def story() -> None:
        def nothing(_: WorkerHandle) -> None: ...

        limits = RateLimitMemory()

        worker = WorkerHandle(0, 1, limits, asyncio.get_running_loop(), on_start=nothing, on_ready=nothing, on_exit=nothing)
        process = start(code)
        await asyncio.sleep(0.2)  # until it is at it
        monkeypatch.setattr(worker.child, "_process", process)
        if beaten:
            worker.memory.counters.values[worker.memory.counters.slot(HEARTBEAT)] += 1
            worker.ready = True
        worker.feel_pulse(0.25)
        waited_s = 0.0
        while process.poll() is None and waited_s < 60:
            assert worker.answers == (worker.ready and waited_s < SILENT_AFTER_S)
            worker.feel_pulse(0.25)
            waited_s += 0.25
            await asyncio.sleep(0.01)
        assert killed_after_s - 0.25 <= waited_s <= killed_after_s + 0.5
        assert not worker.answers
        monkeypatch.undo()
        worker.memory.close()
        limits.close()

    asyncio.run(story())
