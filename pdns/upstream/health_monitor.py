"""Which upstreams are up: announced when it changes, and found out by a probe (`. NS`) where no client's question will tell."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from pdns.upstream.exchange import UpstreamStats
from pdns.upstream.health import NEVER
from pdns.upstream.timers import Timers
from pdns.wire.names import domain_of, filter_key

if TYPE_CHECKING:
    from pdns.upstream.server import UpstreamServer

_log = logging.getLogger(__name__)


class HealthMonitor:
    """Keeps the health of every upstream. `send_probe(server, now)` must lead to one call of `probed`; `went_down(now)` is told
    when one is down.
    """

    def __init__(
        self,
        timers: Timers,
        stats: UpstreamStats,
        send_probe: Callable[[UpstreamServer, float], None],
        went_down: Callable[[float], None],
    ) -> None:
        self._timers = timers
        self._stats = stats
        self._send_probe = send_probe
        self._went_down = went_down
        self._probing: set[UpstreamServer] = set()
        self._is_retired = False

    def take_up(self, server: UpstreamServer) -> None:
        """Say how `server` does, and probe it when that is due: its health was found out elsewhere."""
        self._tell_up(server.name, server.health.up)
        self._tell_useful(server.name, server.usefulness.useful)
        if server.health.probe_at_s != NEVER:
            self._timers.at(server.health.probe_at_s, self._probe, server)

    def retire(self) -> None:
        """Say nothing more: another one speaks of these servers."""
        self._is_retired = True

    def alive(self, server: UpstreamServer, now: float) -> None:
        """It gave a valid answer, whatever that said."""
        if server.health.answered(now):
            server.usefulness.reset()
            self._tell_useful(server.name, True)
            _log.info("upstream %s is up again", server.name)
            self._tell_up(server.name, True)

    def good(self, server: UpstreamServer, count: int = 1) -> None:
        """It answered so many questions well."""
        if server.usefulness.good(count):
            server.health.forgive()
            _log.info("upstream %s is useful again", server.name)
            self._tell_useful(server.name, True)

    def bad(self, server: UpstreamServer, kind: str, qname: bytes, *, proven: bool) -> None:
        """It answered a question for `qname` badly, or not at all; `proven`: another one answered it well."""
        if server.usefulness.bad(kind, filter_key(qname), proven=proven):
            kinds = ", ".join(f"{kind} {count}" for kind, count in server.usefulness.bad_kinds.most_common())
            _log.warning("upstream %s answers, but is of no use: %s%s", server.name, kinds, _reason(server))
            self._tell_useful(server.name, False)

    def failed(self, server: UpstreamServer, sent_s: float, now: float, *, qname: bytes = b"", probe: bool = False) -> None:
        """It left a question, or a probe, that was sent at `sent_s` without an answer; with `qname`, maybe due to that name."""
        health = server.health
        planned_s = health.probe_at_s
        if health.failed(sent_s, now, domain=domain_of(qname) if qname else b"", probe=probe):
            reason = _reason(server)
            _log.warning("upstream %s is down%s", server.name, reason)
            self._tell_up(server.name, False)
            self._went_down(now)
        if health.probe_at_s != planned_s:
            self._timers.at(health.probe_at_s, self._probe, server)

    def probed(self, server: UpstreamServer, sent_s: float, now: float, *, answered: bool | None) -> None:
        """The probe that was sent at `sent_s` is over. `answered` is None when this machine could not send it."""
        self._probing.discard(server)
        if answered is None:
            server.health.probe_later(now)
            self._timers.at(server.health.probe_at_s, self._probe, server)
        elif not answered:
            self.failed(server, sent_s, now, probe=True)

    def _tell_up(self, name: str, up: bool) -> None:
        if not self._is_retired:
            self._stats.upstream_up(name, up)

    def _tell_useful(self, name: str, useful: bool) -> None:
        if not self._is_retired:
            self._stats.upstream_useful(name, useful)

    def _probe(self, server: UpstreamServer, now: float) -> None:
        if now >= server.health.probe_at_s and server not in self._probing:
            self._probing.add(server)
            server.health.probed(now)
            self._send_probe(server, now)


def _reason(server: UpstreamServer) -> str:
    """Why the last connection or stream failed, for a log."""
    return f": {server.stream_error}" if server.stream_error and not server.takes_datagrams else ""
