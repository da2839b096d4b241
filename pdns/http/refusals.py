"""Log lines about refused HTTP requests, at a bounded rate."""

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
    """For one port: at most one line every `EVERY_S` seconds for refused requests, and one for internal errors."""

    def __init__(self, port: str, now: Callable[[], float] = time.monotonic) -> None:
        """`port` is its name in log lines."""
        self._port = port
        self._now = now
        self._next_s = {False: 0.0, True: 0.0}
        self._unsaid = {False: 0, True: 0}

    def refused(self, client: str, reason: str) -> None:
        """Note a refused request of `client`."""
        if (others := self._due(fault=False)) is not None:
            _log.warning(
                "%s: refused a request of %s: %s%s", self._port, client, ascii(visible(reason, _MAX_CHARACTERS))[1:-1], others
            )

    def failed(self, error: BaseException) -> None:
        """Note an internal error: a request that seems valid and raised `error`."""
        if (others := self._due(fault=True)) is not None:
            _log.error("%s: internal error in a request%s", self._port, others, exc_info=error)

    def _due(self, *, fault: bool) -> str | None:
        """The text about requests that were not logged; None when it is too soon for a line."""
        now_s = self._now()
        if now_s < self._next_s[fault]:
            self._unsaid[fault] += 1
            return None
        unsaid, self._unsaid[fault], self._next_s[fault] = self._unsaid[fault], 0, now_s + EVERY_S
        return f"; {unsaid:,} more since the last such line" if unsaid else ""
