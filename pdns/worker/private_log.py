"""Log lines about answers that the protection from DNS rebinding refuses: a bounded sample, since attackers choose how many."""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from pdns.telemetry.stats import Stats
from pdns.wire.names import to_text

LINES_PER_MINUTE: Final = 10
_MINUTE_S: Final = 60.0
_log = logging.getLogger(__name__)


class PrivateAnswerLog:
    """Counts each such answer, writes at most `LINES_PER_MINUTE` lines a minute, and logs how many it left out."""

    def __init__(self, stats: Stats, clock: Callable[[], float]) -> None:
        self._stats = stats
        self._clock = clock
        self._since_s = clock()
        self._written = self._left_out = 0

    def saw(self, qname: bytes, address: bytes) -> None:
        """An answer for `qname` held `address` (4 or 16 bytes), and was not given."""
        self._stats.add("private_answers_blocked_total", 1)
        if (now := self._clock()) - self._since_s >= _MINUTE_S:
            if self._left_out:
                _log.warning("private addresses in answers for public names: %d more in that minute", self._left_out)
            self._since_s, self._written, self._left_out = now, 0, 0
        if self._written >= LINES_PER_MINUTE:
            self._left_out += 1
            return
        self._written += 1
        _log.warning(
            "%s leads to the private address %s: answered with NODATA; if this is intended, add the name to rebinding.allow",
            to_text(qname), ip_address(address),
        )  # fmt: skip
