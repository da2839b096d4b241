"""Times in event stores: whole microseconds since the epoch, UTC. Seconds that are a multiple of 1e-6 survive unchanged."""

from __future__ import annotations

import math
from typing import Final

_PER_S: Final = 1_000_000
LATEST_US: Final = 9_000_000_000 * _PER_S  # the year 2255: ClickHouse has a DateTime64 for it


def to_us(seconds: float) -> int:
    """The nearest microsecond, within 1970 and 2255; 0 for what is no number."""
    if math.isnan(seconds):
        return 0
    return round(min(max(seconds, 0.0), LATEST_US / _PER_S) * _PER_S)


def to_s(microseconds: int) -> float:
    """Seconds."""
    return microseconds / _PER_S
