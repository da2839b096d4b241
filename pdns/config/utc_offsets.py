"""The offset of a time zone from UTC at some time, by its table."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

Offsets = tuple[tuple[int, int], ...]  # (from then on, in seconds since the epoch; offset in seconds east of UTC), in order


def offset_s(offsets: Offsets, at_s: float) -> int:
    """The offset at that time. Before the table begins, its first."""
    return offsets[max(0, bisect.bisect_right(offsets, at_s, key=lambda change: change[0]) - 1)][1]


def changes_after(offsets: Offsets, at_s: float) -> Sequence[tuple[int, int]]:
    """The changes that are still to come."""
    return offsets[bisect.bisect_right(offsets, at_s, key=lambda change: change[0]) :]
