"""Tables of time zones, and what they say at some time."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.config.time_zones import is_known, tables
from pdns.config.utc_offsets import changes_after, offset_s

BEGIN_S = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
ZONES = ["Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC", "Africa/Casablanca"]
TABLES = tables(ZONES, BEGIN_S + 1e6)


@given(zone=st.sampled_from(ZONES), after_s=st.integers(0, 29 * 365 * 86400))
def test_the_table_is_the_time_zone(zone: str, after_s: int) -> None:
    """For decades the table says what the database says, to the second."""
    at = datetime.fromtimestamp(BEGIN_S + after_s, UTC)
    expected = at.astimezone(ZoneInfo(zone)).utcoffset()
    assert expected is not None
    assert offset_s(TABLES[zone], at.timestamp()) == expected.total_seconds()


def test_changes() -> None:
    """British Summer Time begins and ends at 01:00 UTC; before the table its first offset counts."""
    london = TABLES["Europe/London"]
    spring_s, autumn_s = (datetime(2026, *day, 1, tzinfo=UTC).timestamp() for day in ((3, 29), (10, 25)))
    assert [offset_s(london, at_s) for at_s in (0.0, spring_s - 1, spring_s, autumn_s - 1, autumn_s)] == [0, 0, 3600, 3600, 0]
    assert changes_after(london, spring_s)[0] == (autumn_s, 0)
    assert changes_after(TABLES["UTC"], BEGIN_S) == ()


@pytest.mark.parametrize(("name", "known"), [("Europe/London", True), ("Europe/Londn", False), ("../passwd", False), ("", False)])
def test_known_names(name: str, known: bool) -> None:
    """Names of the database, and no paths."""
    assert is_known(name) == known
