"""What the edges of the network (`udp`, `tcp`) ask of the rest of the program, and do alike."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, Protocol

from pdns.core.credentials import NO_CREDENTIAL, Credential
from pdns.wire.transport import Transport

Reply = Callable[[bytes], None]
"""Sends one message to the client that asked. May be called late, even after the client or the listener is gone; never raises."""

_LOGGER = logging.getLogger(__name__)
_BUG_INTERVAL_S: Final = 10.0


class MessageHandler(Protocol):
    """Answers messages. What an edge is given to call."""

    def on_message(
        self, wire: bytes, client: str, port: int, transport: Transport, reply: Reply, credential: Credential = NO_CREDENTIAL
    ) -> bool:
        """Take one message from `client` (an IP address as text, without scope); call `reply` once, later, or never.

        True when it was refused because of the client, which may not ask, or not as much: it is to be given time.
        """


class EdgeStats(Protocol):
    """The part of `pdns.telemetry.stats.Stats` that an edge counts with."""

    def dropped(self, reason: str) -> None: ...

    def gauge(self, family: str, value: int, *labels: str) -> None: ...


class BugLog:
    """Logs unhandled exceptions: the first at once, then at most one every `interval_s`.

    Whoever finds a packet that raises can send it a million times; the log must not become the damage.
    """

    def __init__(self, clock: Callable[[], float], interval_s: float = _BUG_INTERVAL_S) -> None:
        self._clock = clock
        self._interval_s = interval_s
        self._next_s = float("-inf")
        self._passed_over = 0

    def caught(self, error: Exception, where: str) -> None:
        """`error` escaped from the code named."""
        now = self._clock()
        if now < self._next_s:
            self._passed_over += 1
            return
        self._next_s = now + self._interval_s
        _LOGGER.error("bug in %s; %d more since the last report", where, self._passed_over, exc_info=error)
        self._passed_over = 0
