"""How far the rounds of a measurement lie apart."""

from __future__ import annotations

from collections.abc import Sequence

_CONFIDENCE = 0.9  # an interval leaves the true median out at most once in ten times


def median_interval(values: Sequence[float]) -> tuple[float, float]:
    """The narrowest pair of order statistics that holds the median with a probability of 0.9; all of them when there are few."""
    ordered, count = sorted(values), len(values)
    below, chance = 0, 0.5**count  # of exactly `below` values below the median
    outside = 2 * chance
    while outside + 2 * (chance := chance * (count - below) / (below + 1)) < 1 - _CONFIDENCE and below + 1 < (count - 1) / 2:
        below += 1
        outside += 2 * chance
    return ordered[below], ordered[count - 1 - below]


def half_width(values: Sequence[float]) -> float:
    """Half of that interval, as a share of its middle; 0 without values."""
    if not values:
        return 0.0
    low, high = median_interval(values)
    return (high - low) / (high + low)
