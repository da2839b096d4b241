"""A real Prometheus scrapes a real `pdns serve`, and is asked what the documentation says it can be asked."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from tests.fakes.upstream import answer
from tests.integration.prometheusserver import PROMETHEUS, Prometheus
from tests.integration.running_pdns import ROOT, RunningPdns, UpstreamThread, feed

PAGE = (ROOT / "docs/metrics.md").read_text()
_IN_TABLES = re.findall(r"^\| `pdns_\w+` .* `([^`]+)` \|$", PAGE, re.MULTILINE)
EXAMPLES = [cell.replace(r"\|", "|") for cell in _IN_TABLES] + re.findall(
    r"```promql\n(.+?)\n```", PAGE
)  # as Markdown shows cells

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")


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


def test_a_whole_page_is_clean(scene: tuple[RunningPdns, Prometheus]) -> None:
    """`promtool check metrics` has nothing to say about it, and the strict parser of OpenMetrics accepts it."""
    pdns, _ = scene
    _, page = pdns.get("/metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    _, page = pdns.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert page.endswith("# EOF\n")
    families = {family.name for family in parse_openmetrics(page)}  # type: ignore[no-untyped-call]
    assert {"pdns_queries", "pdns_events", "pdns_build"} <= families


def test_scrapes_disturb_no_query(scene: tuple[RunningPdns, Prometheus]) -> None:
    """While the page is read again and again, every query is answered and counted, and none is dropped."""
    pdns, _ = scene
    before, asked = pdns.value("queries_total"), 300
    done = threading.Event()

    def scrape() -> int:
        pages = 0
        while not done.is_set():
            assert pdns.get("/metrics")[0] == 200
            pages += 1
        return pages

    with ThreadPoolExecutor(2) as threads:
        scrapes = [threads.submit(scrape) for _ in range(2)]
        try:
            for number in range(asked):
                assert pdns.rcode(f"n{number % 7}.example.net") == "NOERROR"
        finally:
            done.set()
        assert sum(one.result() for one in scrapes) > 10
    assert pdns.value("queries_total") == before + asked
    assert pdns.value("dropped_total") == 0


def test_no_alert_fires_on_a_healthy_server(scene: tuple[RunningPdns, Prometheus]) -> None:
    """All alerts are loaded and evaluated without error, and none is pending or firing."""
    prometheus = scene[1]
    until_s = time.monotonic() + 30
    while True:
        groups = prometheus.get("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        before_the_first_scrape = any(rule["name"] == "PdnsNotScraped" and rule["state"] != "inactive" for rule in rules)
        if all(rule["health"] == "ok" for rule in rules) and not before_the_first_scrape:
            break
        assert time.monotonic() < until_s, [rule.get("lastError") for rule in rules]
        time.sleep(0.1)
    alerts = [rule for rule in rules if rule["type"] == "alerting"]
    assert len(alerts) > 10
    disk = shutil.disk_usage(scene[0].state_dir)
    true = {"PdnsDiskFills"} if disk.free < 0.15 * disk.total else set()  # of this machine, near the limit of the alert
    assert [(rule["name"], rule["state"]) for rule in alerts if rule["state"] != "inactive" and rule["name"] not in true] == []
