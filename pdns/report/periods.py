"""The time that a report is about: from what a person types, and from the calendar."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from pdns.config.time_zones import is_known
from pdns.errors import PdnsError
from pdns.state.commands import parse_duration

Every = Literal["day", "week", "month"]
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LONGEST_S: Final = 400 * 86400.0


class InvalidPeriod(PdnsError, ValueError):
    """Times that are not a period. `str()` says what was expected."""


class Period(Struct, frozen=True):
    """From `start_s` until `end_s` (seconds since the epoch; the end is not part of it), shown in `time_zone`."""

    start_s: float
    end_s: float
    time_zone: str = "UTC"

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s

    @property
    def before(self) -> Period:
        """The period of the same length that ends where this one starts."""
        return Period(self.start_s - self.length_s, self.start_s, self.time_zone)


def typed_period(since: str, until: str, now_s: float, time_zone: str = "UTC") -> Period:
    """What a person typed: each end is a length of time before now (`7d`), a date or a time. Raises `InvalidPeriod`."""
    if not is_known(time_zone):
        raise InvalidPeriod(f'time zone: expected a name such as "Europe/London", got "{time_zone[:40]}"')
    end_s = _moment("until", until, now_s, time_zone) if until else now_s
    start_s = _moment("since", since, now_s, time_zone)
    if start_s >= end_s:
        raise InvalidPeriod("since: expected a time before until")
    if end_s - start_s > LONGEST_S:
        raise InvalidPeriod(f"since: expected at most {LONGEST_S / 86400:.0f} days before until")
    return Period(start_s, end_s, time_zone)


def _moment(key: str, text: str, now_s: float, time_zone: str) -> float:
    try:
        return now_s - parse_duration(text)
    except ValueError as error:
        too_long = str(error)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        if "at most" in too_long:
            raise InvalidPeriod(f"{key}: {too_long}") from None
        raise InvalidPeriod(f'{key}: expected a length of time (7d), a date (2026-11-23) or a time, got "{text[:40]}"') from None
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(time_zone))).timestamp()
    except (OverflowError, OSError):
        raise InvalidPeriod(f'{key}: "{text[:40]}" is out of range') from None


def last_due(every: Every, day: str, at: str, time_zone: str, now_s: float) -> float:
    """When a regular report was due last, at or before `now_s`.

    `at`: the time of day. `day`: the weekday of weekly reports; monthly ones are due on the first of the month.
    """
    zone = ZoneInfo(time_zone)
    today = datetime.fromtimestamp(now_s, zone).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
    first = today
    if every == "week":
        first -= timedelta(days=(today.weekday() - WEEKDAYS.index(day)) % 7)
    elif every == "month":
        first = today.replace(day=1)
    due_s = _at(first, at, zone)
    return due_s if due_s <= now_s else _at(_earlier(every, first), at, zone)


def due_before(every: Every, at: str, time_zone: str, due_s: float) -> float:
    """When the report before the one that is due at `due_s` was due."""
    return _at(_earlier(every, _day_of(due_s, time_zone)), at, ZoneInfo(time_zone))


def period_of(every: Every, time_zone: str, due_s: float) -> Period:
    """What the report that is due at `due_s` is about: the whole day, week or month that ended when that day began."""
    end = _day_of(due_s, time_zone)
    zone = ZoneInfo(time_zone)
    return Period(_at(_earlier(every, end), "00:00", zone), _at(end, "00:00", zone), time_zone)


def _earlier(every: Every, day: datetime) -> datetime:
    if every == "month":
        return (day - timedelta(days=1)).replace(day=1)
    return day - timedelta(days=7 if every == "week" else 1)


def _day_of(time_s: float, time_zone: str) -> datetime:
    return datetime.fromtimestamp(time_s, ZoneInfo(time_zone)).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)


def _at(day: datetime, at: str, zone: ZoneInfo) -> float:
    """That time of a day. A time that the clocks skip is the moment at which they skip it."""
    hour, minute = map(int, at.split(":"))
    return (day + timedelta(hours=hour, minutes=minute)).replace(tzinfo=zone).timestamp()
