"""The history of benches: the file, and the page that shows it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from loadtest import goals, history
from loadtest.results import NodeCosts
from tests.unit.loadtest.test_report import some_results

RESULTS = some_results(ratio=1.1, extra_bytes=8_000_000, start_s=0.3, lost=0)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """An empty history, and a page for it."""
    file, page = tmp_path / "history.jsonl", tmp_path / "page.md"
    places = (
        history._BEGIN,
        history._END,
        history._PEERS_BEGIN,
        history._PEERS_END,
        history._ENCRYPTED_BEGIN,
        history._ENCRYPTED_END,
    )
    page.write_text(f"before\n{''.join(places)}\nafter\n")
    return file, page


def test_the_page_shows_the_file() -> None:
    """The table of docs/performance.md is that of docs/performance-history.jsonl: `python -m loadtest history` writes it."""
    text = history.PAGE.read_text(encoding="utf-8")
    assert history.with_table(text, history.read()) == text


def test_recorded_runs_are_ordered_and_whole() -> None:
    """Each line of the file has a ratio for each path, and no run stands before one that was earlier."""
    runs = history.read()
    assert runs
    assert [run.when for run in runs] == sorted(run.when for run in runs)
    assert all(run.ratios.keys() == {path.key for path in goals.PATHS} for run in runs)
    assert all(ratio > 0 for run in runs for ratio in run.ratios.values())


def test_a_run_is_appended_and_shown(files: tuple[Path, Path]) -> None:
    """One line more in the file, the newest row of the table; the rest of the page stays."""
    file, page = files
    first = history.run_of(RESULTS, "0123456789abcdef")
    history.append(first, *files)
    history.append(msgspec.structs.replace(first, commit="", when="2027-01-01T00:00:00Z"), *files)
    runs = history.read(file)
    assert runs[0] == first
    assert runs[0].ratios == {path.key: path.ratio for path in RESULTS.paths}
    rows = [line for line in page.read_text().splitlines() if line.startswith("| 20")]
    assert [row.split(" | ")[1] for row in rows] == ["not recorded", "`0123456789ab`"]
    assert rows[1].count("1.10 ±0") == len(RESULTS.paths)
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("\nafter\n")


def test_peers_are_kept_and_shown(files: tuple[Path, Path]) -> None:
    """Ours and the peers of the newest run that has some, in one table; what is of something else is left out, or has a mark."""
    busy = msgspec.structs.replace(
        RESULTS.peers[0].paths[1], ratios=[1.2, 1.5, 1.9], doubts=["other programs took 40% of the cores"]
    )
    good = msgspec.structs.replace(RESULTS.peers[0], paths=[RESULTS.peers[0].paths[0], busy, *RESULTS.peers[0].paths[2:]])
    run = history.run_of(msgspec.structs.replace(RESULTS, peers=[good, *RESULTS.peers[1:]]), "")
    assert run.peers.keys() == {"good", "odd"}
    assert run.peers["good"].ratios["blocked_seen"] == history.Ratio(median=1.5, least=1.2, most=1.9, spread=0.226, usable=False)
    assert "hit" not in run.peers["odd"].ratios
    history.append(run, *files)
    history.append(msgspec.structs.replace(run, peers={}, when="2027-01-01T00:00:00Z"), *files)
    rows = [line.split(" | ") for line in files[1].read_text().splitlines() if line.startswith("| ")]
    head = next(row for row in rows if row[0] == "| path")
    assert head == ["| path", "goal", "pdns", "good 1.2.3", "odd 1.2.3 |"]
    by_title = {row[0]: row[1:] for row in rows}
    assert by_title["| forwarded answer from cache"] == ["1.15", "1.10 ±0", "1.50 ±0", "- |"]
    assert by_title["| blocked name, seen before"] == ["1.15", "1.10 ±0", "1.50 ±23!", "58.4 ±0 |"]


def test_a_doubted_echo_spoils_every_ratio() -> None:
    """When the yardstick is not to be trusted, no ratio to it is."""
    run = history.run_of(msgspec.structs.replace(RESULTS, echo_doubts=["rounds differ by ±20%"]), "")
    assert not any(ratio.usable for ratio in run.rounds.values())


def test_sizes_are_of_one_name(files: tuple[Path, Path]) -> None:
    """What a list costs is kept for each name of it, so that runs with other lists can be compared."""
    costs = NodeCosts(cached_answer_bytes=154.22, memory_bytes={"worker": 50_000_000}, forward_tls_us=75.55)
    run = history.run_of(msgspec.structs.replace(RESULTS, node=costs), "")
    assert run.sizes is not None
    assert (run.sizes.list_memory, run.sizes.blockset, run.sizes.compile_us) == (8.0, 8.0, 5.0)
    assert (run.sizes.cached_answer, run.sizes.forward_tls_us) == (154.2, 75.5)
    history.append(run, *files)
    assert history.read(files[0]) == [run]
    assert history.run_of(RESULTS, "").sizes is None


def test_the_page_stays_short(files: tuple[Path, Path]) -> None:
    """The file keeps every run, the page the newest ones."""
    run = history.run_of(RESULTS, "")
    for number in range(history.SHOWN_RUNS + 3):
        history.append(msgspec.structs.replace(run, when=f"2027-01-01T00:{number:02}:00Z"), *files)
    file, page = files
    assert len(history.read(file)) == history.SHOWN_RUNS + 3
    assert page.read_text().count("| 2027-") == history.SHOWN_RUNS
    assert "00:02" not in page.read_text()


def test_a_page_without_a_place_is_refused() -> None:
    """Nothing is written over that is not a table of runs."""
    with pytest.raises(ValueError, match="no place for the table"):
        history.with_table("a page\n", [])
