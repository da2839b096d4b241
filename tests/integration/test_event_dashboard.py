"""The dashboard of events: every query of every panel returns rows from the engine of ClickHouse that has a sink's tables."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import pytest
from clickhouse_connect import get_client

from pdns.event_store.clickhouse import ClickHouseSink
from pdns.event_store.clickhouse_schema import ClickHouse
from pdns.event_store.event import ALL_TENANTS, Event, Finding, Hour, Record
from tests.integration import grafana

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

pytestmark = pytest.mark.engine

BOARD: Final = "pdns-events"
START_S: Final = 1_780_000_000.0
END_S: Final = START_S + 7 * 86400
TENANTS: Final = ("leeds", "coventry", "o'hull")


def embedded(_settings: ClickHouse) -> Client:
    """A client of the engine in this process."""
    return get_client(interface="chdb")


def records() -> Iterator[Record]:
    """Three tenants meet the same names; one has a machine that calls home; a finding; the hours of a day."""
    for at in range(72):
        time_s = START_S + at * 600
        yield Event(
            id=at, time_s=time_s, last_s=time_s, n=1 + at % 3, kind="monitored" if at % 8 == 7 else "blocked",
            node="node-1", tenant=TENANTS[at % 3], policy="default", client=f"10.0.0.{at % 7}" if at % 5 else "", transport="udp",
            qname=f"www.bad{at % 4}.example", qtype=1, listed=f"bad{at % 4}.example", rule=f"bad{at % 4}.example",
            feed=f"feed{at % 2}", category="malware", action="sinkhole", threat="emotet" if at % 4 == 0 else "", case="PD-1",
        )  # fmt: skip
    yield Finding(
        id=900, time_s=START_S + 60, node="node-1", tenant="leeds", kind="tunnel", subject="t.example", score=3.5, text="..."
    )
    for hour in range(24):
        start_s = START_S // 3600 * 3600 + 3600 * (hour + 1)
        for at, tenant in enumerate((ALL_TENANTS, *TENANTS)):
            yield Hour(
                id=1000 + 10 * hour + at, start_s=start_s, end_s=start_s + 3600, node="node-1", tenant=tenant, queries=100,
                answered=100, blocked=6, events=5, merged=1,
            )  # fmt: skip


class Tables:
    """The tables of a sink that has written `records`, twice."""

    def __init__(self) -> None:
        settings = ClickHouse(url="http://localhost:8123", database="pdns_board")
        self._client = embedded(settings)
        self._client.command("DROP DATABASE IF EXISTS pdns_board")

        async def write() -> None:
            sink = ClickHouseSink(settings, embedded)
            for _ in range(2):
                await sink.write(list(records()))
            await sink.close()

        asyncio.run(write())
        self._client = get_client(interface="chdb", database=settings.database)

    def rows(self, query: str) -> Sequence[Sequence[Any]]:
        return self._client.query(query).result_rows

    def variable(self, query: str) -> list[str]:
        return [str(value) for (value,) in self.rows(query)]


@pytest.fixture(scope="module")
def tables() -> Tables:
    return Tables()


CHOICES: Final = {"everything": None, "one tenant": {"tenant": ["o'hull"], "feed": ["feed0"], "name": ["bad"]}}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize(("panel", "query"), list(grafana.sql_queries(BOARD)))
def test_every_panel_returns_rows(tables: Tables, panel: str, query: str, choice: str) -> None:
    """With everything selected, and for one tenant, whose name has a quote; except that one tenant has no finding."""
    chosen = CHOICES[choice]
    if chosen is None:
        chosen = {name: values for name, values in grafana.variables(grafana.BOARDS[BOARD], tables.variable).items() if values}
        assert set(chosen["tenant"]) == set(TENANTS)
        chosen |= {"tenant": [grafana.ALL], "feed": [grafana.ALL]}
    rows = tables.rows(grafana.sql(query, chosen, START_S, END_S))
    assert rows or (choice, panel) == ("one tenant", "Findings")
    assert all(any(value for value in row) for row in rows[:1])


def test_the_numbers_are_those_of_the_records(tables: Tables) -> None:
    """The three numbers count each record once, although the sink wrote each twice."""
    chosen = {"tenant": [grafana.ALL], "feed": [grafana.ALL], "name": [""]}
    found = {panel: tables.rows(grafana.sql(query, chosen, START_S, END_S)) for panel, query in grafana.sql_queries(BOARD)}
    blocked = [one for one in records() if isinstance(one, Event) and one.kind == "blocked"]
    assert found["DNS queries"] == [(24 * 3 * 100,)]
    assert found["Blocked queries"] == [(sum(one.n for one in blocked),)]
    assert found["Distinct malicious domains"] == [(len({one.listed for one in blocked}),)]
    assert found["Machines"] == [(len({(one.tenant, one.client) for one in blocked if one.client}),)]
    assert {row[-1] for row in found["Hours"]} == {0}
