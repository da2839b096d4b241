"""The dashboards of deploy/grafana: every query of every panel returns data from a real Prometheus that scrapes a real run."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import pytest

from loadtest.loopback import free_port
from pdns.supervisor.http.exposition import Exposition
from tests.integration import busyscene, grafana
from tests.integration.grafana import BOARDS, PanelQuery
from tests.integration.prometheusserver import PROMETHEUS, Prometheus
from tests.integration.running_pdns import RunningPdns, UpstreamThread
from tests.largepage import large

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")
# Lines or rows that people can still read. A page has at most 302 tenants, and a table has pages.
MOST = {"table": 302, "timeseries": 30, "heatmap": 30, "state-timeline": 40, "bargauge": 12, "stat": 1}
# Panels with a query that is 0 in a healthy run, or in one as short as this.
ZERO = {
    "Alerts", "Connections refused at HTTP", "Damaged files", "Dropped", "Entries of administrators", "Evictions",
    "Expired", "Feeds", "Feeds that fail", "Feeds with a problem", "Findings by kind", "Findings, chosen time",
    "First certificate expires",
    "Held updates", "Lag of sinks", "Last reload failed", "Log lines dropped, 24 h", "Lost", "Lost and unaccounted",
    "Lost queries", "Nodes not ready", "Not loaded", "Notifications and refusals", "Open reports", "Processes replaced",
    "Questions in flight", "Refused notifications", "Series dropped", "Special cases",
    "Switched off", "TCP connections", "Unaccounted, 24 h",
    "Updates later than a minute",
}  # fmt: skip
OF_PROMETHEUS = [name for name in BOARDS if name not in ("pdns-events", "pdns-fleet")]  # these two have tests of their own


class Run(NamedTuple):
    """What is asked about a run; and the queries that gave nothing before the first client came, by dashboard."""

    prometheus: Prometheus
    empty_at_first: dict[str, list[str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A Prometheus that has scraped some minutes of a busy resolver, with a reload and a new blockset."""
    directory = tmp_path_factory.mktemp("pdns")
    port = free_port()
    with UpstreamThread(busyscene.handler()) as upstream:
        config = busyscene.config(directory, upstream, port)
        with RunningPdns(directory, config) as pdns:
            server = Prometheus(tmp_path_factory.mktemp("prometheus"), pdns.metrics_port)
            try:
                server.wait_for("pdns_ready", 1)

                def settled() -> None:
                    queries = pdns.value("queries_total")
                    server.wait_for("sum(instance_tenant:pdns_queries_total:sum)", queries)

                for family in ("ready", "feed_loaded", "indicator_to_block_seconds_count"):  # those of feeds come later
                    server.wait_for(f"(count(count_over_time(pdns_{family}[1h]) > 10)) > bool 0", 1)
                empty_at_first = {board: unanswered(server, board) for board in OF_PROMETHEUS}
                busyscene.use(pdns, settled)
                busyscene.transfer(pdns, port)
                (directory / "bots.txt").write_text("bot.test\nbot2.test\n")
                before = pdns.value("blockset_generation")
                pdns.reload()
                busyscene.command(pdns, "feeds", "update")
                pdns.wait_for(lambda: pdns.value("blockset_generation") > before, "a new blockset")
                server.wait_for("pdns_blockset_generation", pdns.value("blockset_generation"))
                settled()
                yield Run(server, empty_at_first)
            finally:
                server.stop()


def chosen(server: Prometheus, board: str) -> dict[str, list[str]]:
    """The values of the variables of a dashboard, from Prometheus."""

    def values(asked: str) -> list[str]:
        match = re.fullmatch(r"label_values\((\w+), (\w+)\)", asked)
        assert match is not None, asked
        found: list[str] = server.get(f"label/{match[2]}/values", **{"match[]": match[1]})
        return found

    return grafana.variables(BOARDS[board], values)


def series(server: Prometheus, query: PanelQuery) -> list[list[str]]:
    """The values of each series that Grafana would draw."""
    now = time.time()
    if query.at_once:
        found = server.get("query", query=query.query, time=str(now))["result"]
        return [[one["value"][1]] for one in found]
    start = now - grafana.RANGE_S
    found = server.get("query_range", query=query.query, start=str(start), end=str(now), step=str(grafana.STEP_S))["result"]
    return [[value for _, value in one["values"]] for one in found]


def unanswered(server: Prometheus, board: str) -> list[str]:
    """The queries of the panels of a dashboard that give no series at all."""
    return [str(query) for query in grafana.queries(board, chosen(server, board)) if not series(server, query)]


@pytest.mark.parametrize("board", OF_PROMETHEUS)
def test_a_quiet_server_has_no_empty_panel(run: Run, board: str) -> None:
    """Before the first query, each panel shows 0 or "-", and none says that there is no data."""
    assert run.empty_at_first[board] == []


@pytest.mark.parametrize("board", OF_PROMETHEUS)
def test_every_panel_returns_data(run: Run, board: str) -> None:
    """Each query gives at least one series with a number that is a number."""
    values = chosen(run.prometheus, board)
    empty = [
        str(query)
        for query in grafana.queries(board, values)
        if not any(value != "NaN" for one in series(run.prometheus, query) for value in one)
    ]
    assert empty == []


@pytest.mark.parametrize("board", OF_PROMETHEUS)
def test_panels_show_what_happened(run: Run, board: str) -> None:
    """No panel is 0 throughout, except those of failures and of what the run does not do."""
    values = chosen(run.prometheus, board)
    flat = {
        query.panel
        for query in grafana.queries(board, values)
        if not any(float(value) > 0 for one in series(run.prometheus, query) for value in one)
    }
    assert flat <= ZERO


@pytest.mark.parametrize("board", OF_PROMETHEUS)
def test_every_annotation_marks_something(run: Run, board: str) -> None:
    """Each annotation finds what happened in the run, except the start, which came before the first scrape."""
    values = chosen(run.prometheus, board)
    for annotation in BOARDS[board]["annotations"]["list"]:
        query = PanelQuery(board, annotation["name"], "annotation", grafana.replaced(annotation["expr"], values), at_once=False)
        assert series(run.prometheus, query) or annotation["name"] == "start", annotation


class _Page(BaseHTTPRequestHandler):
    text = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, *_: object) -> None:
        """The test says what it needs."""


@pytest.fixture(scope="module")
def large_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped three nodes of a large service."""
    memories, collector = large(tmp_path_factory.mktemp("status"))
    _Page.text = Exposition().page(collector.values(), openmetrics=False)
    for memory in memories:
        memory.close()
    nodes = [ThreadingHTTPServer(("127.0.0.1", 0), _Page) for _ in range(3)]
    for node in nodes:
        threading.Thread(target=node.serve_forever, daemon=True).start()
    server = Prometheus(tmp_path_factory.mktemp("large"), *(node.server_port for node in nodes), every="2s")
    try:
        server.wait_for('count(count_over_time(instance_tenant:pdns_queries_total:sum{tenant="tenant7"}[1m]) > 1)', 3)
        yield server
    finally:
        server.stop()
        for node in nodes:
            node.shutdown()
            node.server_close()


@pytest.mark.parametrize("board", OF_PROMETHEUS)
def test_no_panel_has_unbounded_series(large_service: Prometheus, board: str) -> None:
    """With 250 tenants, 40 feeds, 60 upstreams and zones on three nodes, a graph still has few lines."""
    values = chosen(large_service, board)
    wrong = [
        f"{found} series: {query}"
        for query in grafana.queries(board, values)
        if (found := len(series(large_service, query))) > MOST[query.kind]
    ]
    assert wrong == []
