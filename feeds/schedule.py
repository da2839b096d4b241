"""When to try a feed again. Pure functions: the caller brings the randomness and does the waiting."""

from __future__ import annotations

JITTER = 0.1
FIRST_RETRY_S = 30.0


def delay_s(refresh_s: float, failures: int, random: float) -> float:
    """Seconds until the next attempt, after `failures` in a row; `random` is uniform in [0, 1).

    Regular attempts come every `refresh_s` ± 10 %, so that a fleet that was started together does not ask together.
    Failed ones are repeated after 30 s, then twice as long each time, never later than the regular attempt would be.
    """
    wait_s = refresh_s if not failures else min(refresh_s, FIRST_RETRY_S * 2.0 ** min(failures - 1, 32))
    return wait_s * (1 - JITTER + 2 * JITTER * random)
