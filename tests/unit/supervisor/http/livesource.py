"""A supervisor for live views, and a status with something in every field."""

from __future__ import annotations

import time

from pdns.state.feed_status import FeedStatus
from pdns.telemetry.counters import Counters
from pdns.telemetry.live_status import (
    LiveAnswers,
    LiveBlock,
    LiveCache,
    LiveFeed,
    LivePoint,
    LiveProcess,
    LiveRates,
    LiveSink,
    LiveStatus,
    LiveTenant,
    LiveTotals,
    LiveUpstream,
    LiveWorker,
)
from pdns.telemetry.recent_blocks import RecentBlock
from tests.unit.telemetry.test_metrics import FakeSupervisor

NOW_S = 1_796_000_000.0
FEED = FeedStatus(url="https://user:secret@lists.example/x", category="malware", mode="block", required=True)


class FakeSource(FakeSupervisor):
    """A supervisor with what live views need besides the metrics."""

    def __init__(self, *counters: Counters) -> None:
        super().__init__(*counters)
        self.recent: tuple[RecentBlock, ...] = ()
        self.blocked.saw("coventry", 8, time.monotonic())

    def remarks(self) -> list[str]:
        return ["worker1 is away; worker0 answers for it"]

    def unhealthy(self) -> list[str]:
        return []


def block(qname: str = "www.bad.example", tenant: str = "leeds", n: int = 1, at_s: float = NOW_S - 30) -> LiveBlock:
    """A blocked query."""
    return LiveBlock(
        time_s=at_s, tenant=tenant, client="192.0.2.0/24", qname=qname, listed="bad.example", feed="urlhaus", category="malware",
        action="sinkhole", n=n,
    )  # fmt: skip


def a_feed(name: str = "urlhaus", **fields: object) -> LiveFeed:
    """A feed without problems."""
    values: dict[str, object] = {
        "name": name, "category": "malware", "mode": "block", "required": True, "loaded": True, "entries": 120_000,
        "last_success_s": NOW_S - 400, "last_error": "", "problem": "", "held": 0, "disabled": False, "hits": 912,
        "hits_per_s": 0.2, **fields,
    }  # fmt: skip
    return LiveFeed(**values)  # type: ignore[arg-type]


def a_status(**fields: object) -> LiveStatus:
    """Something of everything."""
    values: dict[str, object] = {
        "time_s": NOW_S, "node": "ns1", "version": "1.2.3", "commit": "0123456789ab", "config_sha256": "feedbeef0123",
        "generation": 7, "entries": 650_000,
        "second": LiveRates(over_s=1.0, queries=1234.0, blocked=12.5, servfail=0.0),
        "minute": LiveRates(over_s=60.0, queries=1100.0, blocked=11.0, servfail=0.2, dropped=0.1),
        "p50_s": 0.00004, "p99_s": 0.021, "in_flight": 3,
        "totals": LiveTotals(
            since_s=NOW_S - 90_000, queries=9_876_543, blocked=54_321, domains_1h=40, domains_24h=1234, domains_7d=5277
        ),
        "cache": LiveCache(hit_share=0.83, entries=10_000, bytes=9_000_000),
        "answers": [LiveAnswers(source="cache", per_s=900.0, share=0.82, p50_s=0.00003, p99_s=0.0001)],
        "workers": [LiveWorker(name="worker0", up=True, in_flight=3, generation=7, cpu=0.12, resident_bytes=40_000_000)],
        "processes": [
            LiveProcess(name="supervisor", pid=70, cpu=0.01, resident_bytes=60_000_000, started_s=NOW_S - 90_000),
            LiveProcess(name="worker0", pid=71, cpu=None, resident_bytes=40_000_000, started_s=NOW_S - 90_000),
        ],
        "upstreams": [
            LiveUpstream(
                name="udp://192.0.2.53:53", state="down", per_s=2.0, errors_per_s=2.0, errors={"timeout": 2.0}, p50_s=None,
                p99_s=None,
            ),
        ],
        "feeds": [a_feed(), a_feed("threatfox", problem="the last refresh failed", last_error="no route to lists.example")],
        "sinks": [LiveSink(name="siem", up=False, lag_s=720.0, written=1000, lost=7, errors=3)],
        "history": [LivePoint(NOW_S - 9 + at, 1000.0 + at, 10.0, 0.02) for at in range(10)],
        "names_shown": True,
        "tenants": [LiveTenant(name="leeds", queries_per_s=80.0, blocked_per_s=1.5, queries=1000, blocked=50, domains_24h=44)],
        "recent": [block()],
        **fields,
    }  # fmt: skip
    return LiveStatus(**values)  # type: ignore[arg-type]
