"""Both engines answer every query as a naive computation over the list of records does, also after a replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdns.event_store.event import Record
from pdns.event_store.queries import EventQueries, TopBy, Window
from tests.unit.event_store.engines import ClickHouseEngine, Engine, SqliteEngine
from tests.unit.event_store.naive import NaiveQueries
from tests.unit.event_store.records import CLIENTS, FEEDS, HARD, NAMES, RECORDS, SPAN_S, START_S, TENANTS, crowd

pytestmark = pytest.mark.engine

Ask = Callable[[EventQueries], object]


@pytest.fixture(scope="module", params=["sqlite", "clickhouse"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if request.param == "sqlite":
        yield SqliteEngine(tmp_path_factory.mktemp("stores"))
    else:
        clickhouse = ClickHouseEngine()
        yield clickhouse
        clickhouse.client.close()


WINDOWS = st.tuples(st.integers(-1, SPAN_S // 600 + 1), st.integers(0, SPAN_S // 600)).map(
    lambda at: Window(START_S + at[0] * 600, START_S + (at[0] + at[1]) * 600)
)

EVER = Window(START_S, START_S + SPAN_S + 60)


def asked(window: Window, tenant: str | None, limit: int, name: str, clients: list[str], feed: str) -> dict[str, Ask]:
    """Every query once, and those with choices for each."""
    return {
        "headline": lambda store: store.headline(window, tenant),
        **{f"top {by}": lambda store, by=by: store.top(window, tenant, by, limit) for by in get_args(TopBy)},  # type: ignore[misc]
        "series": lambda store: store.series(window, tenant, 600.000001),
        "first seen": lambda store: store.first_seen(window, tenant, limit),
        "shared": lambda store: store.shared_new(window, 2),
        "machines": lambda store: store.machines(window, tenant, limit),
        "worth": lambda store: store.feeds_worth(window, tenant),
        "availability": lambda store: store.availability(window, tenant),
        "events": lambda store: store.events(window, tenant, limit=limit),
        "named": lambda store: store.events(window, tenant, name=name),
        "clients": lambda store: store.events(window, tenant, clients=clients),
        "fed": lambda store: store.events(window, tenant, feed=feed, kind="blocked"),
        "findings": lambda store: store.findings(window, tenant),
        "tunnels": lambda store: store.findings(window, tenant, "tunnel", 2),
        "hours": lambda store: store.hours(window, tenant),
    }


@settings(max_examples=settings().max_examples // 2)  # one takes half a second
@given(
    records=RECORDS,
    window=WINDOWS,
    tenant=st.sampled_from((None, None, *TENANTS)),
    limit=st.sampled_from((1, 3, 100)),
    name=NAMES,
    clients=st.lists(st.sampled_from(CLIENTS), min_size=1, max_size=3),
    feed=st.sampled_from(FEEDS),
)
def test_stores_say_what_a_naive_computation_says(
    engine: Engine,
    records: list[Record],
    window: Window,
    tenant: str | None,
    limit: int,
    name: str,
    clients: list[str],
    feed: str,
) -> None:
    """Windows, boundaries, tenants, limits, hard texts; half of the records are written twice."""
    engine.clear()
    engine.write(records)
    engine.write(records[len(records) // 2 :])
    expected = NaiveQueries(records)
    store = engine.queries()
    try:
        for what, ask in asked(window, tenant, limit, name, clients, feed).items():
            assert ask(store) == ask(expected), what
    finally:
        store.close()


def test_boundaries_and_ties_in_a_crowd(engine: Engine) -> None:
    """Many events with the same times, names and clients: what falls on a boundary, and which of equals comes first."""
    records = crowd(700)
    engine.clear()
    engine.write(records)
    expected, store = NaiveQueries(records), engine.queries()
    try:
        for name in HARD:
            assert store.events(EVER, name=name, limit=1000) == expected.events(EVER, name=name, limit=1000), name
        for window, tenant in (
            (EVER, None),
            (Window(START_S + 600, START_S + 1800), None),
            (Window(START_S + 1200, START_S + 3600), "york"),
        ):
            for what, ask in asked(window, tenant, 7, "bad.example", ["192.0.2.7"], "local").items():
                assert ask(store) == ask(expected), what
    finally:
        store.close()
