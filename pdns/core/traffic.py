"""Whether the traffic of an hour fell below what the same hours of the last days were, by robust statistics."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import median
from typing import Final, NamedTuple

LEAST_SAMPLES: Final = 4
LEAST_QUERIES: Final = 200  # that are expected in an hour; below, chance and single machines decide
LEAST_Z: Final = 4.0
LEAST_SHARE: Final = 0.5
_MAD_TO_SIGMA: Final = 1.4826  # of a normal distribution
_LEAST_SPREAD: Final = 0.05  # of the median: real traffic is never steadier


class TrafficFall(NamedTuple):
    """`expected` queries; `share` of them that are missing, 0 to 1; `z`: by how many standard deviations."""

    expected: float
    share: float
    z: float

    @property
    def is_sudden(self) -> bool:
        """Whether chance does not explain it."""
        return self.expected >= LEAST_QUERIES and self.share >= LEAST_SHARE and self.z >= LEAST_Z


NO_FALL: Final = TrafficFall(0.0, 0.0, 0.0)


def fall_of(queries: int, same_hours: Sequence[int], common: float = 1.0) -> TrafficFall:
    """How far `queries` of one hour are below those of `same_hours` of earlier days.

    `common` is what the others have of what they are expected to have, at most 1: on a holiday all have less. The median and the
    median absolute deviation decide: neither a day without a network nor a day with an attack moves them. `NO_FALL` with too few
    samples.
    """
    if len(same_hours) < LEAST_SAMPLES:
        return NO_FALL
    usual, common = median(same_hours), min(1.0, max(0.0, common))
    expected = usual * common
    deviation = _MAD_TO_SIGMA * common * median(abs(one - usual) for one in same_hours)
    spread = max(deviation, sqrt(expected), _LEAST_SPREAD * expected)
    if queries >= expected or not spread:
        return TrafficFall(expected, 0.0, 0.0)
    return TrafficFall(expected, 1 - queries / expected, (expected - queries) / spread)
