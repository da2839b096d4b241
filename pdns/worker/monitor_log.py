"""What feeds in monitor mode would have blocked, line by line: a bounded sample, as queries come faster than a log holds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from pdns.config.schema import Log
from pdns.core.entry import Monitored
from pdns.wire.names import to_text

_MINUTE_S: Final = 60.0
_log = logging.getLogger(__name__)


class MonitorLog:
    """Writes at most `log.monitored_per_minute` lines a minute, and says how many it left out."""

    def __init__(self, config: Log, clock: Callable[[], float]) -> None:
        self._config = config
        self._clock = clock
        self._since_s = clock()
        self._written = self._left_out = 0

    def configure(self, config: Log) -> None:
        """Go by `config` from now on."""
        self._config = config

    def saw(self, name: bytes, tenant: str, client: str, monitored: Monitored) -> None:
        """A client of `tenant` was told about `name`, which each of `monitored` (feed, category) would have blocked."""
        if self._clock() - self._since_s >= _MINUTE_S:
            self._turn()
        if self._written >= self._config.monitored_per_minute:
            self._left_out += 1
            return
        self._written += 1
        feeds = ", ".join(f"{feed} ({category})" for feed, category in monitored)
        asked = f", asked by {client}" if self._config.clients else ""
        _log.info("would block %s for tenant %s: listed by %s%s", to_text(name), tenant, feeds, asked)

    def _turn(self) -> None:
        if self._left_out and self._written:
            _log.info("would block: %d more in that minute", self._left_out)
        self._since_s = self._clock()
        self._written = self._left_out = 0
