"""A bounded number of lines a minute, and how many were left out."""

from __future__ import annotations

from pdns.worker.lines_per_minute import LinesPerMinute


def test_a_minute_has_a_bounded_number_of_lines() -> None:
    """Those beyond are counted and said once the minute is over; the next minute begins anew."""
    now, said = 0.0, list[int]()
    lines = LinesPerMinute(lambda: now, said.append)
    assert [lines.admits(2) for _ in range(5)] == [True, True, False, False, False]
    now = 59.9
    assert not lines.admits(2)
    assert said == []
    now = 60.0
    assert [lines.admits(2) for _ in range(3)] == [True, True, False]
    assert said == [4]


def test_none_at_all() -> None:
    """Who wants no lines gets none about those left out either."""
    now, said = 0.0, list[int]()
    lines = LinesPerMinute(lambda: now, said.append)
    assert not lines.admits(0)
    now = 61.0
    assert not lines.admits(0)
    assert said == []
