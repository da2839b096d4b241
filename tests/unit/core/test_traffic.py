"""Sudden falls of traffic: what is one, and what is not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.core.traffic import LEAST_SAMPLES, NO_FALL, fall_of
from tests.effort import examples

_USUAL = [9_600, 10_400, 9_900, 10_100, 10_000, 9_700, 10_300, 10_200, 9_800, 10_000]


@pytest.mark.parametrize(
    ("queries", "samples", "common", "sudden"),
    [
        (10_000, _USUAL, 1.0, False),
        (6_000, _USUAL, 1.0, False),  # a warm Friday
        (3_000, _USUAL, 1.0, True),
        (0, _USUAL, 1.0, True),
        (3_000, _USUAL, 0.31, False),  # a holiday: all have less
        (500, _USUAL, 0.31, True),
        (3_000, _USUAL, 7.0, True),  # the others have more: that is no reason to expect more here
        (3_000, [*_USUAL, 0, 0, 900_000], 1.0, True),  # outages and an attack among the samples
        (3_000, _USUAL[: LEAST_SAMPLES - 1], 1.0, False),
        (2, [30, 28, 31, 33, 29, 30], 1.0, False),  # too few queries to tell
        (9_000, [100, 50_000, 900, 30_000, 2_000, 18_000], 1.0, False),  # never steady
        (0, [0] * 10, 1.0, False),
    ],
)
def test_what_is_sudden(queries: int, samples: list[int], common: float, sudden: bool) -> None:
    """Half of the expected queries must be missing, by more than chance explains."""
    assert fall_of(queries, samples, common).is_sudden is sudden


@examples(200)
@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**9), max_size=30), st.floats(0, 10))
def test_any_numbers(queries: int, samples: list[int], common: float) -> None:
    """The share is between 0 and 1; more queries are never a greater fall."""
    fall = fall_of(queries, samples, common)
    assert 0 <= fall.share <= 1
    assert fall.z >= 0
    assert fall_of(queries + 1, samples, common).share <= fall.share
    if len(samples) < LEAST_SAMPLES:
        assert fall == NO_FALL


def test_ordinary_weeks_are_no_falls() -> None:
    """A year of hours of 250 tenants with the noise of real traffic, and not one sudden fall."""
    rnd = random.Random(7)
    for _ in range(250):
        level = rnd.lognormvariate(8, 1.5)
        weeks = [int(level * rnd.lognormvariate(0, 0.15)) for _ in range(365)]
        assert not any(fall_of(weeks[day], weeks[day - 10 : day]).is_sudden for day in range(10, 365))
