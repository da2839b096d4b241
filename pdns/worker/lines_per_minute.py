"""How many lines of one kind a log gets: a bounded sample, as queries come faster than a log holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_MINUTE_S: Final = 60.0


class LinesPerMinute:
    """Counts the lines of each minute. `left_out` is called with how many a minute had too many, once that is over."""

    def __init__(self, clock: Callable[[], float], left_out: Callable[[int], object]) -> None:
        self._clock = clock
        self._say_left_out = left_out
        self._since_s = clock()
        self._written = self._left_out = 0

    def admits(self, most: int) -> bool:
        """Whether one more line may be written, of `most` a minute. If `most` is 0, nothing is said of those left out either."""
        if (now := self._clock()) - self._since_s >= _MINUTE_S:
            if self._left_out and self._written:
                self._say_left_out(self._left_out)
            self._since_s, self._written, self._left_out = now, 0, 0
        if self._written >= most:
            self._left_out += 1
            return False
        self._written += 1
        return True
