"""The picture of a bench."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pytest
from typer.testing import CliRunner

from loadtest import bench, chart
from loadtest.__main__ import app
from tests.unit.loadtest.test_report import some_results

SVG = "{http://www.w3.org/2000/svg}"
RESULTS = some_results(ratio=1.1, extra_bytes=8_000_000, start_s=0.3, lost=0)


def drawn() -> ET.Element:
    return ET.fromstring(chart.svg(RESULTS))


def test_every_measured_path_has_a_bar_for_each_server() -> None:
    """Five paths, ours and two peers, but not the one number that was of something else."""
    bars = drawn().findall(f"{SVG}rect")
    assert len(bars) == 5 * 3 - 1
    assert sum(bar.get("class") == "ours" for bar in bars) == 5
    texts = [element.text for element in drawn().findall(f"{SVG}text")]
    assert texts.count("58.4") == 4


def test_bars_are_logarithmic_and_within_the_picture() -> None:
    """A bar is as long as its ratio's logarithm, none leaves the picture, and the echo's own length would be none."""
    widths = sorted({float(bar.get("width", "")) for bar in drawn().findall(f"{SVG}rect")})
    assert len(widths) == 3
    short, middle, long = widths
    assert 0 < short < middle < long < chart._WIDTH - chart._LEFT - chart._RIGHT
    assert middle / short == pytest.approx(4.25, rel=0.05)  # log 1.5 / log 1.1
    assert long / middle == pytest.approx(10.03, rel=0.05)  # log 58.44 / log 1.5


def test_what_a_busy_machine_spoilt_is_pale() -> None:
    """Its bars have a class of their own, and the note says what that means; without any, nothing is said of it."""
    first = msgspec.structs.replace(RESULTS.paths[0], doubts=["other programs took 40% of the cores"])
    text = chart.svg(msgspec.structs.replace(RESULTS, paths=[first, *RESULTS.paths[1:]]))
    assert text.count('class="ours doubted"') == 1
    assert "pale: beside other programs" in text
    assert "pale" not in chart.svg(RESULTS)


def test_readable_on_light_and_dark() -> None:
    """There is a colour of text for each scheme, another one in each, and no background that would be wrong in one of them."""
    text = chart.svg(RESULTS)
    colours = re.findall(r"prefers-color-scheme: (light|dark)\) \{\s*text \{ fill: (#[0-9a-f]{6})", text)
    assert [scheme for scheme, _ in colours] == ["light", "dark"]
    assert colours[0][1] != colours[1][1]
    assert "background" not in text


def test_command_draws_what_a_bench_wrote(tmp_path: Path) -> None:
    """`python -m loadtest chart` makes the picture out of the JSON; without one it says how to get it."""
    results, picture = tmp_path / "latest.json", tmp_path / "bench.svg"
    missing = CliRunner().invoke(app, ["chart", "--results", str(results), "--to", str(picture)])
    assert missing.exit_code == 2
    assert not picture.exists()
    results.write_bytes(msgspec.json.encode(RESULTS))
    assert CliRunner().invoke(app, ["chart", "--results", str(results), "--to", str(picture)]).exit_code == 0
    assert picture.read_text() == chart.svg(bench.load(results))


def test_the_picture_of_the_readme_is_of_this_code() -> None:
    """The committed picture parses, and has the paths that a bench has now."""
    texts = [element.text for element in ET.parse(chart.README_CHART).getroot().findall(f"{SVG}text")]
    assert [path.title for path in RESULTS.paths if path.title not in texts] == []
