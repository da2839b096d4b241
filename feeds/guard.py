"""What an update must not do unless somebody has looked at it: shrink, grow, or list next to nothing. Pure functions."""

from __future__ import annotations

import msgspec

from pdns.config import Config, Feed
from pdns.feedstatus import Finding

MAX_EXAMPLES = 5


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How far the number of entries of one feed may move between two updates."""

    max_shrink: float = 1.0  # share of the entries before; 1: no limit
    max_growth: float = float("inf")  # likewise
    small_change: int = 0  # entries; a difference of at most so many is always fine
    min_entries: int = 1


def limits_of(config: Config, feed: Feed) -> Limits:
    """What `[guard]` and the feed's own keys come to."""
    guard = config.guard
    return Limits(
        max_shrink=guard.max_shrink if feed.max_shrink < 0 else feed.max_shrink,
        max_growth=guard.max_growth if feed.max_growth < 0 else feed.max_growth,
        small_change=guard.small_change,
        min_entries=feed.min_entries,
    )


def judge(entries: int, before: int | None, limits: Limits) -> Finding | None:
    """Why a list of `entries` may not take the place of one of `before` (None: of nothing) by itself; None when it may."""
    if entries < limits.min_entries:
        return Finding("minimum", f"{entries:,} entries, min_entries is {limits.min_entries:,}")
    if before is None or abs(entries - before) <= limits.small_change:
        return None
    if entries < before and before - entries > limits.max_shrink * before:
        return Finding(
            "shrink",
            f"{entries:,} entries instead of {before:,}: {_share(before - entries, before)} gone, {_may(limits.max_shrink)}",
        )
    if entries > before and entries - before > limits.max_growth * before:
        return Finding(
            "growth",
            f"{entries:,} entries instead of {before:,}: {_share(entries - before, before)} more, {_may(limits.max_growth)}",
        )
    return None


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%}" if whole else "all"


def _may(limit: float) -> str:
    return f"{limit:.0%} may be"
