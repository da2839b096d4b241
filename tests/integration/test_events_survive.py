"""Whatever processes die, are stopped or are replaced under load, every blocked query is in one event, and no other query is."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from pdns.event_store.event import ALL_TENANTS, Hour, Record
from pdns.event_store.sqlite_queries import SqliteQueries
from tests.integration.running_pdns import RunningPdns, UpstreamThread
from tests.integration.tenantload import TenantLoad, tenant_tables
from tests.integration.test_events_add_up import by_tenant, spooled

QUERIES = 80_000
TENANTS = 40
LISTED = [f"listed{number}.test" for number in range(30)]
MONITORED = [f"odd{number}.example" for number in range(5)]
NAMES = [*LISTED, *MONITORED, "www.test"]  # with all tenants fewer questions than a ring holds, however slow its reader


def config_of(directory: Path, upstream: UpstreamThread, **events: object) -> dict[str, object]:
    (directory / "list.txt").write_text("\n".join(LISTED))
    (directory / "monitored.txt").write_text("\n".join(MONITORED))
    feed = {"category": "malware", "required": True, "min_entries": 1}
    return {
        "server": {"workers": 3},
        "upstream": {"servers": [upstream.address]},
        "access": {"networks": ["127.0.0.0/8"]},
        "rate_limit": {"queries_per_s": 0, "verified_queries_per_s": 0},
        "tenant": tenant_tables(TENANTS, ("none", "prefix", "hash", "full")),
        "feed": [
            {"name": "bad", "url": f"file:{directory / 'list.txt'}", **feed},
            {"name": "trial", "url": f"file:{directory / 'monitored.txt'}", "mode": "monitor", **feed},
        ],
        "record": [{"name": "www.test", "a": ["198.51.100.1"]}],
        "log": {"level": "info", "monitored_per_minute": 0},
        "events": events,
        "sink": [{"name": "away", "kind": "webhook", "url": "http://127.0.0.1:9/", "records": ["blocked", "monitored", "hours"]}],
    }  # the sink keeps everything in the spool


def blocked_of(pdns: RunningPdns) -> Counter[str]:
    blocked = Counter[str]()
    for (name, labels), value in pdns.scrape().items():
        if name == "blocked_total":
            blocked[dict(labels)["tenant"]] += int(value)
    return blocked


def queries_in(records: list[Record]) -> Counter[str]:
    in_events = Counter[str]()
    for record in records:
        if not isinstance(record, Hour) and record.kind == "blocked":
            in_events[record.tenant] += record.n
    return in_events


def events_pid(pdns: RunningPdns) -> int:
    return next(iter(pdns.children("pdns.events")), 0)


def trouble(pdns: RunningPdns) -> None:
    """A reader that hangs while workers are replaced, and is killed; then one that is killed at work."""
    hanging = events_pid(pdns)
    os.kill(hanging, signal.SIGSTOP)
    pdns.send_signal(signal.SIGUSR2)
    pdns.wait_for_log("worker1 is a new process")
    os.kill(hanging, signal.SIGKILL)
    pdns.wait_for_log("workers and feeds are new processes")
    pdns.wait_for(lambda: events_pid(pdns), "a new reader")
    time.sleep(1.0)
    os.kill(events_pid(pdns), signal.SIGKILL)


@pytest.mark.long
@pytest.mark.realtime  # at the end it has some seconds to record the rest
@pytest.mark.timeout(600)
def test_every_query_is_in_one_event(tmp_path: Path) -> None:
    """The tenants' clients, the counters, the spool, SQLite and the hours agree."""
    with UpstreamThread() as upstream, RunningPdns(tmp_path, config_of(tmp_path, upstream)) as pdns:
        troubled = threading.Thread(target=trouble, args=(pdns,))
        books = TenantLoad(TENANTS, pdns.dns_port).run(NAMES, QUERIES, troubled.start, lambda: time.sleep(1.0))
        troubled.join()
        blocked = blocked_of(pdns)
        assert pdns.value("worker_restarts_total") == 0
        assert pdns.value("events_restarts_total") >= 1
    records = spooled(pdns.state_dir)
    hours = [record for record in records if isinstance(record, Hour) and record.tenant == ALL_TENANTS]
    assert books.unanswered == 0
    assert books.blocked == blocked == queries_in(records)
    assert by_tenant(SqliteQueries(pdns.state_dir / "events" / "events.db")) == blocked
    assert sum(hour.blocked for hour in hours) == blocked.total()
    assert sum(hour.queries for hour in hours) == QUERIES
    assert [(hour.lost, hour.unaccounted) for hour in hours] == [(0, 0)] * len(hours)
    ids = [record.id for record in records]
    assert len(ids) == len(set(ids))


def test_what_is_not_to_be_recorded_is_not(tmp_path: Path) -> None:
    """While `events.enabled` is off, and after it is on again; it does not count as lost either."""
    with UpstreamThread() as upstream, RunningPdns(tmp_path, config_of(tmp_path, upstream)) as pdns:

        def send(count: int) -> None:
            assert TenantLoad(TENANTS, pdns.dns_port, count).run(LISTED, count).unanswered == 0

        def switch(*, enabled: bool) -> None:
            pdns.write_config(config_of(tmp_path, upstream, enabled=enabled))
            pdns.reload()
            pdns.wait_for(lambda: bool(events_pid(pdns)) is enabled, "the process follows")

        send(300)
        switch(enabled=False)
        assert not any(name.startswith("event_sink_up") for name, _ in pdns.scrape())
        send(5000)
        switch(enabled=True)
        pdns.wait_for(lambda: pdns.value("event_sink_up", sink="store") == 1, "the process reads")
        send(200)
        assert pdns.value("events_lost_total") == 0
        before = blocked_of(pdns)
    records = spooled(pdns.state_dir)
    hours = [record for record in records if isinstance(record, Hour) and record.tenant == ALL_TENANTS]
    assert before.total() == 5500
    assert queries_in(records).total() == sum(hour.blocked for hour in hours) == 500
    assert [(hour.lost, hour.unaccounted) for hour in hours] == [(0, 0)] * len(hours)
