"""Whether a machine asks on a timer: the period, its jitter, and since when it is silent. A pure function of times of events.

Medians decide, so that nights, lost events and a few queries in between change nothing. Queries within `BURST_S` of each other
are one beat: resolvers ask for several types, retry, and try search domains.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median_low
from typing import Final, NamedTuple

BURST_S: Final = 5.0
MIN_GAPS: Final = 10
MAX_JITTER: Final = 0.25  # of uniformly spread gaps: half of their greatest deviation
TOLERANCE: Final = 0.35  # a gap is regular within this part of the period
MIN_REGULAR: Final = 0.6  # of all gaps
SILENT_PERIODS: Final = 5.0


class Beat(NamedTuple):
    """`n` queries from `time_s` to `last_s`, as in an event."""

    time_s: float
    last_s: float
    n: int


class Beacon(NamedTuple):
    """All None without a period.

    `period_s`: the median time between beats. `jitter`: the median deviation from it, divided by it. `stopped_since_s`: the last
    query, if more than `SILENT_PERIODS` periods passed after it.
    """

    period_s: float | None = None
    jitter: float | None = None
    stopped_since_s: float | None = None


def beacon(beats: Iterable[Beat], end_s: float) -> Beacon:
    """The beacon in `beats`, in any order, as seen at `end_s`."""
    ordered = sorted(beats)
    gaps = _gaps(ordered)
    if len(gaps) < MIN_GAPS:
        return Beacon()
    period = median_low(gaps)
    jitter = median_low([abs(gap - period) for gap in gaps]) / period
    regular = sum(abs(gap - period) <= TOLERANCE * period for gap in gaps)
    if jitter > MAX_JITTER or regular < MIN_REGULAR * len(gaps):
        return Beacon()
    last = max(beat.last_s for beat in ordered)
    return Beacon(period, jitter, last if end_s - last > SILENT_PERIODS * period else None)


def _gaps(beats: Sequence[Beat]) -> list[float]:
    """The times from the start of one beat to the start of the next.

    Repeats that were merged are one gap, of their mean: how regular they were is not known. They are one beat if that mean is
    within a burst.
    """
    gaps: list[float] = []
    start = end = beats[0].time_s if beats else 0.0
    for time_s, last_s, n in beats:
        if time_s - end > BURST_S:
            gaps.append(time_s - start)
            start = time_s
        spacing = (last_s - time_s) / (n - 1) if n > 1 else 0.0
        if spacing > BURST_S:
            gaps.append(spacing)
            start = last_s
        end = max(end, last_s)
    return gaps
