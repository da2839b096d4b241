"""What feeds in monitor mode would have blocked, line by line: a bounded sample, as queries come faster than a log holds."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pdns.config.schema import Log
from pdns.core.entry import Monitored
from pdns.wire.names import to_text
from pdns.worker.lines_per_minute import LinesPerMinute

_log = logging.getLogger(__name__)


class MonitorLog:
    """Writes at most `log.monitored_per_minute` lines a minute, and says how many it left out."""

    def __init__(self, config: Log, clock: Callable[[], float]) -> None:
        self._config = config
        self._lines = LinesPerMinute(clock, lambda count: _log.info("would block: %d more in that minute", count))

    def configure(self, config: Log) -> None:
        """Go by `config` from now on."""
        self._config = config

    def saw(self, name: bytes, tenant: str, client: str, monitored: Monitored) -> None:
        """A client of `tenant` was told about `name`, which each of `monitored` (feed, category) would have blocked."""
        if not self._lines.admits(self._config.monitored_per_minute):
            return
        feeds = ", ".join(f"{feed} ({category})" for feed, category in monitored)
        asked = f", asked by {client}" if self._config.clients else ""
        _log.info("would block %s for tenant %s: listed by %s%s", to_text(name), tenant, feeds, asked)
