"""The clocks for expiry and age. Neither follows a wall clock that jumps."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import Final

JUMP_S: Final = 5.0  # smaller steps are NTP adjusting the clock
BELIEVED_AFTER_S: Final = 6 * 3600.0
_ENVIRONMENT: Final = "PDNS_CLOCK_OFFSET_S"


def boottime_s() -> float:
    """Seconds since the machine was booted, including time in suspend (CLOCK_BOOTTIME). It never jumps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class SteadyClock:
    """Seconds since the epoch by the wall clock. A jump of the wall clock is ignored until the new time has lasted for six hours,
    so a clock that is wrong for a while ends no block and prolongs no exception.
    """

    def __init__(self, offset_s: float | None = None) -> None:
        """`offset_s`: what is added to `boottime_s` to give the time; without one the wall clock is believed at first."""
        self._offset_s = offset_s
        self._jumped_to_s = 0.0  # the offset that the wall clock has jumped to
        self._jumped_at_s = 0.0

    @property
    def offset_s(self) -> float | None:
        """For the clock of a process that is to agree with this one; None before the first reading."""
        return self._offset_s

    def read(self, wall_s: float, boot_s: float) -> float:
        """The time, when the wall clock says `wall_s` and the machine has been on for `boot_s`."""
        offset_s = wall_s - boot_s
        if self._offset_s is None or abs(offset_s - self._offset_s) < JUMP_S:
            self._offset_s = self._jumped_to_s = offset_s
        elif abs(offset_s - self._jumped_to_s) >= JUMP_S:
            self._jumped_to_s, self._jumped_at_s = offset_s, boot_s
        elif boot_s - self._jumped_at_s >= BELIEVED_AFTER_S:
            self._offset_s = offset_s
        return boot_s + self._offset_s


@lru_cache(maxsize=1)
def _of_this_process() -> SteadyClock:
    given = os.environ.get(_ENVIRONMENT, "")
    return SteadyClock(float(given) if given else None)


def environment() -> dict[str, str]:
    """The part of a child's environment by which its `steady_s` agrees with ours, however the wall clock has jumped."""
    steady_s()
    return {_ENVIRONMENT: repr(_of_this_process().offset_s)}


def steady_s() -> float:
    """Seconds since the epoch by the `SteadyClock` of this process."""
    return _of_this_process().read(time.time(), boottime_s())
