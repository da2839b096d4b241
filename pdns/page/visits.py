"""Visits of the sinkhole address: counted by tenant and feed, and a bounded sample of log lines.

A visit is a finding: software or a person has followed a blocked name.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from pdns.config.policies import NO_TENANT
from pdns.config.schema import Config
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import MAX_TENANTS, OTHER

NO_FEED: Final = "none"  # the label where the name is not blocked
_MINUTE_S: Final = 60.0
_log = logging.getLogger(__name__)


class VisitLog:
    """Counts visits. `clock` is monotonic."""

    def __init__(self, config: Config, counters: Counters, clock: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._clock = clock
        self._since_s = clock()
        self._written = self._left_out = 0
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Go by `config` from now on."""
        self._config = config
        self._tenants = frozenset((NO_TENANT, *(tenant.name for tenant in config.tenant))[:MAX_TENANTS])

    def saw(self, tenant: str, feed: str, category: str, name: str, client: str, method: str) -> None:
        """A client of `tenant` sent a request for `name`. `feed` is "" for a name that is not blocked."""
        label = tenant if tenant in self._tenants else OTHER
        self._counters.add(1, "sinkhole_visits_total", label, feed or NO_FEED)
        if not feed or not self._admits():
            return
        asked = f", by {client}" if self._config.log.clients else ""
        _log.info("sinkhole visit: %s %s, tenant %s, blocked by %s (%s)%s", method, name, tenant, feed, category, asked)

    def _admits(self) -> bool:
        if (now_s := self._clock()) - self._since_s >= _MINUTE_S:
            if self._left_out and self._written:
                _log.info("sinkhole visits: %d more in that minute", self._left_out)
            self._since_s, self._written, self._left_out = now_s, 0, 0
        if self._written >= self._config.block_page.visits_per_minute:
            self._left_out += 1
            return False
        self._written += 1
        return True
