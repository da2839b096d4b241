"""When to try a feed again. Pure functions: the caller brings the randomness and does the waiting."""

from __future__ import annotations

JITTER = 0.1
FIRST_RETRY_S = 30.0
LEAST_ZONE_REFRESH_S = 30.0


def zone_refresh_s(refresh_s: float, soa_s: float) -> float:
    """How often to look at a zone whose SOA says `soa_s`: that often, but at least as configured, and not all the time."""
    return min(refresh_s, max(soa_s, LEAST_ZONE_REFRESH_S))


def delay_s(refresh_s: float, failures: int, random: float, retry_s: float | None = None) -> float:
    """Seconds until the next attempt, after `failures` in a row; `random` is uniform in [0, 1).

    Regular attempts come every `refresh_s` ± 10 %, so that a fleet that was started together does not ask together.
    Failed ones are repeated after 30 s, then twice as long each time, never later than the regular attempt would be; or each
    time after `retry_s`, where the source says so.
    """
    if not failures:
        wait_s = refresh_s
    elif retry_s is not None:
        wait_s = min(refresh_s, retry_s)
    else:
        wait_s = min(refresh_s, FIRST_RETRY_S * 2.0 ** min(failures - 1, 32))
    return wait_s * (1 - JITTER + 2 * JITTER * random)
