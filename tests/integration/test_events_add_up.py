"""Four workers, 250 tenants, a worker that is killed midway: every book says the same, to the last query."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from pdns.event_store.event import ALL_TENANTS, Hour, Record
from pdns.event_store.queries import EventQueries, Window
from pdns.event_store.sqlite_queries import SqliteQueries
from pdns.events.frame_streams import CollectorAddress
from pdns.events.spool import Spool
from tests.integration.running_pdns import RunningPdns, UpstreamThread
from tests.integration.tenantload import TenantLoad, tenant_tables
from tests.unit.event_store.engines import ClickHouseEngine
from tests.unit.events.collectors import capture, fields_of, frames_in

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200), pytest.mark.engine]

QUERIES = int(os.environ.get("EVENTS_QUERIES", "40000"))
TENANTS = 250
LISTED = [f"listed{number}.test" for number in range(400)]
MONITORED = [f"odd{number}.example" for number in range(20)]
EVER = Window(0.0, 4e9)


def config_of(directory: Path, socket: Path, upstream: UpstreamThread) -> dict[str, object]:
    (directory / "list.txt").write_text("\n".join(LISTED))
    (directory / "monitored.txt").write_text("\n".join(MONITORED))
    feed = {"category": "malware", "required": True, "min_entries": 1}
    return {
        "server": {"workers": 4},
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
        "sink": [
            {"name": "tap", "kind": "dnstap", "path": str(socket)},
            {"name": "away", "kind": "webhook", "url": "http://127.0.0.1:9/", "records": ["blocked", "monitored", "hours"]},
        ],  # the second keeps everything in the spool
    }


def spooled(state_dir: Path) -> list[Record]:
    spool = Spool(state_dir / "events" / "spool", 1 << 30)
    records: list[Record] = []
    position = spool.oldest
    while (read := spool.read(position, 10_000)).records:
        records += read.records
        position = read.next
    return records


def by_tenant(queries: EventQueries) -> Counter[str]:
    return Counter({row.key: row.n for row in queries.top(EVER, None, "tenant", 1000)})


def total_hour(hours: Sequence[Hour]) -> Hour:
    return next(hour for hour in hours if hour.tenant == ALL_TENANTS and hour.queries)


def catch_up(pdns: RunningPdns) -> None:
    """Wait until the events process has read what there is: however slow the machine, no record is overwritten."""
    before = -1.0
    while (now := pdns.value("events_queries_total")) != before:
        before = now
        time.sleep(0.5)


def test_every_book_says_the_same(tmp_path: Path) -> None:
    """Clients, Prometheus, SQLite, ClickHouse and dnstap; what the kill has cost is between what clients missed and nothing."""
    socket, frames = tmp_path / "tap.sock", tmp_path / "tap.fstrm"
    names = [*LISTED, *(f"*.{name}" for name in LISTED[:100]), *MONITORED, "www.test"]
    with capture(CollectorAddress(path=str(socket)), frames):
        with UpstreamThread() as upstream, RunningPdns(tmp_path, config_of(tmp_path, socket, upstream)) as pdns:
            load = TenantLoad(TENANTS, pdns.dns_port)
            books = load.run(names, QUERIES, lambda: os.kill(pdns.worker_pids[1], signal.SIGKILL), lambda: catch_up(pdns))
            blocked = Counter[str]()
            for (name, labels), value in pdns.scrape().items():
                if name == "blocked_total":
                    blocked[dict(labels)["tenant"]] += int(value)
            assert pdns.value("worker_restarts_total") == 1
        with UpstreamThread() as upstream, RunningPdns(tmp_path, config_of(tmp_path, socket, upstream)) as pdns:
            pdns.wait_for(lambda: pdns.value("event_sink_lag_seconds", sink="tap") == 0, "the collector has everything")
        records = spooled(pdns.state_dir)
        sqlite = SqliteQueries(pdns.state_dir / "events" / "events.db")
    whole = total_hour([record for record in records if isinstance(record, Hour)])
    assert blocked.total() == whole.blocked
    assert whole.blocked + whole.monitored == whole.events + whole.merged + whole.lost + whole.unaccounted
    assert whole.lost == 0
    assert 0 <= whole.unaccounted <= 1
    assert books.total_blocked <= blocked.total() <= books.total_blocked + books.unanswered
    assert all(books.blocked[tenant] <= blocked[tenant] for tenant in blocked)

    in_events = Counter[str]()
    for record in records:
        if not isinstance(record, Hour) and record.kind == "blocked":
            in_events[record.tenant] += record.n
    assert in_events.total() + whole.unaccounted == blocked.total()
    if not whole.unaccounted:
        assert in_events == +blocked

    assert sqlite.headline(EVER, None).blocked == in_events.total()
    assert by_tenant(sqlite) == in_events
    assert sqlite.headline(EVER, None).domains == len(LISTED)
    assert sqlite.headline(EVER, None).queries == whole.queries

    engine = ClickHouseEngine()
    engine.write(records)
    clickhouse = engine.queries()
    assert clickhouse.headline(EVER, None) == sqlite.headline(EVER, None)
    assert by_tenant(clickhouse) == in_events

    tapped = [msgspec.json.decode(fields_of(frame)[3]) for frame in frames_in(frames.read_bytes())]
    assert len({one["id"] for one in tapped}) == len(tapped)
    assert sum(one["n"] for one in tapped) == in_events.total()
