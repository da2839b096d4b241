"""Numbers for people: short, and never an error."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.telemetry import live_text as text


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (text.rate(0), "0"), (text.rate(0.04), "<0.1"), (text.rate(0.25), "0.2"), (text.rate(9.96), "10"),
        (text.rate(12345.6), "12,346"), (text.latency(None), "-"), (text.latency(0.00004), "0.04 ms"),
        (text.latency(0.0021), "2.1 ms"), (text.latency(0.21), "210 ms"), (text.latency(1.24), "1.2 s"),
        (text.percent(None), "-"), (text.percent(0.0), "0 %"), (text.percent(0.004), "0.4 %"), (text.percent(0.83), "83 %"),
        (text.size(0), "0 B"), (text.size(12_300_000), "12 MB"), (text.lasting(59), "59 s"), (text.lasting(61), "1 min"),
        (text.lasting(18_600), "5 h 10 min"), (text.lasting(274_000), "3 d 4 h"), (text.ago(0, 5), "never"),
        (text.ago(100, 280), "3 min"), (text.cores(None), "-"), (text.cores(1.4), "140 %"),
    ],
)  # fmt: skip
def test_examples(made: str, expected: str) -> None:
    """As a reader would write them."""
    assert made == expected


@given(value=st.floats(allow_nan=True, allow_infinity=True))
def test_no_number_is_an_error(value: float) -> None:
    """Whatever a server sends, there is a short text on one line."""
    made = [text.rate(value), text.latency(value), text.percent(value), text.cores(value)]
    if math.isfinite(value):
        made += [text.lasting(value), text.ago(value, 0.0), text.clock(value), text.size(int(value) if abs(value) < 1e300 else 0)]
    assert all("\n" not in one and one for one in made)
