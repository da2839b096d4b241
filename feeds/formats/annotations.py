"""What publishers say of an indicator, made fit for a `Detail`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from pdns.blockset.annotations import DAY_S

MAX_CHARACTERS: Final = 200
_NUMBER = re.compile(r"\d{9,11}(?:\.\d{1,9})?").fullmatch
_DATE = re.compile(r"\d{4}-?\d{2}-?\d{2}").fullmatch
_LATEST_S: Final = 253_402_300_800  # the year 10,000
_NOTHING = frozenset(("", "none", "null", "unknown", "-"))


def words(text: object) -> str:
    """`text` on one line of printable characters, at most 200; "" when it says nothing."""
    if not isinstance(text, str):
        return ""
    shown = " ".join("".join([char if char.isprintable() else " " for char in text[: 2 * MAX_CHARACTERS]]).split())
    return shown[:MAX_CHARACTERS] if shown.lower() not in _NOTHING else ""


def link(text: object) -> str:
    """`text` when it is an http or https URL that fits whole; half a link leads nowhere."""
    shown = text.strip() if isinstance(text, str) else ""
    fits = len(shown) <= MAX_CHARACTERS and shown.isprintable() and " " not in shown
    return shown if fits and shown.lower().startswith(("https://", "http://")) else ""


def end_s(text: object) -> float:
    """When what holds until `text` ends: a time as for `seconds`, the end of a date alone, or seconds since the epoch.

    0 when it is not one.
    """
    if isinstance(text, str) and _NUMBER(text.strip()):
        text = float(text)
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text) if 0 < text < _LATEST_S else 0.0
    ends_s = seconds(text)
    return ends_s + DAY_S if ends_s and isinstance(text, str) and _DATE(text.strip()) else ends_s


def seconds(text: object) -> float:
    """A date or time as publishers write it (ISO 8601, with a space or a T, UTC unless it says otherwise); 0 for any other."""
    if not isinstance(text, str) or not text:
        return 0.0
    try:
        when = datetime.fromisoformat(text.strip().removesuffix(" UTC"))
    except ValueError:
        return 0.0
    try:
        return max(0.0, (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp())
    except (OverflowError, ValueError):
        return 0.0
