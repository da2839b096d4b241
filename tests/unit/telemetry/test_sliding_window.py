"""Counting different names in sliding windows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdns.telemetry.sliding_window import SLOT_S, WINDOWS, Room, SlidingWindow

HOUR, DAY, WEEK = 3600.0, 86400.0, 7 * 86400.0


def test_a_name_counts_once_in_each_window() -> None:
    """The same name twice is one; another is two."""
    seen = SlidingWindow(10, Room(10))
    for name in (7, 7, 8):
        seen.saw(name, 1000.0)
    assert seen.totals(1000.0) == (2, 2, 2)


def test_names_leave_the_windows_one_after_the_other() -> None:
    """A name leaves the hour, then the day, then the week, and then memory; seen again, it is back in all."""
    room = Room(10)
    seen = SlidingWindow(10, room)
    seen.saw(7, 0.0)
    seen.saw(8, HOUR)
    assert seen.totals(HOUR) == (1, 2, 2)
    assert seen.totals(DAY) == (0, 1, 2)
    seen.saw(8, DAY)
    assert seen.totals(DAY + 1) == (1, 1, 2)
    assert seen.totals(WEEK) == (0, 0, 1)
    assert (len(seen), room.left) == (1, 9)
    assert seen.totals(9 * DAY) == (0, 0, 0)
    assert (len(seen), room.left) == (0, 10)


def test_memory_is_bounded() -> None:
    """Past the bound the name not seen for longest makes room, in one set and over all that share."""
    room = Room(5)
    first, second = SlidingWindow(3, room), SlidingWindow(3, room)
    for n in range(100):
        first.saw(n, 0.0)
        second.saw(n, 0.0)
    assert (len(first), len(second), room.left) == (3, 2, 0)
    assert first.totals(0.0) == (3, 3, 3)
    third = SlidingWindow(3, room)
    third.saw(9, 0.0)
    assert third.totals(0.0) == (0, 0, 0)


_MINUTES_LATER = st.sampled_from((0, 1, 59, 60, 61, 1439, 1440, 1500, 10079, 10080, 10081))


@given(st.lists(st.tuples(st.integers(0, 12), _MINUTES_LATER), max_size=60))
def test_totals_are_those_of_a_walk_over_all_names(steps: list[tuple[int, int]]) -> None:
    """Whatever is seen when, the running totals equal a count from scratch."""
    seen = SlidingWindow(1000, Room(1000))
    last: dict[int, int] = {}
    minute = 0
    for name, later in steps:
        minute += later
        last[name] = minute
        seen.saw(name, minute * SLOT_S + 0.5)
        expected = tuple(sum(slot > minute - slots for slot in last.values()) for _, slots in WINDOWS)
        assert seen.totals(minute * SLOT_S + 30.0) == expected
