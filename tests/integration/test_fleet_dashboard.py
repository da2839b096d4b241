"""The dashboard of a fleet: every query returns data from a real Prometheus that scrapes a publisher and many nodes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from pdns.config.fleet_schema import FleetSection
from pdns.state import fleet_status
from pdns.state.fleet_status import FleetStatus, SeenNode
from pdns.supervisor.http.collector import PdnsCollector
from pdns.supervisor.http.exposition import Exposition
from pdns.supervisor.http.status import StatusReader
from tests.integration import grafana
from tests.integration.grafana import BOARDS
from tests.integration.prometheusserver import PROMETHEUS, Prometheus
from tests.integration.test_dashboards import MOST, chosen, series
from tests.unit.telemetry.test_metrics import FakeSupervisor

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")
BOARD = "pdns-fleet"
NODES = 16
MOST_LINES = {**MOST, "timeseries": 10}


class FleetMember:
    """The metrics page of one server; each scrape finds it a little further."""

    def __init__(self, directory: Path, number: int) -> None:
        directory.mkdir()
        self._directory, self._number, self._scrapes = directory, number, 0
        supervisor = FakeSupervisor()
        fleet = FleetSection(role="node") if number else FleetSection(role="publisher")
        supervisor.config = msgspec.structs.replace(supervisor.config, fleet=fleet)
        self._collector = PdnsCollector(supervisor, StatusReader(directory))

    def page(self) -> bytes:
        self._scrapes += 1
        fleet_status.write(self._directory, self._status(time.time()))
        return Exposition().page(self._collector.values(), openmetrics=False)

    def _status(self, now_s: float) -> FleetStatus:
        common = FleetStatus(
            sequence=self._scrapes, release=7, wanted_release=7 if self._number % 7 else 8, compiled_sha256="0f" * 32,
            pointer_issued_s=now_s - 60, pointer_expires_s=now_s + 600, last_poll_s=now_s, pinned=self._number == 3,
            last_error="no route" if self._number == 5 else "", bytes_total=1000 * self._scrapes,
            polls={"unchanged": self._scrapes}, releases={"applied": self._scrapes},
        )  # fmt: skip
        if self._number:
            return msgspec.structs.replace(common, ring="all")
        nodes = [SeenNode(node=f"n{at}", ring="all", release=7, written_s=now_s if at else 1.0) for at in range(NODES)]
        rings = {"first": 8, "early": 8, "all": 7}
        return msgspec.structs.replace(common, release=8, rings=rings, nodes=nodes, published={"published": self._scrapes})


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped a publisher and its nodes a few times."""
    servers = [_served(FleetMember(tmp_path_factory.mktemp("member") / "state", number)) for number in range(NODES)]
    prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), *(server.server_port for server in servers), every="500ms")
    try:
        prometheus.wait_for("count(count_over_time(pdns_fleet_sequence[1m]) > 2)", NODES)
        yield prometheus
    finally:
        prometheus.stop()
        for server in servers:
            server.shutdown()
            server.server_close()


def _served(member: FleetMember) -> ThreadingHTTPServer:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = member.page()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """The test says what it needs."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_every_panel_shows_the_fleet(fleet: Prometheus) -> None:
    """Each query gives at least one series with a number that is a number, and not more than people can read."""
    for query in grafana.queries(BOARD, chosen(fleet, BOARD)):
        found = series(fleet, query)
        assert any(value != "NaN" for one in found for value in one), query
        assert len(found) <= MOST_LINES[query.kind], query


def test_panels_tell_what_is_wrong(fleet: Prometheus) -> None:
    """A node behind, a pinned one, one that lost the store and one that is missing are counted."""
    shown = {
        query.panel: float(series(fleet, query)[0][0])
        for query in grafana.queries(BOARD, chosen(fleet, BOARD))
        if query.kind == "stat"
    }
    expected = {"Newest release": 8, "Blocksets in use": 1, "Store failing": 1, "Pinned": 1, "Missing nodes": 1}
    assert {title: shown[title] for title in expected} == expected
    assert shown["Behind"] == sum(number % 7 == 0 for number in range(1, NODES))
    assert shown["Oldest pointer"] > 0
    assert BOARD in BOARDS
