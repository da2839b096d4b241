"""What a service shows of itself: upstreams that answer, cached answers, questions in flight."""

from __future__ import annotations

from itertools import islice

from pdns.core.cache import AnswerCache
from pdns.core.in_flight import InFlight
from pdns.core.routes import MOST_LABELS
from pdns.telemetry.stats import Stats
from pdns.upstream.forwarder import Forwarder


class ServiceGauges:
    """Sets the gauges of one service."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._evictions_counted = 0

    def set(self, forwarder: Forwarder, cache: AnswerCache, in_flight: InFlight) -> None:
        """Show how these do now."""
        stats = self._stats
        for group, up in islice(forwarder.groups_up(), MOST_LABELS):
            stats.gauge("group_up", int(up), group)
        stats.gauge("cache_entries", len(cache))
        stats.gauge("cache_bytes", cache.size_bytes)
        stats.gauge("in_flight", len(in_flight))
        stats.add("cache_evictions_total", cache.evictions - self._evictions_counted)
        self._evictions_counted = cache.evictions
