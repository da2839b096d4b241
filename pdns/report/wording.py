"""Numbers, times and comparisons in plain words. Times are shown in the time zone of the report."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from pdns.free_text import visible

HOUR_S: Final = 3600.0
DAY_S: Final = 86400.0
_LATEST_S: Final = 253_402_214_400.0  # 9999-12-31: the last day that calendars here have
_FEW: Final = 20  # below, a percentage says less than the two numbers
_LEAST_KNOWN: Final = 0.9  # of a period, for its numbers to be compared
_MOST_TEXT: Final = 200

CATEGORY_WORDS: Final = {
    "malware": "Malware", "phishing": "Phishing", "c2": "Control of infected computers", "botnet": "Botnet",
    "cryptojacking": "Hidden mining of cryptocurrency", "scam": "Scam", "dga": "Generated domain", "new": "Very new domain",
    "policy": "Not allowed by policy", "ads": "Advertising", "tracking": "Tracking", "local": "Local entry",
}  # fmt: skip


def number(value: float) -> str:
    """`value` with separators of thousands; a fraction is rounded."""
    return f"{value:,.0f}"


def counted(value: int, one: str, many: str = "") -> str:
    """`value` with its noun: `1 domain`, `1,200 domains`."""
    return f"{value:,} {one if value == 1 else many or f'{one}s'}"


def percent(share: float) -> str:
    """A share as a percentage, rounded down: only what is complete is 100 %."""
    if share >= 1.0:
        return "100%"
    if share <= 0.0:
        return "0%"
    places = 1 if 0.01 <= share < 0.99 else 2
    step = 10**places
    return f"{math.floor(max(share, 0.0) * 100 * step) / step:.{places}f}%"


def category(key: str) -> str:
    """A category in words."""
    return CATEGORY_WORDS.get(key) or shown(key)


def shown(text: str) -> str:
    """Text of others on one line, without characters that a terminal would obey."""
    return visible(text, _MOST_TEXT)


def local(time_s: float, zone: str) -> datetime:
    """The moment in the time zone; an unknown zone is UTC."""
    return datetime.fromtimestamp(min(max(time_s, 0.0), _LATEST_S), tz=ZoneInfo(zone) if zone not in ("", "UTC") else UTC)


def day(time_s: float, zone: str) -> str:
    """`23 November 2026`."""
    moment = local(time_s, zone)
    return f"{moment.day} {moment:%B %Y}"


def clock(time_s: float, zone: str) -> str:
    """`23 Nov 2026, 14:05`."""
    moment = local(time_s, zone)
    return f"{moment.day} {moment:%b %Y, %H:%M}"


def short_clock(time_s: float, zone: str) -> str:
    """`23 Nov, 14:05`, for tables whose year is known."""
    moment = local(time_s, zone)
    return f"{moment.day} {moment:%b, %H:%M}"


def clock_s(time_s: float, zone: str) -> str:
    """`2026-11-23 14:05:59`: for evidence."""
    return f"{local(time_s, zone):%Y-%m-%d %H:%M:%S}"


def period(start_s: float, end_s: float, zone: str) -> str:
    """The period in words: whole days by their dates, else with the time of day."""
    start, end = local(start_s, zone), local(end_s, zone)
    if (start.hour, start.minute, end.hour, end.minute) != (0, 0, 0, 0):
        return f"{clock(start_s, zone)} to {clock(end_s, zone)}"
    last = local(end_s - 1, zone)
    if start.date() == last.date():
        return day(start_s, zone)
    if (start.year, start.month) == (last.year, last.month):
        return f"{start.day} to {day(end_s - 1, zone)}"
    year = "" if start.year == last.year else f" {start.year}"
    return f"{start.day} {start:%B}{year} to {day(end_s - 1, zone)}"


def length(seconds: float) -> str:
    """A length of time: `45 seconds`, `5 minutes`, `24 hours`, `7 days`."""
    for size, one, least in ((DAY_S, "day", 2 * DAY_S), (HOUR_S, "hour", 2 * HOUR_S), (60.0, "minute", 120.0)):
        if seconds >= least:
            value = seconds / size
            is_round = one == "minute" or value >= 10 or abs(value - round(value)) < 0.05
            return f"{value:,.0f} {one}s" if is_round else f"{value:,.1f} {one}s"
    return counted(max(0, round(seconds)), "second")


def beacon(period_s: float | None, jitter: float | None) -> str:
    """The spacing of contacts: `every 5 minutes, ±3%`; empty where there is no regular spacing."""
    if not period_s:
        return ""
    around = f", ±{round(jitter * 100)}%" if jitter is not None and round(jitter * 100) else ""
    return f"every {length(period_s)}{around}"


def is_known(share: float) -> bool:
    """Whether a period of which this share is recorded may be compared with another."""
    return share >= _LEAST_KNOWN


def trend(value: int, before: int | None, span: str, known_before: float) -> str:
    """`value` compared with the period before, which had `before` (None: it has no data)."""
    if before is None or known_before <= 0:
        return f"no data for the {span} before"
    if not is_known(known_before):
        return f"not compared: only {percent(known_before)} of the {span} before is recorded"
    if value == before:
        return f"as many as in the {span} before"
    if min(value, before) < _FEW:
        return f"{before:,} in the {span} before"
    change = (value - before) / before
    if abs(change) < 0.005:
        return f"about the same as the {span} before"
    if value >= 3 * before:
        return f"{value / before:,.1f} times as many as in the {span} before"
    return f"{'up' if change > 0 else 'down'} {abs(change) * 100:.0f}% on the {span} before"
