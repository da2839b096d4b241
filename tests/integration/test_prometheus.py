"""A real Prometheus scrapes a real `pdns serve`, and is asked what the documentation says it can be asked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from loadtest.loopback import free_port
from tests.fakes.upstream import answer
from tests.integration.running_pdns import ROOT, RunningPdns, UpstreamThread, feed

PROMETHEUS = shutil.which("prometheus")
PAGE = (ROOT / "docs/metrics.md").read_text()
_IN_TABLES = re.findall(r"^\| `pdns_\w+` .* `([^`]+)` \|$", PAGE, re.MULTILINE)
EXAMPLES = [cell.replace(r"\|", "|") for cell in _IN_TABLES] + re.findall(
    r"```promql\n(.+?)\n```", PAGE
)  # as Markdown shows cells

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")


class Prometheus:
    """A `prometheus` that scrapes one target five times a second, with the alerts of deploy/."""

    def __init__(self, directory: Path, target_port: int) -> None:
        self._directory = directory
        self.port = free_port()
        shutil.copy(ROOT / "deploy/prometheus/alerts.yml", directory)
        shipped = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
        config = shipped.replace("15s", "200ms").replace("127.0.0.1:9153", f"127.0.0.1:{target_port}")
        assert config != shipped
        (directory / "prometheus.yml").write_text(config)
        self._log = (directory / "log").open("wb")
        assert PROMETHEUS is not None
        self._process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={directory}/prometheus.yml",
                f"--storage.tsdb.path={directory}/data",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()

    def get(self, path: str, **parameters: str) -> Any:
        """What the API says; None while it does not answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}?{urlencode(parameters)}", timeout=10) as response:
                return json.load(response)["data"]
        except HTTPError as error:
            with error:
                if error.code == 503:
                    return None
                raise AssertionError(error.read().decode()) from None
        except OSError:
            return None

    def value(self, expression: str) -> float | None:
        """The one number that `expression` is; None while it is nothing."""
        data = self.get("query", query=expression)
        results = data["result"] if data else []
        return float(results[0]["value"][1]) if results else None

    def wait_for(self, expression: str, wanted: float) -> None:
        until_s = time.monotonic() + 30
        while (found := self.value(expression)) != wanted:
            assert time.monotonic() < until_s, (
                f"{expression} is {found}, not {wanted}: {(self._directory / 'log').read_text()[-3000:]}"
            )
            assert self._process.poll() is None, (self._directory / "log").read_text()[-3000:]
            time.sleep(0.1)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningPdns, Prometheus]]:
    directory = tmp_path_factory.mktemp("pdns")
    with UpstreamThread(answer()) as upstream:
        config = {
            "upstream": {"servers": [upstream.address]},
            "feed": [feed(directory, "urlhaus", "malware.test", "phishing.test")],
            "tenant": [{"name": "coventry", "networks": ["127.0.0.0/8"]}],
        }
        with RunningPdns(directory, config) as pdns:
            prometheus = Prometheus(tmp_path_factory.mktemp("prometheus"), pdns.metrics_port)
            try:
                prometheus.wait_for("pdns_ready", 1)
                yield pdns, prometheus
            finally:
                prometheus.stop()


def test_the_three_numbers(scene: tuple[RunningPdns, Prometheus]) -> None:
    """Queries, blocked attempts and distinct blocked names, as Prometheus tells them, are what was done."""
    pdns, prometheus = scene
    for name in ("malware.test", "malware.test", "phishing.test", "www.example.net"):
        pdns.ask(name)
    prometheus.wait_for('sum(pdns_queries_total{tenant="coventry"})', 4)
    prometheus.wait_for('sum(pdns_blocked_total{feed="urlhaus", tenant="coventry"})', 3)
    prometheus.wait_for('pdns_blocked_domains_overall{window="1h"}', 2)
    prometheus.wait_for('pdns_blocked_domains{tenant="coventry", window="7d"}', 2)
    prometheus.wait_for("sum(pdns_query_duration_seconds_count)", 4)


def test_types_and_help_arrive(scene: tuple[RunningPdns, Prometheus]) -> None:
    """Prometheus knows each metric by its type."""
    metadata = scene[1].get("metadata")
    assert metadata["pdns_queries"][0]["type"] == "counter"  # OpenMetrics names the family so
    assert metadata["pdns_query_duration_seconds"][0]["type"] == "histogram"
    assert metadata["pdns_feed_entries"][0]["help"] == "Names that a feed lists."


@pytest.mark.parametrize("expression", EXAMPLES)
def test_documented_queries_are_understood(scene: tuple[RunningPdns, Prometheus], expression: str) -> None:
    """Every example of docs/metrics.md is a query that Prometheus can evaluate."""
    assert scene[1].get("query", query=expression) is not None


def test_no_alert_fires_on_a_healthy_server(scene: tuple[RunningPdns, Prometheus]) -> None:
    """All alerts are loaded and evaluated without error, and none is pending or firing."""
    prometheus = scene[1]
    until_s = time.monotonic() + 30
    while True:
        (group,) = prometheus.get("rules")["groups"]
        if all(rule["health"] == "ok" for rule in group["rules"]):
            break
        assert time.monotonic() < until_s, [rule.get("lastError") for rule in group["rules"]]
        time.sleep(0.1)
    assert len(group["rules"]) > 10
    assert [(rule["name"], rule["state"]) for rule in group["rules"] if rule["state"] != "inactive"] == []
