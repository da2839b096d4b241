"""The status: its numbers are those of the counters, and each viewer gets what it may see."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pdns.supervisor.http import live_sampler
from pdns.supervisor.http.live_snapshot import MOST_RECENT, LiveView, without_names
from pdns.supervisor.http.status import StatusReader
from pdns.telemetry.counters import Counters
from pdns.telemetry.live_status import LiveStatus
from pdns.telemetry.recent_blocks import RecentBlock
from tests.unit.supervisor.http.livesource import FakeSource, a_status
from tests.unit.telemetry.test_metrics import fill, write_status


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counters]:
    monkeypatch.setattr(live_sampler, "EVERY_S", 0.02)
    memory = Counters.create()
    yield memory
    memory.close()


def met(qname: str, *, tenant: str = "leeds", action: str = "sinkhole") -> RecentBlock:
    return RecentBlock(1.0, tenant, "192.0.2.0/24", qname, "bad.example", "urlhaus", "malware", action, 1)


def status_of(source: FakeSource, directory: Path, between: Counters | None = None) -> LiveStatus:
    """The status, after `fill` has counted once more between two samples."""

    async def body() -> LiveStatus:
        view = LiveView(source, StatusReader(directory), lambda: source.recent)
        await view.sampler.next()
        if between is not None:
            fill(between)
            await view.sampler.next()
        status = await view.status()
        view.sampler.close()
        assert status is not None
        assert view.made() is view.made()
        return status

    return asyncio.run(body())


def test_numbers_of_the_counters(counters: Counters, tmp_path: Path) -> None:
    """Totals are since the start, rates since the last sample, latency and shares over the last minute."""
    fill(counters)
    write_status(tmp_path, loaded=True, entries=20, addresses=3, last_success_s=5.0)
    status = status_of(FakeSource(counters), tmp_path, counters)
    assert (status.totals.queries, status.totals.blocked) == (2, 2)
    assert (status.totals.domains_24h, status.totals.domains_7d) == (2, 2)
    over_s = status.second.over_s
    assert round(status.second.queries * over_s) == 1
    assert status.second.blocked == status.second.queries
    assert status.cache.hit_share == 1.0
    assert [one.source for one in status.answers] == ["cache"]
    assert status.answers[0].share == 1.0
    assert status.p50_s == pytest.approx(0.0025)
    assert status.p99_s is not None
    assert 0.01 < status.p99_s <= 0.025
    assert status.in_flight == 5
    (upstream,) = status.upstreams
    assert (upstream.name, upstream.state, upstream.errors) == ("udp://192.0.2.53:53", "up", {})
    (feed,) = status.feeds
    assert (feed.name, feed.loaded, feed.entries, feed.hits, feed.problem) == ("urlhaus", True, 23, 2, "")
    assert {tenant.name: tenant.domains_24h for tenant in status.tenants}["coventry"] == 2
    assert [worker.name for worker in status.workers] == ["worker0"]
    assert status.not_ready == ["feed urlhaus: required, not loaded"]
    assert [process.name for process in status.processes] == ["supervisor"]
    assert msgspec.json.decode(msgspec.json.encode(status), type=LiveStatus) == status


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"loaded": True, "last_error": "no route"}, "the last refresh failed"),
        ({"loaded": False}, "not loaded, required"),
        ({"loaded": True, "expired": True}, "expired: its names are not blocked"),
        ({"loaded": True, "lost": True}, "its files are lost"),
        ({"loaded": True, "disabled_until_s": 9e9, "expired": True}, "switched off"),
        ({"loaded": True, "held_names": {"held": 1200}}, "1,200 names are held"),
    ],
)
def test_problems_of_feeds(counters: Counters, tmp_path: Path, fields: dict[str, object], problem: str) -> None:
    """Each says what is wrong; the worst first."""
    write_status(tmp_path, **fields)
    assert status_of(FakeSource(counters), tmp_path).feeds[0].problem == problem


def test_the_newest_blocks_come_first_and_are_bounded(counters: Counters, tmp_path: Path) -> None:
    """At most `MOST_RECENT` of them."""
    source = FakeSource(counters)
    source.recent = tuple(met(f"{at}.bad.example") for at in range(200))
    recent = status_of(source, tmp_path).recent
    assert [one.qname for one in recent[:2]] == ["199.bad.example", "198.bad.example"]
    assert len(recent) == MOST_RECENT


def test_monitored_queries_are_no_blocks(counters: Counters, tmp_path: Path) -> None:
    """What a feed in monitor mode lists was answered."""
    source = FakeSource(counters)
    source.recent = met("a.example"), met("b.example", action="")
    assert [one.qname for one in status_of(source, tmp_path).recent] == ["a.example"]


def test_sinks_of_the_events_process(counters: Counters, tmp_path: Path) -> None:
    """One for each label; what is not there counts as 0."""
    source = FakeSource(counters)
    memory = Counters.create(64)
    memory.add(1, "event_sink_up", "siem")
    memory.add(9, "event_sink_records_total", "siem", "written")
    memory.add(2, "event_sink_records_total", "siem", "lost")
    memory.add(3, "event_sink_lag_seconds", "file")
    source.child_counters = (memory,)
    sinks = {sink.name: sink for sink in status_of(source, tmp_path).sinks}
    memory.close()
    assert (sinks["siem"].up, sinks["siem"].written, sinks["siem"].lost, sinks["siem"].errors) == (True, 9, 2, 0)
    assert (sinks["file"].up, sinks["file"].lag_s) == (False, 3.0)


def test_a_stranger_sees_no_names() -> None:
    """No blocked name, tenant, client, or text of an error; the numbers stay."""
    status = a_status()
    shown = msgspec.json.encode(without_names(status)).decode()
    for text in ("bad.example", "leeds", "192.0.2.0/24", "no route to lists.example"):
        assert text in msgspec.json.encode(status).decode()
        assert text not in shown
    assert without_names(status).totals == status.totals


def test_a_tenant_sees_its_own(counters: Counters, tmp_path: Path) -> None:
    """Its numbers and its blocked names, however busy others are, and nothing of these."""
    source = FakeSource(counters)
    source.recent = met("mine.example"), *(met(f"{at}.secret.example", tenant="york") for at in range(150))
    view = LiveView(source, StatusReader(tmp_path), lambda: source.recent)
    mine = view.of_tenant(a_status(), "leeds")
    assert mine.tenant.blocked == 50
    assert [one.qname for one in mine.recent] == ["mine.example"]
    assert b"york" not in msgspec.json.encode(mine)
    assert view.of_tenant(a_status(), "hull").tenant.queries == 0
    assert view.of_tenant(a_status(), "hull").recent == []
