"""The buckets of each histogram on the page of metrics."""

from __future__ import annotations

from typing import Final

from pdns.telemetry.stats import BUCKETS_S

BLOCK_TIME: Final = "indicator_to_block_seconds"
BLOCK_TIME_BUCKETS_S: Final = (
    0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0, 600.0, 1800.0, 3600.0,
)  # fmt: skip


def _named(buckets_s: tuple[float, ...]) -> tuple[tuple[str, str], ...]:
    return (*((repr(bound), repr(bound)) for bound in buckets_s), ("+Inf", "+Inf"))


_DURATIONS: Final = _named(BUCKETS_S)
_BLOCK_TIMES: Final = _named(BLOCK_TIME_BUCKETS_S)


def buckets_of(family: str) -> tuple[tuple[str, str], ...]:
    """Upper bounds of the buckets, as they are labelled in the counter memory and on the page; the last is infinite."""
    return _BLOCK_TIMES if family == BLOCK_TIME else _DURATIONS
