"""What a comparison of two trees says of its pairs of runs."""

from __future__ import annotations

import random
import statistics
from pathlib import Path

import pytest

from loadtest.compare import Comparison, checkout_at
from loadtest.server import ServerError
from loadtest.spread import median_interval


def comparison(*ratios: float) -> Comparison:
    return Comparison(title="t", unit="us", other=1.0, this=1.0, ratios=list(ratios))


def test_the_interval_holds_the_median_nine_times_in_ten() -> None:
    """Of 2,000 samples of 15 values each, at least nine in ten have the true median in their interval."""
    draw = random.Random(1)
    held = 0
    for _ in range(2_000):
        low, high = median_interval([draw.lognormvariate(0.0, 0.3) for _ in range(15)])
        held += low <= 1.0 <= high
    assert 0.9 <= held / 2_000 < 0.97


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 30, 101])
def test_the_interval_is_around_the_median(count: int) -> None:
    """However few values there are; many values make it narrow."""
    values = [float(value) for value in range(count)]
    low, high = median_interval(values)
    assert 0 <= low <= statistics.median(values) <= high <= count - 1
    assert count < 8 or high - low < count - 1


def test_a_row_is_worse_only_when_chance_does_not_explain_it() -> None:
    """Three per cent more each time is worse; three per cent more on average with a wide spread is unclear."""
    assert comparison(*[1.03] * 8).verdict == "worse"
    assert comparison(0.9, 0.95, 1.0, 1.03, 1.03, 1.1, 1.2, 1.2).verdict.startswith("unclear")
    assert comparison(*[1.019] * 8).verdict == "as before"
    assert comparison(*[0.9] * 8).verdict == "better"


def test_a_tree_that_is_not_built_is_named(tmp_path: Path) -> None:
    """The message says what to run, and where."""
    with pytest.raises(ServerError, match="make dev"):
        checkout_at(tmp_path)
