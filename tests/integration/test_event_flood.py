"""A flood of random names below a listed one: few rows, every query counted, and nothing else is lost."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from pdns.event_store.event import ALL_TENANTS
from pdns.event_store.queries import Window
from pdns.event_store.sqlite_queries import SqliteQueries
from tests.integration.running_pdns import RunningPdns
from tests.integration.tenantload import TenantLoad, tenant_tables

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

QUERIES = int(os.environ.get("EVENTS_QUERIES", "100000"))
CLIENTS = 20
OTHERS = [f"other{number}.test" for number in range(50)]
EVER = Window(0.0, 4e9)


def test_random_names_below_a_listed_one_make_few_rows(tmp_path: Path) -> None:
    """At most 1,000 rows a minute, from twenty clients and over four workers; the events of other names are whole."""
    (tmp_path / "list.txt").write_text("\n".join(["flood.test", *OTHERS]))
    config = {
        "server": {"workers": 4},
        "access": {"networks": ["127.0.0.0/8"]},
        "rate_limit": {"queries_per_s": 0, "verified_queries_per_s": 0},
        "tenant": tenant_tables(CLIENTS),
        "feed": [
            {"name": "bad", "url": f"file:{tmp_path / 'list.txt'}", "category": "malware", "required": True, "min_entries": 1}
        ],
        "log": {"level": "info"},
    }
    with RunningPdns(tmp_path, config) as pdns:
        load = TenantLoad(CLIENTS, pdns.dns_port)
        books = load.run([*["*.flood.test"] * 200, *OTHERS], QUERIES)
        blocked = pdns.value("blocked_total")
        assert pdns.value("events_lost_total") == 0
    assert books.unanswered == 0
    assert books.total_blocked == blocked == QUERIES
    store = SqliteQueries(pdns.state_dir / "events" / "events.db")
    minutes: Counter[tuple[int, str]] = Counter()
    queries: Counter[str] = Counter()
    for event in store.events(EVER, None, limit=1_000_000):
        minutes[int(event.time_s // 60), event.listed] += 1
        queries[event.listed] += event.n
    assert queries.total() == QUERIES
    assert set(queries) == {"flood.test", *OTHERS}
    assert max(minutes.values()) <= 1000
    (hour,) = [hour for hour in store.hours(EVER, None) if hour.tenant == ALL_TENANTS]
    assert (hour.blocked, hour.lost, hour.unaccounted) == (QUERIES, 0, 0)
