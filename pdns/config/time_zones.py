"""The offsets of time zones from UTC, as tables: who decides by the time of day needs no database of time zones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pdns.config.utc_offsets import Offsets

YEARS: Final = 30  # of each table, from the year that it is made in
_STEP: Final = timedelta(days=7)  # no zone changes its offset twice within this


def is_known(name: str) -> bool:
    """Whether the database of time zones has `name`."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def tables(names: Iterable[str], now_s: float) -> dict[str, Offsets]:
    """The offsets of each time zone (names that are known), from the beginning of this year on."""
    begin = datetime(datetime.fromtimestamp(now_s, UTC).year, 1, 1, tzinfo=UTC)
    return {name: _offsets(ZoneInfo(name), begin) for name in sorted(set(names))}


def _offsets(zone: ZoneInfo, begin: datetime) -> Offsets:
    found = [(int(begin.timestamp()), _seconds(zone, begin))]
    at = begin
    while at.year < begin.year + YEARS:
        following = at + _STEP
        if (after := _seconds(zone, following)) != found[-1][1]:
            low, high = at, following
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low).total_seconds() // 2)
                low, high = (middle, high) if _seconds(zone, middle) == found[-1][1] else (low, middle)
            found.append((int(high.timestamp()), after))
        at = following
    return tuple(found)


def _seconds(zone: ZoneInfo, at: datetime) -> int:
    offset = at.astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())
