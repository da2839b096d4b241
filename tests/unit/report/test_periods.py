"""Periods that people type, and those of regular reports, through changes of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.report.periods import WEEKDAYS, Every, InvalidPeriod, due_before, last_due, period_of, typed_period

NOW_S = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()  # a Wednesday
LONDON = "Europe/London"


def local(time_s: float, zone: str = LONDON) -> str:
    return datetime.fromtimestamp(time_s, ZoneInfo(zone)).strftime("%a %Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("since", "until", "start", "end"),
    [
        ("7d", "", "Wed 2026-11-18 12:00", "Wed 2026-11-25 12:00"),
        ("2026-11-16", "2026-11-23", "Mon 2026-11-16 00:00", "Mon 2026-11-23 00:00"),
        ("2026-06-01", "2026-06-02T08:30", "Mon 2026-06-01 00:00", "Tue 2026-06-02 08:30"),
        ("2026-11-25T10:00:00+02:00", "1h", "Wed 2026-11-25 08:00", "Wed 2026-11-25 11:00"),
    ],
)
def test_typed_periods(since: str, until: str, start: str, end: str) -> None:
    """A length of time, a date and a time are understood; dates are those of the time zone."""
    period = typed_period(since, until, NOW_S, LONDON)
    assert (local(period.start_s), local(period.end_s)) == (start, end)


@pytest.mark.parametrize(
    ("since", "until", "zone", "reason"),
    [
        ("soon", "", "UTC", 'since: expected a length of time (7d), a date (2026-11-23) or a time, got "soon"'),
        ("1d", "2d", "UTC", "since: expected a time before until"),
        ("2027-01-01", "", "UTC", "since: expected a time before until"),
        ("999d", "", "UTC", "since: expected at most 366 days"),
        ("2020-01-01", "", "UTC", "since: expected at most 400 days before until"),
        ("7d", "0001-01-01", "UTC", "expected"),
        ("7d", "", "Mars/Olympus", 'time zone: expected a name such as "Europe/London", got "Mars/Olympus"'),
    ],
)
def test_times_that_are_no_period(since: str, until: str, zone: str, reason: str) -> None:
    """The error says which end is wrong and what was expected."""
    with pytest.raises(InvalidPeriod) as caught:
        typed_period(since, until, NOW_S, zone)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("every", "due", "start", "end"),
    [
        ("day", "Wed 2026-11-25 06:00", "Tue 2026-11-24 00:00", "Wed 2026-11-25 00:00"),
        ("week", "Mon 2026-11-23 06:00", "Mon 2026-11-16 00:00", "Mon 2026-11-23 00:00"),
        ("month", "Sun 2026-11-01 06:00", "Thu 2026-10-01 00:00", "Sun 2026-11-01 00:00"),
    ],
)
def test_regular_reports(every: Every, due: str, start: str, end: str) -> None:
    """Each is about the whole day, week or month before the day that it is due on."""
    due_s = last_due(every, "mon", "06:00", LONDON, NOW_S)
    period = period_of(every, LONDON, due_s)
    assert (local(due_s), local(period.start_s), local(period.end_s)) == (due, start, end)


@pytest.mark.parametrize(
    ("end", "hours"), [("2026-03-30", 167), ("2026-10-26", 169), ("2026-04-06", 168)], ids=["spring", "autumn", "other"]
)
def test_weeks_in_which_the_clocks_change(end: str, hours: int) -> None:
    """A week is that of the calendar: an hour shorter or longer where the clocks change."""
    now_s = datetime.fromisoformat(end).replace(hour=12, tzinfo=UTC).timestamp()
    period = period_of("week", LONDON, last_due("week", "mon", "06:00", LONDON, now_s))
    assert local(period.end_s) == f"Mon {end} 00:00"
    assert period.length_s == hours * 3600


@given(
    st.sampled_from(("day", "week", "month")),
    st.sampled_from(WEEKDAYS),
    st.sampled_from(("00:00", "02:30", "06:00", "23:59")),
    st.sampled_from(("UTC", LONDON, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata")),
    st.floats(1.7e9, 2.2e9),
)
def test_periods_follow_each_other(every: Every, day: str, at: str, zone: str, now_s: float) -> None:
    """The last due time has passed, the next has not, and the periods of neighbours meet without a gap."""
    due_s = last_due(every, day, at, zone, now_s)
    before_s = due_before(every, at, zone, due_s)
    assert before_s < due_s <= now_s
    assert last_due(every, day, at, zone, due_s) == due_s
    assert last_due(every, day, at, zone, due_s - 1) == before_s
    assert period_of(every, zone, before_s).end_s == period_of(every, zone, due_s).start_s
    assert period_of(every, zone, due_s).end_s <= due_s
