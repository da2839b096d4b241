"""Resolvers of different sizes: what is measured of them, the table, the picture."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console
from typer.testing import CliRunner

from loadtest import build, scale, scale_chart, scale_results
from loadtest.__main__ import app
from loadtest.history import Ratio
from loadtest.results import SystemInfo
from loadtest.scale_results import ScalePoint, ScaleResults

SVG = "{http://www.w3.org/2000/svg}"


def point(axis: str, size: int, ratio: float, refresh_s: float, *, usable: bool = True) -> ScalePoint:
    found = Ratio(median=ratio, least=ratio, most=ratio, spread=0.02, usable=usable)
    return ScalePoint(
        axis=axis, size=size, ratios={path.key: found for path in scale_results.PATHS},
        cpu_us={path.key: 4.0 for path in scale_results.PATHS}, refresh_s=refresh_s, p99_9_before_us=1000, p99_9_during_us=1250,
        first_start_s=3.0,
    )  # fmt: skip


RESULTS = ScaleResults(
    when="2026-11-30T10:00:00Z", commit="0123456789abcdef",
    machine=SystemInfo(cpu="cpu", cores=2, kernel="6", python="3.11", load_before=0.1),
    points=[
        point("workers", 8, 1.5, 2.0),
        point("workers", 1, 1.0, 2.0),
        point("names", 10_000, 1.1, 0.5),
        point("names", 10_000_000, 1.4, 60.0, usable=False),
    ],
)  # fmt: skip


def test_workers_of_a_core_each_are_a_model() -> None:
    """Eight workers on eight cores answer eight times what one core can at the measured CPU time for a query."""
    assert point("workers", 8, 1.5, 2.0).by_model("hit") == 2_000_000


def test_the_table_has_a_row_for_each_size() -> None:
    """By axis and size; what is not to be used has a mark; only workers have a model."""
    rows = [line.strip("| ").split(" | ") for line in scale_results.table(RESULTS).splitlines() if line.startswith("| ")]
    assert rows[2:] == [
        ["listed names", "10,000", "1.10 ±2", "1.10 ±2", "0.5", "1.00 → 1.25"],
        ["listed names", "10,000,000", "1.40 ±2!", "1.40 ±2!", "60.0", "1.00 → 1.25"],
        ["workers", "1", "1.00 ±2", "1.00 ±2", "2.0", "1.00 → 1.25", "250,000"],
        ["workers", "8", "1.50 ±2", "1.50 ±2", "2.0", "1.00 → 1.25", "2,000,000"],
    ]


def test_the_page_and_the_picture_show_the_file() -> None:
    """The table of docs/performance.md and docs/images/scale.svg are those of docs/performance-scale.json."""
    results = scale_results.load()
    assert results is not None
    text = scale_results.PAGE.read_text(encoding="utf-8")
    assert scale_results.with_table(text, results) == text
    assert scale_chart.PICTURE.read_text(encoding="utf-8") == scale_chart.svg(results)


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    """A file that was never written is no result."""
    assert scale_results.load(tmp_path / "none.json") is None
    scale_results.save(RESULTS, tmp_path / "one.json")
    assert scale_results.load(tmp_path / "one.json") == RESULTS


def test_the_curves_are_within_the_picture() -> None:
    """Three curves for each axis that was measured, a circle for each number, a higher number higher up, none outside."""
    root = ET.fromstring(scale_chart.svg(RESULTS))
    lines = root.findall(f"{SVG}polyline")
    assert len(lines) == 2 * 3
    circles = [(float(each.get("cx", "")), float(each.get("cy", ""))) for each in root.findall(f"{SVG}circle")]
    assert len(circles) == 3 * 4
    assert all(0 < x < scale_chart._WIDTH and 60 < y < scale_chart._HEIGHT - 40 for x, y in circles)
    for line in lines:
        (_, first), (_, last) = ([float(part) for part in place.split(",")] for place in line.get("points", "").split())
        assert last <= first


@pytest.mark.long
@pytest.mark.usefixtures("compiled")
def test_real_resolvers_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two sizes of a list, each with both paths against the echo, and a refresh; a list that is too large is left out."""
    for name in build.PROGRAMS:
        shutil.copy2(build.program(name), tmp_path / name)
    monkeypatch.setattr(build, "BUILD_DIR", tmp_path)
    monkeypatch.setitem(scale.SIZES, "names", (1000, 2000, 100_000))
    monkeypatch.setattr(scale, "ROUNDS", 2)
    found = scale.run(["names"], 2000, Console(quiet=True)).of("names")
    assert [each.size for each in found] == [1000, 2000]
    assert all(ratio.median > 0 for each in found for ratio in each.ratios.values())
    assert all(each.cpu_us.keys() == {"hit", "blocked_first"} and each.refresh_s > 0 for each in found)


def test_an_unknown_axis_is_refused() -> None:
    """The error names those that there are."""
    result = CliRunner().invoke(app, ["scale", "--only", "feeds"])
    assert result.exit_code == 2
    assert "names, tenants, workers" in " ".join(result.output.split())
