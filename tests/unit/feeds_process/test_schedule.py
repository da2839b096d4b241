"""When a feed is tried again."""

from __future__ import annotations

import pytest

from feeds.schedule import delay_s


def test_regular_attempts_spread() -> None:
    """`refresh_s` plus or minus a tenth, evenly: a fleet started together does not ask together."""
    assert delay_s(1000, 0, 0.0) == pytest.approx(900)
    assert delay_s(1000, 0, 0.5) == pytest.approx(1000)
    assert delay_s(1000, 0, 1.0) == pytest.approx(1100)


def test_failures_back_off_up_to_the_regular_interval() -> None:
    """30 s, then double each time, never above `refresh_s`, however long the outage."""
    assert [delay_s(300, failures, 0.5) for failures in (1, 2, 3, 4, 5, 6, 10_000)] == pytest.approx(
        [30, 60, 120, 240, 300, 300, 300]
    )
