"""What the HTTP ports log about requests that they refuse: a line now and then, whatever anyone sends."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from pdns.free_text import visible

EVERY_S: Final = 60.0
_MAX_CHARACTERS: Final = 160
_log = logging.getLogger(__name__)


class RefusalLog:
    """Of one port. A line at most every `EVERY_S` seconds for requests that are refused, and one for faults of our own."""

    def __init__(self, port: str, now: Callable[[], float] = time.monotonic) -> None:
        """`port` is what the lines call it."""
        self._port = port
        self._now = now
        self._next_s = {False: 0.0, True: 0.0}
        self._unsaid = {False: 0, True: 0}

    def refused(self, client: str, reason: str) -> None:
        """A request of `client` that was not answered as asked."""
        if (others := self._due(fault=False)) is not None:
            _log.warning(
                "%s: refused a request of %s: %s%s", self._port, client, ascii(visible(reason, _MAX_CHARACTERS))[1:-1], others
            )

    def failed(self, error: BaseException) -> None:
        """A request that nothing was wrong with, as far as we know, and that raised `error`."""
        if (others := self._due(fault=True)) is not None:
            _log.error("%s: internal error in a request%s", self._port, others, exc_info=error)

    def _due(self, *, fault: bool) -> str | None:
        """What to say of those about which nothing was said; None when it is too soon for a line."""
        now_s = self._now()
        if now_s < self._next_s[fault]:
            self._unsaid[fault] += 1
            return None
        unsaid, self._unsaid[fault], self._next_s[fault] = self._unsaid[fault], 0, now_s + EVERY_S
        return f"; {unsaid:,} more since the last such line" if unsaid else ""
