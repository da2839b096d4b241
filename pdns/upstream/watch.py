"""Which upstreams are up: announced when it changes, and found out by a probe (`. NS`) where no client's question will tell."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from pdns.upstream.exchange import UpstreamStats
from pdns.upstream.timers import Timers

if TYPE_CHECKING:
    from pdns.upstream.server import Server

_log = logging.getLogger(__name__)


class Watch:
    """Keeps the health of every upstream. `send_probe(server, now)` must lead to one call of `probed`; `went_down(now)` is told
    when one is down.
    """

    def __init__(
        self,
        timers: Timers,
        stats: UpstreamStats,
        send_probe: Callable[[Server, float], None],
        went_down: Callable[[float], None],
    ) -> None:
        self._timers = timers
        self._stats = stats
        self._send_probe = send_probe
        self._went_down = went_down
        self._probing: set[Server] = set()

    def alive(self, server: Server, now: float) -> None:
        """It gave a valid answer, whatever that said."""
        if server.health.answered(now):
            _log.info("upstream %s is up again", server.name)
            self._stats.upstream_up(server.name, True)

    def failed(self, server: Server, sent_s: float, now: float, *, probe: bool = False) -> None:
        """It left a question, or a probe, that was sent at `sent_s` without an answer."""
        health = server.health
        planned_s = health.probe_at_s
        if health.failed(sent_s, now, probe=probe):
            reason = f": {server.tcp.last_error}" if server.udp is None and server.tcp.last_error else ""
            _log.warning("upstream %s is down%s", server.name, reason)
            self._stats.upstream_up(server.name, False)
            self._went_down(now)
        if health.probe_at_s != planned_s:
            self._timers.at(health.probe_at_s, self._probe, server)

    def probed(self, server: Server, sent_s: float, now: float, *, answered: bool) -> None:
        """The probe that was sent at `sent_s` is over."""
        self._probing.discard(server)
        if not answered:
            self.failed(server, sent_s, now, probe=True)

    def _probe(self, server: Server, now: float) -> None:
        if now >= server.health.probe_at_s and server not in self._probing:
            self._probing.add(server)
            server.health.probed(now)
            self._send_probe(server, now)
