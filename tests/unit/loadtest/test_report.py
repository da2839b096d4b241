"""Goals, and the report: a missed goal is printed as missed."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from loadtest import bench, goals, measure, notes, report
from loadtest.disturbance import Disturbance
from loadtest.process import Memory
from loadtest.programs import Latency
from loadtest.results import (
    BlocksetResult,
    MemoryResult,
    OfferedResult,
    PathResult,
    PeerPath,
    PeerResult,
    RefreshResult,
    Results,
    StartResult,
    SystemInfo,
)

QUIET = Disturbance(stolen=0, others=0, waited=0)
LATENCY = Latency(mean=100, p50=90, p90=200, p99=900, p99_9=1500, max=2000)


def path_result(path: goals.QueryPath, ratio: float) -> PathResult:
    return PathResult(
        key=path.key, title=path.title, queries=1000, cpu_us=3 * ratio, median_cpu_us=3 * ratio, echo_cpu_us=3, ratio=ratio,
        ratios=[ratio], disturbed=QUIET, load=0.1, doubts=[], open_doubts=[], busy=1, generator_cpu_us=3,
        answers_per_s=10_000, offered_per_s=5000, latency_us=LATENCY, offered=5000,
        lost=0, lost_closed=0, from_source=1, rcodes={0: 1000},
        verdict=goals.ratio_verdict(path, ratio),
    )  # fmt: skip


def peer_result(name: str, ratio: float, not_as_meant: str = "") -> PeerResult:
    paths = [
        PeerPath(
            key=path.key, queries=1000, cpu_us=3 * ratio, median_cpu_us=3 * ratio, ratio=ratio, ratios=[ratio], disturbed=QUIET,
            doubts=[], answers_per_s=1000, lost=0, rcodes={0: 1000}, forwarded=0,
            not_as_meant=not_as_meant if path is goals.HIT else "",
        )
        for path in goals.PATHS
    ]  # fmt: skip
    return PeerResult(
        name=name, package=f"the-{name}", version="1.2.3", list_form="a list", start_s=4.5, list_bytes=500_000_000, paths=paths
    )


MISSING = PeerResult(
    name="nowhere", package="the-nowhere", version="", list_form="", problem="not installed: apt install the-nowhere"
)
FAILED = PeerResult(name="broken", package="the-broken", version="2.0", list_form="x", problem="ended with 1\n  syntax [error]")


def some_results(ratio: float, extra_bytes: int, start_s: float, lost: int) -> Results:
    memory = Memory(rss=30_000_000 + extra_bytes, pss=28_000_000 + extra_bytes, anonymous=20_000_000, blockset=extra_bytes)
    without = Memory(rss=30_000_000, pss=28_000_000, anonymous=20_000_000, blockset=0)
    return Results(
        when="2026-01-02T03:04:05Z", mode="quick", rounds=1, version="0", accelerated="no", names="names", listed=1_000_000,
        machine=SystemInfo(cpu="cpu", cores=2, kernel="6", python="3.11", load_before=0), echo_cpu_us=3, notes=["a note"],
        paths=[path_result(path, ratio) for path in goals.PATHS],
        offered=[
            OfferedResult(
                per_s=per_s, workers=2, offered=int(per_s), lost=lost, latency_us=LATENCY, generator_cpu_us=9, verdict=verdict
            )
            for per_s, verdict in ((4_300.0, None), (53_000.0, goals.offered_verdict(53_000, lost, 900)))
        ],
        peers=[peer_result("good", 1.5), peer_result("odd", 58.44, "40.0% of the queries were forwarded"), MISSING, FAILED],
        seconds=100,
        memory=MemoryResult(with_list=memory, without_list=without, verdict=goals.memory_verdict(extra_bytes, 1_000_000)),
        blockset=BlocksetResult(size=8_000_000, mapped=extra_bytes, entries=1_000_000),
        start=StartResult(from_text_s=5, to_first_blocked_s=start_s, verdict=goals.start_verdict(start_s)),
        refresh=RefreshResult(
            offered_per_s=1000, rebuild_s=5, before=LATENCY, during=LATENCY, lost=lost,
            verdict=goals.refresh_verdict(lost, 1500, 1500),
        ),
    )  # fmt: skip


def shown(results: Results) -> str:
    out = io.StringIO()
    report.show(results, Console(file=out, width=130))
    return out.getvalue()


def test_met_goals_are_said_to_be_met() -> None:
    """When everything is within its goal, the report says so and the word missed is not in it."""
    text = shown(some_results(ratio=1.1, extra_bytes=8_000_000, start_s=0.3, lost=0))
    assert "all 11 goals met" in text
    assert "missed" not in text


def test_missed_goals_are_said_to_be_missed() -> None:
    """When nothing but the bare worker is within its goal, each row and the last line say so."""
    text = shown(some_results(ratio=12, extra_bytes=80_000_000, start_s=3, lost=9))
    assert "10 of 11 goals missed" in text
    assert text.count(" missed ") == 10
    assert "accelerated: no, 1 worker" in text
    assert "note: a note" in text


def test_peers_stand_beside_ours() -> None:
    """In 130 columns without colour, a path's row has ours and each peer that ran; a number of something else has a star."""
    text = shown(some_results(ratio=1.1, extra_bytes=8_000_000, start_s=0.3, lost=0))
    rows: dict[str, list[str]] = {}
    for line in text.splitlines():
        rows.setdefault(line.strip().split("  ")[0], line.split())  # a path's name comes again, with its latency
    assert rows["forwarded answer from cache"][4:] == ["3.30", "1.10", "±0", "≤", "1.15", "met", "1.50", "±0", "58.4", "±0*"]
    assert rows["blocked name, seen before"][-4:] == ["1.50", "±0", "58.4", "±0"]
    assert rows["start to first blocked answer"][-4:] == ["4.5", "s", "4.5", "s"]
    assert rows["memory of the list, PSS"][-4:] == ["500", "MB", "500", "MB"]
    assert "…" not in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 130


def test_what_became_of_each_peer_is_said() -> None:
    """One that is not installed comes with the line that installs it, one that failed with its last words, brackets and all."""
    text = " ".join(shown(some_results(ratio=1.1, extra_bytes=8_000_000, start_s=0.3, lost=0)).split())
    assert "nowhere: not installed: apt install the-nowhere" in text
    assert "broken: ended with 1 syntax [error]" in text
    assert "* odd, hit: 40.0% of the queries were forwarded" in text
    assert "good 1.2.3 (a list)" in text


def test_latency_is_shown_at_both_rates() -> None:
    """4,300 and 53,000 queries a second each have a row with every percentile in milliseconds."""
    text = shown(some_results(ratio=1.1, extra_bytes=8_000_000, start_s=0.3, lost=0))
    rows = [line.split() for line in text.splitlines() if line.strip().startswith("mix, 2 workers")]
    assert [row[5:] for row in rows] == [[rate, "0.09", "0.20", "0.90", "1.50", "2.00", "0"] for rate in ("4,300", "53,000")]


def test_what_a_busy_machine_spoilt_is_neither_met_nor_missed() -> None:
    """The row says unusable, its number has a mark, a note says why, and the last line counts it apart."""
    results = some_results(ratio=1.1, extra_bytes=8_000_000, start_s=0.3, lost=0)
    why = "other programs took 40% of the cores"
    first = msgspec.structs.replace(
        results.paths[0], doubts=[why], open_doubts=[why], verdict=goals.ratio_verdict(goals.HIT, 1.1).unless([why])
    )
    peer = results.peers[0]
    doubted = msgspec.structs.replace(peer, paths=[msgspec.structs.replace(peer.paths[1], doubts=[why]), *peer.paths[2:]])
    busy = msgspec.structs.replace(
        results,
        paths=[first, *results.paths[1:]],
        peers=[doubted, *results.peers[1:]],
        echo_doubts=["mix: rounds differ by ±20%", "x"],
    )
    text = shown(busy)
    row = next(line.split() for line in text.splitlines() if line.strip().startswith("forwarded answer from cache"))
    assert row[4:10] == ["3.30", "1.10", "±0!", "≤", "1.15", "unusable"]
    assert "all 10 goals met; 1 unusable: the machine was busy" in text
    assert f"note: unusable: forwarded answer from cache: {why}" in text
    assert f"note: unusable: forwarded answer from cache, latency: {why}" in text
    assert f"note: unusable: good, 1 of 4 paths; blocked_seen: {why}" in text
    assert "note: unusable: bare echo, and with it every ratio: mix: rounds differ by ±20%; and 1 more" in text


@pytest.mark.parametrize(("ratio", "met"), [(1.15, True), (1.151, False)])
def test_a_goal_is_met_at_its_limit(ratio: float, met: bool) -> None:
    """The limit itself is within."""
    assert goals.ratio_verdict(goals.HIT, ratio).met is met


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


def test_numbers_that_should_not_be_believed_are_noted() -> None:
    """A quiet machine and paths as meant say nothing; each thing that is wrong is said once, and who held the server up."""
    machine = SystemInfo(cpu="cpu", cores=2, kernel="6", python="3.11", load_before=0.1)
    assert list(notes.of_machine(machine)) == []
    assert list(notes.of_machine(msgspec.structs.replace(machine, cores=1, load_before=2))) == [
        "one core only: the server and the generator shared it, so answers/s and latency say little",
        "other programs were running (load 2.0): latency and answers/s suffer, CPU time less so",
    ]
    good = path_result(goals.HIT, 1.1)
    assert list(notes.of_paths([good])) == []

    def of(**changes: object) -> list[str]:
        return list(notes.of_paths([msgspec.structs.replace(good, **changes)]))

    assert of(from_source=0.5) == ["forwarded answer from cache: only 50.0% of the answers came from cache"]
    ran = "forwarded answer from cache: the worker ran 60% of the time only"
    assert of(busy=0.6, generator_cpu_us=100.0) == [f"{ran}: the generator was too slow"]
    assert of(busy=0.6, generator_cpu_us=50.0) == [f"{ran}: other programs had the cores"]
    echo = msgspec.structs.replace(good, echo_cpu_us=4.0)
    assert list(notes.of_paths([good, echo])) == ["the echo itself took 3.00 to 4.00 us: the machine was not the same all along"]


def test_median_latency_is_by_field() -> None:
    """One bad round of three does not show in the median."""
    bad = Latency(mean=9999, p50=9999, p90=9999, p99=9999, p99_9=9999, max=9999)
    assert measure.median_latency([LATENCY, bad, LATENCY]) == LATENCY
