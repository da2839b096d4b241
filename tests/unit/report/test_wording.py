"""Numbers, shares, times and comparisons in plain words."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.report import wording

NOON_S = 1_795_435_200.0  # 2026-11-23 12:00 UTC


@pytest.mark.parametrize(
    ("value", "before", "known", "text"),
    [
        (100, None, 1.0, "no data for the 7 days before"),
        (100, 0, 0.0, "no data for the 7 days before"),
        (100, 50, 0.4, "not compared: only 40.0% of the 7 days before is recorded"),
        (100, 100, 1.0, "as many as in the 7 days before"),
        (1000, 1001, 1.0, "about the same as the 7 days before"),
        (150, 100, 1.0, "up 50% on the 7 days before"),
        (50, 100, 0.95, "down 50% on the 7 days before"),
        (500, 100, 1.0, "5.0 times as many as in the 7 days before"),
        (3, 1, 1.0, "1 in the 7 days before"),
        (5000, 0, 1.0, "0 in the 7 days before"),
    ],
)
def test_trends(value: int, before: int | None, known: float, text: str) -> None:
    """A comparison never claims more than the data of the period before allows."""
    assert wording.trend(value, before, "7 days", known) == text


@given(st.floats(0, 1))
def test_only_a_whole_is_100_percent(share: float) -> None:
    """A share is rounded down: what is not complete is never called so, and nothing is beyond it."""
    text = wording.percent(share)
    assert (text == "100%") == (share >= 1.0)
    assert 0 <= float(text.removesuffix("%")) <= share * 100 + 1e-6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 seconds"), (1, "1 second"), (61, "61 seconds"), (300, "5 minutes"), (86400, "24 hours"), (9000, "2.5 hours"),
     (7 * 86400, "7 days"), (167 * 3600, "7 days")],
)  # fmt: skip
def test_lengths_of_time(seconds: float, text: str) -> None:
    """A length of time has the largest unit of which there are two."""
    assert wording.length(seconds) == text


@pytest.mark.parametrize(
    ("start", "end", "text"),
    [
        ("2026-11-16", "2026-11-23", "16 to 22 November 2026"),
        ("2026-10-26", "2026-11-02", "26 October to 1 November 2026"),
        ("2026-12-28", "2027-01-04", "28 December 2026 to 3 January 2027"),
        ("2026-11-23", "2026-11-24", "23 November 2026"),
        ("2026-11-23T10:00", "2026-11-23T12:30", "23 Nov 2026, 10:00 to 23 Nov 2026, 12:30"),
    ],
)
def test_periods_in_words(start: str, end: str, text: str) -> None:
    """Whole days are named by their dates in the time zone of the report."""
    zone = ZoneInfo("Europe/Berlin")
    begin_s, end_s = (datetime.fromisoformat(one).replace(tzinfo=zone).timestamp() for one in (start, end))
    assert wording.period(begin_s, end_s, "Europe/Berlin") == text


def test_clocks() -> None:
    """Times are those of the time zone; evidence has seconds."""
    assert wording.clock(NOON_S, "Europe/Berlin") == "23 Nov 2026, 13:00"
    assert wording.clock_s(NOON_S, "America/New_York") == "2026-11-23 07:00:00"
    assert wording.clock(-1.0, "UTC") == "1 Jan 1970, 00:00"
    assert wording.clock(1e18, "UTC").startswith("31 Dec 9999")


def test_beacons() -> None:
    """A rhythm has its period, and its jitter unless that rounds to nothing."""
    assert wording.beacon(300.0, 0.031) == "every 5 minutes, ±3%"
    assert wording.beacon(300.0, 0.001) == "every 5 minutes"
    assert wording.beacon(None, None) == ""
