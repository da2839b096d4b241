"""Log lines about answers that the protection from DNS rebinding refuses: a bounded sample, since attackers choose how many."""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from pdns.telemetry.stats import Stats
from pdns.wire.names import to_text
from pdns.worker.lines_per_minute import LinesPerMinute

LINES_PER_MINUTE: Final = 10
_log = logging.getLogger(__name__)


class PrivateAnswerLog:
    """Counts each such answer, writes at most `LINES_PER_MINUTE` lines a minute, and logs how many it left out."""

    def __init__(self, stats: Stats, clock: Callable[[], float]) -> None:
        self._stats = stats
        text = "private addresses in answers for public names: %d more in that minute"
        self._lines = LinesPerMinute(clock, lambda count: _log.warning(text, count))

    def saw(self, qname: bytes, address: bytes) -> None:
        """An answer for `qname` held `address` (4 or 16 bytes), and was not given."""
        self._stats.add("private_answers_blocked_total", 1)
        if not self._lines.admits(LINES_PER_MINUTE):
            return
        _log.warning(
            "%s leads to the private address %s: answered with NODATA; if this is intended, add the name to rebinding.allow",
            to_text(qname), ip_address(address),
        )  # fmt: skip
