"""A clock that does not follow jumps."""

from __future__ import annotations

import time

import pytest

from pdns.clock import BELIEVED_AFTER_S, SteadyClock, boottime_s, environment, steady_s

DAY_S = 86400.0
WALL_S = 1_800_000_000.0


@pytest.mark.parametrize("jump_s", [30 * DAY_S, -30 * DAY_S, 60.0])
def test_a_jump_is_not_followed_for_six_hours(jump_s: float) -> None:
    """Time goes on at its pace; then the new time is believed."""
    clock = SteadyClock()
    assert clock.read(WALL_S, 100.0) == WALL_S
    assert clock.read(WALL_S + jump_s + 10.0, 110.0) == WALL_S + 10.0
    almost_s = 110.0 + BELIEVED_AFTER_S - 1.0
    assert clock.read(WALL_S + jump_s + almost_s - 100.0, almost_s) == pytest.approx(WALL_S + almost_s - 100.0)
    assert clock.read(WALL_S + jump_s + almost_s - 98.0, almost_s + 2.0) == pytest.approx(WALL_S + jump_s + almost_s - 98.0)


def test_a_jump_that_is_taken_back_leaves_no_trace() -> None:
    """The next jump waits for its own six hours."""
    clock = SteadyClock()
    clock.read(WALL_S, 0.0)
    clock.read(WALL_S + DAY_S, 10.0)
    assert clock.read(WALL_S + 20.0, 20.0) == WALL_S + 20.0
    late_s = 2 * BELIEVED_AFTER_S
    assert clock.read(WALL_S + DAY_S + late_s, late_s) == WALL_S + late_s


def test_a_clock_that_is_steered_is_followed() -> None:
    """A second a minute, as time daemons do."""
    clock = SteadyClock()
    clock.read(WALL_S, 0.0)
    for minute in range(1, 100):
        assert clock.read(WALL_S + 61.0 * minute, 60.0 * minute) == WALL_S + 61.0 * minute


def test_suspended_time_counts() -> None:
    """Both clocks say so: that is no jump."""
    clock = SteadyClock()
    clock.read(WALL_S, 100.0)
    assert clock.read(WALL_S + DAY_S, 100.0 + DAY_S) == WALL_S + DAY_S


def test_a_child_agrees_with_its_parent() -> None:
    """It goes by the offset that it is given, although the wall clock has jumped meanwhile."""
    parent = SteadyClock()
    parent.read(WALL_S, 100.0)
    child = SteadyClock(parent.offset_s)
    assert child.read(WALL_S + DAY_S, 200.0) == WALL_S + 100.0
    assert float(environment()["PDNS_CLOCK_OFFSET_S"]) == pytest.approx(time.time() - boottime_s(), abs=1.0)


def test_of_this_process() -> None:
    """Without a jump it is the wall clock."""
    assert steady_s() == pytest.approx(time.time(), abs=1.0)
    assert boottime_s() >= time.monotonic() - 1.0
