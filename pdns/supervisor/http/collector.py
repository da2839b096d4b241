"""Collects all of `pdns.telemetry.metrics` at each scrape, from counter memories, `feeds.json` and the supervisor."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

import pdns
from pdns.clock import boottime_s
from pdns.config.schema import Config
from pdns.files.safe_files import damaged_files
from pdns.state import feed_status
from pdns.supervisor.http import capacity
from pdns.supervisor.http.certificate_metrics import CertificateSource, add_certificates
from pdns.supervisor.http.fleet_metrics import add_fleet
from pdns.supervisor.http.status import StatusReader
from pdns.supervisor.http.zeros import zeros
from pdns.supervisor.listen_addresses import ListenAddresses
from pdns.supervisor.process_usage import usage
from pdns.telemetry.blocked_domains import BlockedDomains
from pdns.telemetry.counter_sums import CounterSums, Series
from pdns.telemetry.counters import Counters
from pdns.telemetry.family import PREFIX, Family
from pdns.telemetry.histograms import buckets_of
from pdns.telemetry.metrics import BY_NAME, FAMILIES
from pdns.telemetry.stats import BUCKET_SUFFIX, SUM_SUFFIX
from pdns.version import COMMIT


class MetricsSource(Protocol):
    """The state of the supervisor at the moment."""

    @property
    def config(self) -> Config: ...
    @property
    def config_sha256(self) -> str: ...
    @property
    def reload_successful(self) -> bool: ...
    @property
    def reload_success_s(self) -> float: ...
    @property
    def counters(self) -> Sequence[Counters]: ...  # of workers that answer
    @property
    def past_counters(self) -> Sequence[Counters]: ...  # of workers that are gone or exiting; gauges are ignored
    @property
    def child_counters(self) -> Sequence[Counters]: ...  # of the page, events and quic processes, if there was one
    @property
    def blocked(self) -> BlockedDomains: ...
    @property
    def blocks_missed(self) -> int: ...
    @property
    def workers_up(self) -> Mapping[str, bool]: ...  # "worker0", ...
    @property
    def listen_addresses(self) -> ListenAddresses: ...
    @property
    def certificates(self) -> CertificateSource: ...
    @property
    def restarts(self) -> Mapping[str, int]: ...  # "worker", "feeds", "page", "events", "quic"
    @property
    def failed_starts(self) -> Mapping[str, int]: ...  # likewise
    @property
    def confinement(self) -> Mapping[str, bool]: ...  # measure -> whether it was taken
    @property
    def http_dropped(self) -> Mapping[str, int]: ...  # "metrics", "admin"
    @property
    def processes(self) -> Mapping[str, int]: ...  # "supervisor", "worker0", "feeds" -> process id, while there is one

    def not_ready(self) -> list[str]: ...


class PdnsCollector(Collector):
    """All families in the order of the page, except those without a value."""

    def __init__(self, facts: MetricsSource, status: StatusReader) -> None:
        self._facts = facts
        self._status = status
        self._workers = CounterSums()
        self._children = CounterSums()
        self._zeros: tuple[Config | None, dict[str, Series]] = (None, {})

    def collect(self) -> Iterator[Metric]:
        values = self.values()
        for family in FAMILIES:
            metric = _histogram(family, values) if family.kind == "histogram" else _plain(family, values[family.name])
            if metric.samples:
                yield metric

    def values(self) -> defaultdict[str, Series]:
        """Everything as it is now: families, and the raw parts of histograms, by labels."""
        values = self._workers.read(self._facts.counters, self._facts.past_counters)
        for name in [name for name in values if name in BY_NAME and BY_NAME[name].source != "worker"]:
            del values[name]
        for name, series in self._children.read(self._facts.child_counters).items():
            if name in BY_NAME and BY_NAME[name].source in ("page", "events", "quic"):
                values[name] = series
        self._feeds(values)
        self._supervisor(values)
        for name, series in self._from_the_start().items():
            values[name] = series | values[name]
        return values

    def _from_the_start(self) -> dict[str, Series]:
        """The series that are 0 until they count, by family."""
        if self._zeros[0] is not self._facts.config:
            made: defaultdict[str, Series] = defaultdict(dict)
            for name, labels in zeros(self._facts.config):
                made[name][labels] = 0
            self._zeros = (self._facts.config, made)
        return self._zeros[1]

    def _feeds(self, values: defaultdict[str, Series]) -> None:
        status = self._status.read()
        now_s = time.time()
        for action in ("block", "allow"):
            values["local_indicators"][action,] = status.indicators.get(action, 0)
        for reason in ("stranger", "zone", "unsigned", "signature", "malformed"):
            values["notify_refused_total"][reason,] = status.notify_refused.get(reason, 0)
        dropped = values["log_lines_dropped_total"]
        dropped["feeds",] = status.log_lines_dropped
        for process in ("supervisor", "worker"):
            dropped.setdefault((process,), 0)
        if status.generation:
            values["blockset_build_seconds"][()] = status.build_s
            values["blockset_compiled_generation"][()] = status.generation
        self._published(values, status.published)
        add_fleet(values, self._facts.config.fleet, self._status.fleet(), now_s)
        for configured in self._facts.config.feed:
            feed = status.feeds.get(configured.name) or feed_status.FeedStatus(
                url=configured.url, category=configured.category, mode=configured.mode, required=configured.required
            )
            key = (configured.name,)
            values["feed_loaded"][key] = feed.loaded
            values["feed_entries"][key] = feed.entries
            values["feed_unique_entries"][key] = feed.unique_entries
            values["feed_addresses"][key] = feed.addresses
            values["feed_last_success_timestamp_seconds"][key] = feed.last_success_s
            values["feed_last_change_timestamp_seconds"][key] = feed.last_changed_s
            for reason, odd in feed.odd.items():
                values["feed_odd_lines"][configured.name, reason] = odd.count
            values["feed_held"][key] = feed.held
            held = feed.held_update
            values["feed_update_held_seconds"][key] = max(1.0, now_s - held.since_s) if held is not None else 0.0
            values["feed_refused_names"][key] = feed.held_names.refused
            values["feed_disabled"][key] = feed.disabled_until_s > now_s
            values["feed_expired"][key] = feed.expired
            values["feed_lost"][key] = feed.lost
            for result in ("updated", "unchanged", "held", "signature", "outdated", "error"):
                values["feed_refresh_total"][configured.name, result] = feed.results.get(result, 0)

    def _published(self, values: defaultdict[str, Series], published: feed_status.PublishStatus) -> None:
        for configured in self._facts.config.publish:
            zone = published.zones.get(configured.zone, feed_status.PublishedZone())
            key = (configured.zone,)
            values["publish_serial"][key] = zone.serial
            values["publish_names"][key] = zone.names
            values["publish_addresses"][key] = zone.addresses
            values["publish_names_left_out"][key] = zone.left_out
            values["publish_failing"][key] = bool(zone.error)
            for kind in ("axfr", "ixfr"):
                for result in ("whole", "steps", "current", "refused", "failed"):
                    sent = zone.transfers.get(f"{kind} {result}", 0)
                    if kind == "ixfr" or result in ("whole", "refused", "failed"):
                        values["publish_transfers_total"][configured.zone, kind, result] = sent
            for result in ("answered", "unanswered"):
                values["publish_notify_total"][configured.zone, result] = zone.notified.get(result, 0)
        if self._facts.config.publish:
            for reason in ("stranger", "zone", "type", "signature", "malformed", "connections"):
                values["publish_refused_total"][reason,] = published.refused.get(reason, 0)

    def _supervisor(self, values: defaultdict[str, Series]) -> None:
        facts = self._facts
        now = boottime_s()
        for tenant, window, names in facts.blocked.totals(now):
            values["blocked_domains"][tenant, window] = names
        for window, names in facts.blocked.totals_overall(now):
            values["blocked_domains_overall"][window,] = names
        values["blocked_domains_missed_total"][()] = facts.blocks_missed
        values["build_info"][pdns.__version__, COMMIT, "yes"] = 1
        values["config_info"][facts.config_sha256,] = 1
        values["config_last_reload_successful"][()] = facts.reload_successful
        values["config_last_reload_success_timestamp_seconds"][()] = facts.reload_success_s
        values["damaged_files"][()] = len(damaged_files(Path(facts.config.state.dir)))
        values["ready"][()] = not facts.not_ready()
        for address, present in facts.listen_addresses.present.items():
            values["listen_address_present"][address,] = present
        add_certificates(values, facts.certificates)
        for process, up in facts.workers_up.items():
            values["worker_up"][process,] = up
        values["worker_restarts_total"][()] = facts.restarts["worker"]
        values["feeds_restarts_total"][()] = facts.restarts["feeds"]
        values["page_restarts_total"][()] = facts.restarts["page"]
        values["events_restarts_total"][()] = facts.restarts["events"]
        values["quic_restarts_total"][()] = facts.restarts["quic"]
        for measure, taken in facts.confinement.items():
            values["confinement"][measure,] = taken
        if facts.config.events.enabled:
            values["event_spool_max_bytes"][()] = facts.config.events.max_bytes
        for process, failures in facts.failed_starts.items():
            values["child_start_failures_total"][process,] = failures
        for server, dropped in facts.http_dropped.items():
            values["http_connections_dropped_total"][server,] = dropped
        values["metrics_series_dropped_total"][()] = sum(counters.dropped for counters in (*facts.counters, *facts.past_counters))
        for of, most in capacity.limits(facts.config):
            values["limit"][of,] = most
        for name, size in capacity.disk(Path(facts.config.state.dir)):
            values[name][()] = size
        for process, pid in facts.processes.items():
            if (used := usage(pid)) is None:
                continue
            key = (process,)
            values["process_start_time_seconds"][key] = used.start_time_s
            values["process_cpu_seconds_total"][key] = used.cpu_s
            values["process_resident_memory_bytes"][key] = used.resident_bytes
            values["process_open_fds"][key] = used.open_fds
            values["process_max_fds"][key] = used.max_fds


def _plain(family: Family, series: Series) -> Metric:
    name = PREFIX + family.name
    metric: CounterMetricFamily | GaugeMetricFamily | InfoMetricFamily
    if family.kind == "info":
        info = InfoMetricFamily(name.removesuffix("_info"), family.help)
        for labels in series:
            info.add_metric((), dict(zip(family.labels, labels, strict=True)))
        return info
    if family.kind == "counter":
        metric = CounterMetricFamily(name, family.help, labels=family.labels)
    else:
        metric = GaugeMetricFamily(name, family.help, labels=family.labels)
    for labels, value in series.items():
        if len(labels) == len(family.labels):
            metric.add_metric(labels, value)
    return metric


def _histogram(family: Family, values: defaultdict[str, Series]) -> Metric:
    metric = HistogramMetricFamily(PREFIX + family.name, family.help, labels=family.labels)
    buckets = values[family.name + BUCKET_SUFFIX]
    for label in dict.fromkeys(labels[0] for labels in buckets):
        total = 0.0
        cumulative = []
        for bound, le in buckets_of(family.name):
            total += buckets.get((label, bound), 0)
            cumulative.append((le, total))
        sum_ns = values[family.name + SUM_SUFFIX].get((label,), 0)
        metric.add_metric((label,), buckets=cumulative, sum_value=sum_ns / 1e9)
    return metric
