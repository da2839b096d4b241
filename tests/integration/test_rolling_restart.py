"""Several workers that are replaced one by one: no query is lost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread, is_running
from tests.integration.severalworkers import (
    NAMES,
    UPSTREAM_SAYS,
    WORKERS,
    Load,
    config,
    counted,
    restart_all,
    slow_upstream,
    timed,
)


@pytest.fixture
def upstream() -> Iterator[UpstreamThread]:
    with slow_upstream() as thread:
        yield thread


def test_a_rolling_restart_loses_nothing(tmp_path: Path, upstream: UpstreamThread) -> None:
    """SIGUSR2 under thousands of queries a second: every one is answered, every worker is new, and every count goes on."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        with Load(pdns, 3000) as load:
            time.sleep(0.5)
            before = counted(pdns)
            restart_all(pdns)
            assert counted(pdns) > before
            time.sleep(0.3)
            restart_all(pdns)
        print(f"{load.sent} sent, {load.lost} lost, longest {load.longest_s:.3f} s")  # noqa: T201 (shown when it fails)
        assert load.lost == 0
        assert counted(pdns) == load.sent == load.answered
        pdns.wait_for(lambda: timed(pdns) == load.sent, "durations, which are counted after the answer")
        assert pdns.value("worker_restarts_total") == 0
        assert pdns.value("blocked_domains_overall", window="1h") == 1
        pdns.wait_for(lambda: pdns.get("/readyz") == (200, "ok\n"), "/readyz")


@pytest.mark.long
def test_what_is_in_flight_is_answered_by_the_old_ones(tmp_path: Path, upstream: UpstreamThread) -> None:
    """A question that waits for its upstream when its worker is replaced gets its answer, over UDP and TCP."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        answers: list[list[str]] = []
        asking = [
            threading.Thread(target=lambda name=name, tcp=tcp: answers.append(pdns.addresses(name, tcp=tcp)))
            for name in ("a.slow.example.net", "b.slow.example.net", "c.slow.example.net")
            for tcp in (False, True)
        ]
        for thread in asking:
            thread.start()
        pdns.wait_for(lambda: len(upstream.names) >= 3, "asked")
        restart_all(pdns)
        for thread in asking:
            thread.join()
        assert answers == [[UPSTREAM_SAYS]] * 6


@pytest.mark.long
def test_new_code_is_taken_from_the_disk(tmp_path: Path, upstream: UpstreamThread) -> None:
    """After SIGUSR2 the workers run the program as it is now; a program that does not start changes nothing, and is reported."""
    code = tmp_path / "sitecustomize.py"
    path = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(__file__).parents[2]}"}
    with RunningPdns(tmp_path, config(tmp_path, upstream), environment=path) as pdns:
        workers = pdns.worker_pids
        code.write_text("import os, sys\nif 'pdns.worker' in sys.orig_argv: sys.stderr.write('out of order\\n'), os._exit(3)\n")
        pdns.send_signal(signal.SIGUSR2)
        pdns.wait_for_log("worker0: the new process does not start, the old one stays")
        assert pdns.worker_pids == workers
        assert {tuple(pdns.addresses(name)) for name in NAMES[:20]} == {(SINKHOLE,)}
        code.write_text("import sys\nif 'pdns.worker' in sys.orig_argv: sys.stderr.write('new code\\n')\n")
        restart_all(pdns)
        assert pdns.log.count("new code") == WORKERS
        assert pdns.value("worker_restarts_total") == 0


@pytest.mark.long
def test_a_restart_is_over_before_the_end(tmp_path: Path, upstream: UpstreamThread) -> None:
    """SIGTERM in the middle of a rolling restart ends everything in time, with no process left."""
    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        pdns.send_signal(signal.SIGUSR2)
        pdns.wait_for(lambda: len(pdns.worker_pids) > WORKERS, "a new one beside the old one")
        children = pdns.worker_pids
        assert pdns.stop() == 0
        assert not any(map(is_running, children))


@pytest.mark.long
def test_memory_does_not_grow_with_restarts(tmp_path: Path, upstream: UpstreamThread) -> None:
    """After some rolling restarts the supervisor has as many descriptors as after the first."""

    def descriptors() -> int:
        return len(list(Path(f"/proc/{pdns.pid}/fd").iterdir()))

    with RunningPdns(tmp_path, config(tmp_path, upstream)) as pdns:
        restart_all(pdns)
        before = descriptors()
        for _ in range(3):
            restart_all(pdns)
        wait: Callable[[], bool] = lambda: descriptors() <= before  # noqa: E731
        pdns.wait_for(wait, "descriptors")
