"""A page of metrics of a large service: 250 tenants, 40 feeds, many zones and upstreams, four workers."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from pdns.config.policy_schema import Tenant
from pdns.config.schema import Feed, Publish
from pdns.supervisor.http.collector import PdnsCollector
from pdns.supervisor.http.status import StatusReader
from pdns.supervisor.http.zeros import DROPPED, UPSTREAM_RESULTS
from pdns.telemetry.counters import Counters
from tests.unit.telemetry.test_metrics import FakeSupervisor

TENANTS, FEEDS, WORKERS, UPSTREAMS = 250, 40, 4, 60


def large(directory: Path) -> tuple[list[Counters], PdnsCollector]:
    """The counters, which the caller closes, and what collects them."""
    memories = [Counters.create() for _ in range(WORKERS)]
    for memory in memories:
        _fill(memory)
    supervisor = FakeSupervisor(*memories)
    supervisor.config = msgspec.structs.replace(
        supervisor.config,
        tenant=tuple(Tenant(name=f"tenant{number}", networks=(f"10.{number}.0.0/16",)) for number in range(TENANTS)),
        feed=tuple(Feed(name=f"feed{number}", url=f"file:///{number}") for number in range(FEEDS)),
        publish=tuple(Publish(zone=f"rpz{number}.example") for number in range(30)),
    )
    for tenant in range(TENANTS):
        for name in range(100):
            supervisor.blocked.saw(f"tenant{tenant}", hash((tenant, name)), time.monotonic())
    return memories, PdnsCollector(supervisor, StatusReader(directory))


def _fill(memory: Counters) -> None:
    for tenant in (f"tenant{number}" for number in range(TENANTS)):
        for qtype in ("A", "AAAA", "HTTPS", "PTR", "TXT", "other"):
            for transport in ("udp", "tcp"):
                memory.add(7, "queries_total", tenant, transport, qtype)
        for source in ("cache", "upstream", "blocked", "error", "local"):
            memory.add(1, "responses_total", tenant, source, "NXDOMAIN")
        for feed in range(FEEDS // 2):
            memory.add(feed, "blocked_total", tenant, f"feed{feed}", f"category{feed}", "sinkhole")
        for kind in ("tunnel", "first-seen", "bypass", "retro", "shared"):
            memory.add(1, "findings_total", kind, tenant)
    for reason in DROPPED:
        memory.add(1, "dropped_total", reason)
    for number in range(UPSTREAMS):
        upstream = f"udp://192.0.2.{number}:53"
        for result in UPSTREAM_RESULTS:
            memory.add(number, "upstream_requests_total", upstream, result)
        memory.add(number, "upstream_duration_seconds_bucket", upstream, "+Inf")
        memory.add(number, "zone_forwarded_total", f"zone{number}.example")
        for family, label in (
            ("upstream_up", upstream),
            ("upstream_useful", upstream),
            ("group_up", f"zone:zone{number}.example"),
        ):
            memory.values[memory.slot(family, label)] = 1
