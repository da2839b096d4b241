"""A council's week in 168 hours: how busy each is, and what is asked in it. Pure; the same every time."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from loadtest import traffic
from loadtest.population import Population

HOURS = 168
PEAK_TO_AVERAGE = 12.4  # published for the service that this is sized after
AVERAGE_QPS = 4300.0  # of that service: 2.6 bn queries in a week
BLOCKED_SHARE = 1 / 1238  # of its queries

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_IDLE = 0.15  # of the average: machines that never sleep
# How many people are at work, against Monday at nine: by hour of a working day and of a weekend, and by day.
_WORKING = (
    .10, .08, .07, .07, .08, .12, .25, .50, .85, 1.0, .92, .88, .80, .78, .84, .82, .70, .45, .32, .28, .26, .22, .18, .13,
)  # fmt: skip
_WEEKEND = (
    .12, .09, .07, .06, .06, .07, .09, .12, .17, .22, .25, .27, .27, .26, .25, .24, .24, .25, .27, .28, .27, .24, .20, .15,
)  # fmt: skip
_OF_DAY = (1.0, 0.96, 0.95, 0.93, 0.84, 1.0, 0.9)


class Slice(NamedTuple):
    """One hour of the week as it is played: from `start_s` of the run on, `queries` at `rate` a second."""

    hour: int
    start_s: float
    length_s: float
    rate: float
    queries: int


def hour_name(hour: int) -> str:
    """`Mon 09:00`."""
    return f"{_DAYS[hour // 24 % 7]} {hour % 24:02}:00"


@cache
def weights() -> tuple[float, ...]:
    """How busy each hour is against the average hour: 1 on average, `PEAK_TO_AVERAGE` on Monday at nine."""
    people = [(_WORKING if day < 5 else _WEEKEND)[hour] * _OF_DAY[day] for day in range(7) for hour in range(24)]
    low, high = 1.0, 64.0  # the sharper the curve, the lower its average under the same peak
    for _ in range(60):
        sharpness = (low + high) / 2
        curve = [_IDLE + (PEAK_TO_AVERAGE - _IDLE) * share**sharpness for share in people]
        low, high = (sharpness, high) if sum(curve) > HOURS else (low, sharpness)
    return tuple(curve)


def slices(run_s: float, rate_scale: float) -> list[Slice]:
    """The week in `run_s` seconds, at `rate_scale` times the rates of the service. Fractions of a query go to the next hour."""
    length_s = run_s / HOURS
    week, owed = [], 0.0
    for hour, weight in enumerate(weights()):
        rate = AVERAGE_QPS * rate_scale * weight
        owed += rate * length_s
        queries = int(owed)
        owed -= queries
        week.append(Slice(hour, hour * length_s, length_s, rate, queries))
    return week


def packets_of(population: Population, each: Slice, seed: int) -> Iterator[bytes]:
    """The queries of one hour: one in 1,238 for a listed name, of the others nine in ten for names that are asked all week."""
    return traffic.mix(population, each.queries, seed * HOURS + each.hour, blocked_share=BLOCKED_SHARE)
