"""The dashboards of deploy/grafana: every query of every panel returns data from a real Prometheus that scrapes a real run."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from loadtest.loopback import free_port
from tests.integration import busyscene, grafana
from tests.integration.grafana import BOARDS, PanelQuery
from tests.integration.prometheusserver import PROMETHEUS, Prometheus
from tests.integration.running_pdns import RunningPdns, UpstreamThread

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")
OF_PROMETHEUS = [name for name in BOARDS if name != "pdns-events"]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
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

                busyscene.use(pdns, settled)
                busyscene.transfer(pdns, port)
                (directory / "bots.txt").write_text("bot.test\nbot2.test\n")
                before = pdns.value("blockset_generation")
                pdns.reload()
                busyscene.command(pdns, "feeds", "update")
                pdns.wait_for(lambda: pdns.value("blockset_generation") > before, "a new blockset")
                server.wait_for("pdns_blockset_generation", pdns.value("blockset_generation"))
                settled()
                yield server
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


@pytest.mark.parametrize("board", OF_PROMETHEUS)
def test_every_panel_returns_data(prometheus: Prometheus, board: str) -> None:
    """Each query gives at least one series with a number that is a number."""
    values = chosen(prometheus, board)
    empty = [
        str(query)
        for query in grafana.queries(board, values)
        if not any(value != "NaN" for one in series(prometheus, query) for value in one)
    ]
    assert empty == []


@pytest.mark.parametrize("board", OF_PROMETHEUS)
def test_every_annotation_marks_something(prometheus: Prometheus, board: str) -> None:
    """Each annotation finds what happened in the run, except the start, which came before the first scrape."""
    values = chosen(prometheus, board)
    for annotation in BOARDS[board]["annotations"]["list"]:
        query = PanelQuery(board, annotation["name"], "annotation", grafana.replaced(annotation["expr"], values), at_once=False)
        assert series(prometheus, query) or annotation["name"] == "start", annotation
