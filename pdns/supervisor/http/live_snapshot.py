"""The value that all live views show, from the samples, the feeds' status and the supervisor."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from msgspec.structs import replace

import pdns
from pdns.clock import boottime_s
from pdns.state.feed_status import FeedStatus
from pdns.supervisor.http.collector import MetricsSource
from pdns.supervisor.http.live_counts import by_label, by_two_labels, difference, quantile
from pdns.supervisor.http.live_sampler import LiveSampler
from pdns.supervisor.http.status import StatusReader
from pdns.telemetry.counters import Counters
from pdns.telemetry.live_status import (
    LiveAnswers,
    LiveBlock,
    LiveCache,
    LiveFeed,
    LiveProcess,
    LiveRates,
    LiveSink,
    LiveStatus,
    LiveTenant,
    LiveTotals,
    LiveUpstream,
    LiveWorker,
    TenantStatus,
)
from pdns.telemetry.recent_blocks import RecentBlock
from pdns.telemetry.stats import BOUNDS
from pdns.telemetry.upstream_states import states_of
from pdns.version import COMMIT

MOST_RECENT: Final = 50
_NO_ERRORS: Final = {"ok", "retransmit", "truncated", "unmatched"}  # results at an upstream
_NO_QUESTIONS: Final = {"retransmit", "unmatched"}
_FROM_CACHE: Final = ("cache", "stale")
_LOOKED_UP: Final = ("cache", "stale", "upstream", "error")
_STATES: Final = {"down": 0, "useless": 1, "up": 2}


class LiveSource(MetricsSource, Protocol):
    """What a live view needs from the supervisor."""

    def remarks(self) -> list[str]: ...


class LiveView:
    """Makes the status, once for each sample."""

    def __init__(
        self,
        source: LiveSource,
        status: StatusReader,
        recent: Callable[[], Iterable[RecentBlock]],
    ) -> None:
        """`recent`: blocked queries, the newest last."""
        self._source, self._feeds_status = source, status
        self._recent = recent
        self._made: tuple[int, LiveStatus] | None = None
        self._node = socket.gethostname()
        self._started_s = time.time()
        self.sampler = LiveSampler(lambda: (*source.counters, *source.past_counters), lambda: source.processes)

    async def status(self) -> LiveStatus | None:
        """The status now; it takes a second when there was no viewer before. None: the server stops."""
        return self.made() if await self.sampler.ready() else None

    def made(self) -> LiveStatus:
        """That of the last sample; there are two at least."""
        if self._made is None or self._made[0] != self.sampler.number:
            self._made = self.sampler.number, self._make()
        return self._made[1]

    def recent(self) -> list[LiveBlock]:
        """The last blocked queries, the newest first."""
        blocked = [LiveBlock(**block._asdict()) for block in self._recent() if block.action]
        blocked.reverse()
        blocked.sort(key=lambda block: -block.time_s)  # what was merged comes later than it was asked
        return blocked

    def of_tenant(self, status: LiveStatus, tenant: str) -> TenantStatus:
        """What `tenant` may see of `status`."""
        none = LiveTenant(name=tenant, queries_per_s=0.0, blocked_per_s=0.0, queries=0, blocked=0)
        return TenantStatus(
            time_s=status.time_s,
            ready=not status.not_ready,
            tenant=next((one for one in status.tenants if one.name == tenant), none),
            recent=[block for block in self.recent() if block.tenant == tenant][:MOST_RECENT],
        )

    def _make(self) -> LiveStatus:
        source, sampler = self._source, self.sampler
        now, before, first = sampler.samples[-1], sampler.samples[-2], sampler.samples[0]
        counted = sampler.sums.table(now.row)
        minute = sampler.sums.table(difference(now.row, first.row))
        minute_s = now.at_s - first.at_s
        durations = by_two_labels(minute, "duration")
        every = {bound: sum(of.get(bound, 0) for of in durations.values()) for bound in BOUNDS}
        memories = source.counters
        return LiveStatus(
            time_s=now.time_s,
            node=self._node,
            version=pdns.__version__,
            commit=COMMIT,
            config_sha256=source.config_sha256,
            reload_successful=source.reload_successful,
            generation=min((memory.value("blockset_generation") or 0 for memory in memories), default=0),
            entries=min((memory.value("blockset_entries") or 0 for memory in memories), default=0),
            not_ready=source.not_ready(),
            remarks=source.remarks(),
            second=_rates(sampler.sums.table(difference(now.row, before.row)), now.at_s - before.at_s),
            minute=_rates(minute, minute_s),
            p50_s=quantile(every, 0.5),
            p99_s=quantile(every, 0.99),
            in_flight=_gauge(memories, "in_flight"),
            tcp_connections=_gauge(memories, "tcp_connections"),
            totals=self._totals(counted),
            cache=_cache(minute, minute_s, memories),
            answers=_answers(by_label(minute, "answers"), durations, minute_s),
            workers=self._workers(),
            upstreams=_upstreams(minute, minute_s, self._upstream_states()),
            feeds=self._feeds(counted, minute, minute_s, now.time_s),
            sinks=_sinks(source.child_counters),
            processes=self._processes(),
            history=list(sampler.history),
            names_shown=True,
            tenants=self._tenants(counted, minute, minute_s),
            recent=self.recent()[:MOST_RECENT],
        )

    def _upstream_states(self) -> dict[str, str]:
        up, useful = (self.sampler.sums.least(self._source.counters, family) for family in ("upstream_up", "upstream_useful"))
        return states_of(up, useful)

    def _totals(self, counted: Mapping[tuple[str, ...], int]) -> LiveTotals:
        domains = dict(self._source.blocked.totals_overall(boottime_s()))
        own = self.sampler.samples[-1].usage.get("supervisor")
        return LiveTotals(
            since_s=self._started_s if own is None else own.start_time_s,
            queries=sum(by_label(counted, "queries").values()),
            blocked=sum(by_label(counted, "blocked").values()),
            domains_1h=domains["1h"],
            domains_24h=domains["24h"],
            domains_7d=domains["7d"],
        )

    def _workers(self) -> list[LiveWorker]:
        used = self.sampler.samples[-1].usage
        return [
            LiveWorker(
                name=name,
                up=up,
                in_flight=memory.value("in_flight") or 0,
                generation=memory.value("blockset_generation") or 0,
                cpu=self.sampler.cpu(name),
                resident_bytes=used[name].resident_bytes if name in used else 0,
            )
            for (name, up), memory in zip(self._source.workers_up.items(), self._source.counters, strict=True)
        ]

    def _processes(self) -> list[LiveProcess]:
        used, pids = self.sampler.samples[-1].usage, self._source.processes
        return [
            LiveProcess(
                name=name,
                pid=pids.get(name, 0),
                cpu=self.sampler.cpu(name),
                resident_bytes=process.resident_bytes,
                started_s=process.start_time_s,
            )
            for name, process in used.items()
        ]

    def _feeds(
        self, counted: Mapping[tuple[str, ...], int], minute: Mapping[tuple[str, ...], int], over_s: float, now_s: float
    ) -> list[LiveFeed]:
        status = self._feeds_status.read().feeds
        hits, lately = by_label(counted, "hits"), by_label(minute, "hits")
        found = []
        for configured in self._source.config.feed:
            name = configured.name
            feed = status.get(name) or FeedStatus(
                url="", category=configured.category, mode=configured.mode, required=configured.required
            )
            found.append(
                LiveFeed(
                    name=name,
                    category=configured.category,
                    mode=configured.mode,
                    required=configured.required,
                    loaded=feed.loaded,
                    entries=feed.entries + feed.addresses,
                    last_success_s=feed.last_success_s,
                    last_error=feed.last_error,
                    problem=_problem(feed, now_s),
                    held=feed.held,
                    disabled=feed.disabled_until_s > now_s,
                    hits=hits.get(name, 0),
                    hits_per_s=_round(lately.get(name, 0) / over_s),
                )
            )
        return found

    def _tenants(
        self, counted: Mapping[tuple[str, ...], int], minute: Mapping[tuple[str, ...], int], over_s: float
    ) -> list[LiveTenant]:
        domains = {tenant: n for tenant, window, n in self._source.blocked.totals(boottime_s()) if window == "24h"}
        queries, blocked = by_label(counted, "queries"), by_label(counted, "blocked")
        queries_lately, blocked_lately = by_label(minute, "queries"), by_label(minute, "blocked")
        names = dict.fromkeys([*(tenant.name for tenant in self._source.config.tenant), *queries])
        return [
            LiveTenant(
                name=name,
                queries_per_s=_round(queries_lately.get(name, 0) / over_s),
                blocked_per_s=_round(blocked_lately.get(name, 0) / over_s),
                queries=queries.get(name, 0),
                blocked=blocked.get(name, 0),
                domains_24h=domains.get(name, 0),
            )
            for name in names
        ]


def without_names(status: LiveStatus) -> LiveStatus:
    """What a viewer may see who may not see names, tenants and clients. The text of an error may quote a list or a URL."""
    feeds = [replace(feed, last_error="") for feed in status.feeds]
    return replace(status, names_shown=False, tenants=[], recent=[], feeds=feeds)


def _rates(counted: Mapping[tuple[str, ...], int], over_s: float) -> LiveRates:
    return LiveRates(
        over_s=round(over_s, 3),
        queries=_round(sum(by_label(counted, "queries").values()) / over_s),
        blocked=_round(sum(by_label(counted, "blocked").values()) / over_s),
        monitored=_round(counted.get(("monitored",), 0) / over_s),
        servfail=_round(counted.get(("rcode", "SERVFAIL"), 0) / over_s),
        dropped=_round(counted.get(("dropped",), 0) / over_s),
    )


def _cache(minute: Mapping[tuple[str, ...], int], over_s: float, memories: Sequence[Counters]) -> LiveCache:
    answers = by_label(minute, "answers")
    looked_up = sum(answers.get(source, 0) for source in _LOOKED_UP)
    hits = sum(answers.get(source, 0) for source in _FROM_CACHE)
    return LiveCache(
        hit_share=round(hits / looked_up, 4) if looked_up else None,
        entries=_gauge(memories, "cache_entries"),
        bytes=_gauge(memories, "cache_bytes"),
        evictions_per_s=_round(minute.get(("evictions",), 0) / over_s),
    )


def _answers(answers: Mapping[str, int], durations: Mapping[str, Mapping[str, int]], over_s: float) -> list[LiveAnswers]:
    every = sum(answers.values())
    return [
        LiveAnswers(
            source=source,
            per_s=_round(n / over_s),
            share=round(n / every, 4) if every else 0.0,
            p50_s=quantile(durations.get(source, {}), 0.5),
            p99_s=quantile(durations.get(source, {}), 0.99),
        )
        for source, n in sorted(answers.items(), key=lambda item: (-item[1], item[0]))
    ]


def _upstreams(minute: Mapping[tuple[str, ...], int], over_s: float, states: Mapping[str, str]) -> list[LiveUpstream]:
    results, durations = by_two_labels(minute, "upstream"), by_two_labels(minute, "upstream duration")
    found = []
    for name, state in states.items():
        of = results.get(name, {})
        errors = {result: n for result, n in of.items() if n and result not in _NO_ERRORS}
        found.append(
            LiveUpstream(
                name=name,
                state="down" if state == "down" else "useless" if state == "useless" else "up",
                per_s=_round(sum(n for result, n in of.items() if result not in _NO_QUESTIONS) / over_s),
                errors_per_s=_round(sum(errors.values()) / over_s),
                errors={result: _round(n / over_s) for result, n in errors.items()},
                p50_s=quantile(durations.get(name, {}), 0.5),
                p99_s=quantile(durations.get(name, {}), 0.99),
            )
        )
    return sorted(found, key=lambda one: (_STATES[one.state], one.name))


def _sinks(memories: Sequence[Counters]) -> list[LiveSink]:
    values: dict[str, dict[str, int]] = {}
    for memory in memories:
        for family, labels, value in memory.items():
            if family.startswith("event_sink_") and labels:
                key = ":".join((family, *labels[1:]))
                of = values.setdefault(labels[0], {})
                of[key] = of.get(key, 0) + value
    return [
        LiveSink(
            name=name,
            up=bool(of.get("event_sink_up", 0)),
            lag_s=float(of.get("event_sink_lag_seconds", 0)),
            written=of.get("event_sink_records_total:written", 0),
            lost=of.get("event_sink_records_total:lost", 0),
            errors=of.get("event_sink_errors_total", 0),
        )
        for name, of in values.items()
    ]


def _problem(feed: FeedStatus, now_s: float) -> str:
    if feed.disabled_until_s > now_s:
        return "switched off"
    if feed.expired:
        return "expired: its names are not blocked"
    if feed.lost:
        return "its files are lost"
    if feed.held_update is not None:
        return "an update is held"
    if feed.held_names.held:
        return f"{feed.held_names.held:,} names are held"
    if feed.last_error:
        return "the last refresh failed"
    if not feed.loaded:
        return "not loaded, required" if feed.required else "not loaded"
    return ""


def _gauge(memories: Iterable[Counters], family: str) -> int:
    return sum(memory.value(family) or 0 for memory in memories)


def _round(per_s: float) -> float:
    return round(per_s, 2)
