"""Numbers of the live views for people: short, and of a steady width."""

from __future__ import annotations

import math
import time
from typing import Final

NOTHING: Final = "-"
_BYTES: Final = ("B", "kB", "MB", "GB", "TB")
_LATEST_S: Final = 253_402_214_400.0  # the last day that calendars here have: of 9999


def rate(per_s: float) -> str:
    """A number per second: "0", "0.2", "12", "12,345"."""
    if per_s <= 0 or not math.isfinite(per_s):
        return "0"
    if per_s < 0.1:
        return "<0.1"
    return f"{per_s:.1f}" if per_s < 9.95 else f"{per_s:,.0f}"


def latency(seconds: float | None) -> str:
    """A length of time: "0.05 ms", "2.1 ms", "210 ms", "1.2 s"."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    ms = seconds * 1000
    if ms < 0.995:
        return f"{ms:.2f} ms"
    if ms < 9.95:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 999.5 else f"{seconds:.1f} s"


def percent(share: float | None) -> str:
    """A share of 1: "0 %", "0.4 %", "83 %"."""
    if share is None or not math.isfinite(share):
        return NOTHING
    value = share * 100
    return f"{value:.1f} %" if 0 < value < 9.95 else f"{value:.0f} %"


def size(n: int) -> str:
    """A number of bytes: "12 MB"."""
    value = float(max(0, n))
    for unit in _BYTES[:-1]:
        if value < 999.5:
            return f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:,.0f} {_BYTES[-1]}"


def lasting(seconds: float) -> str:
    """A length of time: "12 s", "3 min", "5 h 10 min", "3 d 4 h"."""
    whole = int(min(max(0.0, seconds), _LATEST_S))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if not minutes:
        return f"{whole} s"
    if not hours:
        return f"{minutes} min"
    if not days:
        return f"{hours} h {minutes % 60} min"
    return f"{days} d {hours % 24} h"


def ago(at_s: float, now_s: float) -> str:
    """How long ago a point in time is: "3 min"; "never" for 0."""
    return lasting(now_s - at_s) if at_s > 0 else "never"


def clock(at_s: float) -> str:
    """The time of the day where this process runs."""
    return time.strftime("%H:%M:%S", time.localtime(min(max(at_s, 0.0), _LATEST_S)))


def cores(cpu: float | None) -> str:
    """How much of a core a process uses: "12 %", "140 %"."""
    return NOTHING if cpu is None or not math.isfinite(cpu) else f"{cpu * 100:.0f} %"
