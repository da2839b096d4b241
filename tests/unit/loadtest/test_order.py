"""The order of the servers, quiet and beside a busy loop."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from loadtest import bench, order, process
from loadtest.measure import QUICK
from loadtest.results import Results
from tests.unit.loadtest.test_report import some_results

QUIET = some_results(ratio=1.1, extra_bytes=8_000_000, start_s=0.3, lost=0)


def with_ours(ratios: list[float]) -> Results:
    """Ours on the first path with these rounds; the peer called good has 1.5 there, the other one does something else."""
    first = msgspec.structs.replace(QUIET.paths[0], ratios=ratios)
    return msgspec.structs.replace(QUIET, paths=[first, *QUIET.paths[1:]])


def test_servers_that_changed_places_are_named() -> None:
    """Only pairs that were apart before and are apart now count; what is not as the path means has no place."""
    assert order.swapped(QUIET, with_ours([1.2, 1.3, 1.4])) == []
    assert order.swapped(QUIET, with_ours([1.4, 1.6, 1.9])) == []
    assert order.swapped(QUIET, with_ours([1.6, 1.7, 1.9])) == [
        "forwarded answer from cache: pdns was ahead of good, and is behind it now"
    ]
    assert order.swapped(with_ours([1.4, 1.6]), with_ours([1.6, 1.7])) == []


def test_the_loop_runs_where_it_is_told() -> None:
    """One busy process on that core while the block lasts, none after it."""
    core = process.cores()[-1]
    with order.busy_loop(core):
        (loop,) = [pid for pid, command in process.children(os.getpid()).items() if order._LOOP in command]
        assert os.sched_getaffinity(loop) == {core}
    assert not Path(f"/proc/{loop}").exists()


def test_without_a_last_bench_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The order must be that of something."""
    monkeypatch.setattr(bench, "RESULTS_DIR", tmp_path)
    assert bench.main(QUICK, None, (), busy=True) == 1
    assert "no last bench to compare with" in capsys.readouterr().err
