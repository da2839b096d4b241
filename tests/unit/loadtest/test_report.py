"""Goals, and the report: a missed goal is printed as missed."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from loadtest import bench, goals, measure, report
from loadtest.process import Memory
from loadtest.programs import Latency
from loadtest.results import BlocksetResult, Machine, MemoryResult, PathResult, RefreshResult, Results, StartResult

LATENCY = Latency(mean=100, p50=90, p90=200, p99=900, p99_9=1500, max=2000)


def path_result(path: goals.QueryPath, ratio: float) -> PathResult:
    return PathResult(
        key=path.key, title=path.title, queries=1000, cpu_us=3 * ratio, echo_cpu_us=3, ratio=ratio, ratios=[ratio],
        answers_per_s=10_000, offered_per_s=5000, latency_us=LATENCY, offered=5000,
        lost=0, lost_closed=0, from_source=1, rcodes={0: 1000},
        verdict=goals.ratio_verdict(path, ratio),
    )  # fmt: skip


def some_results(ratio: float, extra_bytes: int, start_s: float, lost: int) -> Results:
    memory = Memory(rss=50_000_000 + extra_bytes, pss=40_000_000 + extra_bytes, anonymous=30_000_000, blockset=extra_bytes)
    without = Memory(rss=50_000_000, pss=40_000_000, anonymous=30_000_000, blockset=0)
    return Results(
        when="2026-01-02T03:04:05Z", mode="quick", rounds=1, version="0", accelerated=False, names="names", listed=1_000_000,
        machine=Machine(cpu="cpu", cores=2, kernel="6", python="3.11", load_before=0), echo_cpu_us=3, notes=["a note"],
        paths=[path_result(path, ratio) for path in goals.PATHS],
        offered_mix=goals.offered_verdict(53_000, lost, 900),
        memory=MemoryResult(with_list=memory, without_list=without, verdict=goals.memory_verdict(extra_bytes, 1_000_000)),
        blockset=BlocksetResult(size=8_000_000, entries=1_000_000),
        start=StartResult(from_text_s=5, to_first_blocked_s=start_s, verdict=goals.start_verdict(start_s)),
        refresh=RefreshResult(
            offered_per_s=1000, rebuild_s=5, before=LATENCY, during=LATENCY, lost=lost,
            verdict=goals.refresh_verdict(lost, 1500, 1500),
        ),
    )  # fmt: skip


def shown(results: Results) -> str:
    out = io.StringIO()
    report.show(results, Console(file=out, width=200))
    return out.getvalue()


def test_met_goals_are_said_to_be_met() -> None:
    """When everything is within its goal, the report says so and the word missed is not in it."""
    text = shown(some_results(ratio=1.1, extra_bytes=8_000_000, start_s=0.3, lost=0))
    assert "all 8 goals met" in text
    assert "missed" not in text


def test_missed_goals_are_said_to_be_missed() -> None:
    """When nothing is within its goal, each row and the last line say so."""
    text = shown(some_results(ratio=12, extra_bytes=80_000_000, start_s=3, lost=9))
    assert "8 of 8 goals missed" in text
    assert text.count(" missed ") == 8
    assert "pure Python, 1 worker" in text
    assert "note: a note" in text


@pytest.mark.parametrize(("ratio", "met"), [(1.15, True), (1.151, False)])
def test_a_goal_is_met_at_its_limit(ratio: float, met: bool) -> None:
    """The limit itself is within."""
    verdict = goals.ratio_verdict(goals.HIT, ratio)
    assert verdict is not None
    assert verdict.met is met


def test_one_lost_query_misses_the_offered_mix() -> None:
    """Nothing lost means nothing, however good the latency is; and late answers miss it, however many come."""
    assert goals.offered_verdict(53_000, 0, 1000).met
    assert not goals.offered_verdict(53_000, 1, 100).met
    assert not goals.offered_verdict(53_000, 0, 1001).met


def test_refresh_goal_compares_with_the_same_load_at_rest() -> None:
    """p99.9 may not grow by more than a quarter, and nothing may be lost."""
    assert goals.refresh_verdict(0, 1000, 1250).met
    assert not goals.refresh_verdict(0, 1000, 1251).met
    assert not goals.refresh_verdict(1, 1000, 1000).met


def test_results_are_written_and_can_be_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dated file and `latest.json` hold the same, and it decodes to what was written."""
    monkeypatch.setattr(bench, "RESULTS_DIR", tmp_path / "results")
    results = some_results(ratio=2, extra_bytes=9_000_000, start_s=0.4, lost=0)
    file = bench.save(results)
    assert file.name == "2026-01-02T030405Z.json"
    assert (tmp_path / "results" / "latest.json").read_bytes() == file.read_bytes()
    assert msgspec.json.decode(file.read_bytes(), type=Results) == results


def test_median_latency_is_by_field() -> None:
    """One bad round of three does not show in the median."""
    bad = Latency(mean=9999, p50=9999, p90=9999, p99=9999, p99_9=9999, max=9999)
    assert measure.median_latency([LATENCY, bad, LATENCY]) == LATENCY
