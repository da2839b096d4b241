"""The metrics page: what is exposed is what is promised, in code, documentation and alerts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

import pdns
from pdns.config.addresses import Endpoint
from pdns.config.certificate_files import CertificateDetails
from pdns.config.fleet_schema import FleetSection
from pdns.config.policy_schema import Tenant
from pdns.config.schema import BlockPage, Config, Feed, Publish, Upstream
from pdns.state import feed_status, fleet_status
from pdns.supervisor.certificates import ServedCertificate
from pdns.supervisor.http.collector import PdnsCollector
from pdns.supervisor.http.status import StatusReader
from pdns.supervisor.http.zeros import DROPPED, MOST_OF_A_FAMILY, UPSTREAM_RESULTS
from pdns.supervisor.listen_addresses import ListenAddresses
from pdns.telemetry.blocked_domains import BlockedDomains
from pdns.telemetry.counters import Counters
from pdns.telemetry.family import PREFIX
from pdns.telemetry.metrics import FAMILIES
from pdns.telemetry.stats import BUCKETS_S, HEARTBEAT, Stats
from pdns.upstream.matching import ReplyQuality
from pdns.version import COMMIT
from pdns.wire import protocol as p
from pdns.wire.transport import Transport
from tests.fakes.events_counters import of_events
from tests.fakes.quic_counters import of_quic

ROOT = Path(__file__).parents[3]


class FakeCertificates:
    """One certificate, and one failure."""

    failures = 1
    in_force = (
        ServedCertificate(
            0, "tls://127.0.0.1:853", CertificateDetails(("dns.example",), (), "ECDSA P-256", 0.0, 5000.0, "CN=x", 1, "", ""), ""
        ),
    )


class FakeSupervisor:
    """A supervisor with these values."""

    def __init__(self, *counters: Counters) -> None:
        self.counters = counters
        self.past_counters: tuple[Counters, ...] = ()
        self.child_counters: tuple[Counters, ...] = (of_events(), of_quic())
        self.blocked = BlockedDomains()
        self.blocked.saw("coventry", 7, time.monotonic())
        self.blocks_missed = 0
        self.workers_up = {"worker0": True}
        self.listen_addresses = ListenAddresses(lambda: [Endpoint("127.0.0.1", 53), Endpoint("203.0.113.1", 53)])
        self.listen_addresses.look()
        self.config = Config(
            upstream=Upstream(servers=("udp://192.0.2.53:53",)), feed=(Feed(name="urlhaus", url="file:///x"),),
            block_page=BlockPage(listen=("192.0.2.1:80",)), publish=(Publish(zone="rpz.example"),),
            fleet=FleetSection(role="publisher"),
        )  # fmt: skip
        self.certificates = FakeCertificates()
        self.config_sha256 = "0123456789ab"
        self.reload_successful = True
        self.reload_success_s = 1000.0
        self.restarts = {"worker": 2, "feeds": 1, "page": 0, "events": 0, "quic": 0}
        self.failed_starts = {"worker": 1, "feeds": 0, "page": 0, "events": 0, "quic": 0}
        self.http_dropped = {"metrics": 3, "admin": 0}
        self.confinement = {"landlock": True, "seccomp": False}
        self.processes = {"supervisor": os.getpid()}
        self.missing = ["feed urlhaus: required, not loaded"]

    def not_ready(self) -> list[str]:
        return self.missing


@pytest.fixture
def counters() -> Iterator[Counters]:
    memory = Counters.create()
    yield memory
    memory.close()


def fill(counters: Counters) -> Stats:
    """One of everything that a worker counts."""
    stats = Stats(counters)
    stats.query("coventry", Transport.UDP, p.A)
    stats.response("coventry", "cache", p.NOERROR, 0.002)
    stats.response("coventry", "cache", p.NOERROR, 0.02)
    stats.blocked("coventry", ("urlhaus", "malware", "sinkhole", ()), ())
    stats.blocked("coventry", None, (("trial", "malware"),))
    stats.upstream("udp://192.0.2.53:53", "ok", 0.01)
    stats.upstream_up("udp://192.0.2.53:53", up=True)
    stats.upstream_useful("udp://192.0.2.53:53", useful=True)
    stats.upstream_handshake("tls://192.0.2.53:853#dns.example", "new")
    stats.gauge("upstream_validates", 1, "udp://192.0.2.53:53")
    stats.gauge("upstream_honest", 1, "udp://192.0.2.53:53", "filtering")
    stats.add("upstream_canaries_total", 1, "udp://192.0.2.53:53", "filtering", "honest")
    stats.gauge("group_up", 1, "default")
    stats.fell_back("default")
    stats.gauge("encrypted_connections", 3, "tls")
    stats.add("zone_forwarded_total", 1, "corp.example")
    stats.dropped("rate_limit")
    stats.add("log_lines_dropped_total", 1, "worker")
    for family in FAMILIES:
        if family.source == "worker" and not family.labels:
            (stats.gauge if family.kind == "gauge" else stats.add)(family.name, 5)
    return stats


def page(collector: PdnsCollector) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return {
        (sample.name.removeprefix(PREFIX), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def write_status(directory: Path, **feed: object) -> None:
    known = {"url": "u", "category": "malware", "mode": "block", "required": True, **feed}
    feeds = {"urlhaus": msgspec.convert(known, feed_status.FeedStatus)}
    status = feed_status.FeedsStatus(generation=3, build_s=1.5, feeds=feeds)
    (directory / "new").write_bytes(msgspec.json.encode(status))
    (directory / "new").replace(directory / feed_status.FILE_NAME)


def write_fleet(directory: Path) -> None:
    fleet = fleet_status.FleetStatus(release=7, compiled_sha256="0f" * 32, pointer_issued_s=1.0, pointer_expires_s=2.0)
    fleet_status.write(directory, fleet)


def test_every_family_comes_with_its_type_and_labels(counters: Counters, tmp_path: Path) -> None:
    """All families of the page are there, in its order, and every sample of one carries exactly its labels."""
    fill(counters)
    write_status(tmp_path, entries=7, odd={"address": {"count": 2}}, results={"updated": 1})
    write_fleet(tmp_path)
    supervisor = FakeSupervisor(counters)
    supervisor.processes = {"supervisor": os.getpid(), "worker0": os.getpid()}
    metrics: list[Metric] = list(PdnsCollector(supervisor, StatusReader(tmp_path)).collect())
    assert len(metrics) == len(FAMILIES)
    for metric, family in zip(metrics, FAMILIES, strict=True):
        assert metric.name in {PREFIX + family.name.removesuffix("_total"), PREFIX + family.name.removesuffix("_info")}
        assert metric.type == family.kind
        assert metric.samples, family.name
        for sample in metric.samples:
            assert set(sample.labels) - {"le"} == set(family.labels), family.name


def test_series_are_there_from_the_start(counters: Counters, tmp_path: Path) -> None:
    """Each tenant has a series of each feed before anything is blocked, so that increase() sees the first block."""
    supervisor = FakeSupervisor(counters)
    supervisor.config = msgspec.structs.replace(
        supervisor.config,
        tenant=(Tenant(name="coventry", networks=("10.0.0.0/8",)),),
        feed=(Feed(name="urlhaus", url="file:///x"), Feed(name="trial", url="file:///y", mode="monitor")),
    )
    collector = PdnsCollector(supervisor, StatusReader(tmp_path))
    before = page(collector)
    for tenant in ("default", "coventry"):
        for feed, category in (("urlhaus", "malware"), ("local", "local")):
            labels = {"tenant": tenant, "feed": feed, "category": category, "action": "sinkhole"}
            assert before["blocked_total", tuple(sorted(labels.items()))] == 0
        labels = {"tenant": tenant, "feed": "trial", "category": "malware"}
        assert before["would_block_total", tuple(sorted(labels.items()))] == 0
    assert before["upstream_requests_total", (("result", "timeout"), ("upstream", "udp://192.0.2.53:53"))] == 0
    assert before["feed_hits_total", (("feed", "urlhaus"),)] == 0
    fill(counters)
    grown = {series for series, value in page(collector).items() if value and series[0] in ("blocked_total", "would_block_total")}
    assert len(grown) == 2
    assert grown <= set(before)


def test_the_series_from_the_start_are_bounded(counters: Counters, tmp_path: Path) -> None:
    """Many tenants and feeds make at most 5,000 pairs, those of the first tenants."""
    supervisor = FakeSupervisor(counters)
    supervisor.config = msgspec.structs.replace(
        supervisor.config,
        tenant=tuple(Tenant(name=f"t{number}", networks=(f"10.{number}.0.0/16",)) for number in range(250)),
        feed=tuple(Feed(name=f"f{number}", url=f"file:///{number}") for number in range(40)),
    )
    series = [labels for name, labels in page(PdnsCollector(supervisor, StatusReader(tmp_path))) if name == "blocked_total"]
    assert len(series) == MOST_OF_A_FAMILY
    assert {"default", "t0"} <= {dict(labels)["tenant"] for labels in series}


def test_no_family_without_a_sample(counters: Counters, tmp_path: Path) -> None:
    """A page says nothing of a metric that has no value: every HELP line is followed by a sample."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PdnsCollector(FakeSupervisor(counters), StatusReader(tmp_path)))
    families = list(text_string_to_metric_families(generate_latest(registry).decode()))
    assert [family.name for family in families if not family.samples] == []


def test_the_vocabularies_are_those_of_the_program() -> None:
    """Each reason and result that the program counts by is among those that are there from the start."""
    code = [
        path.read_text() for folder in ("pdns", "pdns/fast") for path in (ROOT / folder).rglob("*.py*") if path.suffix != ".pyc"
    ]
    dropped = {reason for text in code for reason in re.findall(r"(?:\bdropped|drop_slot|Drop)\(\"(\w+)\"", text)}
    assert dropped == set(DROPPED)
    assert {quality.value for quality in ReplyQuality} <= set(UPSTREAM_RESULTS)
    results = {result for text in code for result in re.findall(r"\.upstream\([\w.\[\]]+, \"(\w+)\"", text)}
    assert results
    assert results <= set(UPSTREAM_RESULTS)


def test_values(counters: Counters, tmp_path: Path) -> None:
    """What was counted is what is exposed, from all three sources."""
    fill(counters)
    write_status(tmp_path, entries=7, unique_entries=5, loaded=True, last_success_s=99.5, results={"error": 4})
    values = page(PdnsCollector(FakeSupervisor(counters), StatusReader(tmp_path)))
    assert values["queries_total", (("qtype", "A"), ("tenant", "coventry"), ("transport", "udp"))] == 1
    assert values["blocked_domains_overall", (("window", "24h"),)] == 1
    assert values["feed_entries", (("feed", "urlhaus"),)] == 7
    assert values["feed_loaded", (("feed", "urlhaus"),)] == 1
    assert values["feed_last_success_timestamp_seconds", (("feed", "urlhaus"),)] == 99.5
    assert values["feed_refresh_total", (("feed", "urlhaus"), ("result", "error"))] == 4
    assert values["feed_refresh_total", (("feed", "urlhaus"), ("result", "updated"))] == 0
    assert values["blockset_build_seconds", ()] == 1.5
    assert values["worker_restarts_total", ()] == 2
    assert values["config_info", (("sha256", "0123456789ab"),)] == 1
    assert values["ready", ()] == 0
    (built,) = [dict(labels) for name, labels in values if name == "build_info"]
    assert (built["version"], built["commit"]) == (pdns.__version__, COMMIT)
    assert built["accelerated"] == "yes"


def test_histograms_are_cumulative_and_sum_up(counters: Counters, tmp_path: Path) -> None:
    """Each bucket holds those below it, +Inf is the count, and the sum is in seconds."""
    fill(counters)
    values = page(PdnsCollector(FakeSupervisor(counters), StatusReader(tmp_path)))
    buckets = {
        dict(labels)["le"]: value
        for (name, labels), value in values.items()
        if name == "query_duration_seconds_bucket" and ("source", "cache") in labels
    }
    assert len(buckets) == len(BUCKETS_S) + 1
    assert [buckets[le] for le in ("0.001", "0.0025", "0.01", "0.025", "10.0", "+Inf")] == [0, 1, 1, 2, 2, 2]
    assert values["query_duration_seconds_count", (("source", "cache"),)] == 2
    assert values["query_duration_seconds_sum", (("source", "cache"),)] == pytest.approx(0.022)


def test_workers_are_summed(counters: Counters, tmp_path: Path) -> None:
    """Two counter memories make one series: a sum, or the least where only that is true of all."""
    second = Counters.create()
    fill(counters)
    stats = fill(second)
    stats.gauge("blockset_generation", 4)
    stats.upstream_up("udp://192.0.2.53:53", up=False)
    values = page(PdnsCollector(FakeSupervisor(counters, second), StatusReader(tmp_path)))
    assert values["queries_total", (("qtype", "A"), ("tenant", "coventry"), ("transport", "udp"))] == 2
    assert values["query_duration_seconds_count", (("source", "cache"),)] == 4
    assert values["cache_entries", ()] == 10
    assert values["blockset_generation", ()] == 4
    assert values["upstream_up", (("upstream", "udp://192.0.2.53:53"),)] == 0
    second.close()


def test_who_is_gone_still_counts_but_says_nothing_of_now(counters: Counters, tmp_path: Path) -> None:
    """Counters and histograms of a worker that is gone are part of the sums; its gauges are not."""
    past = Counters.create()
    fill(counters)
    fill(past)
    supervisor = FakeSupervisor(counters)
    supervisor.past_counters = (past,)
    values = page(PdnsCollector(supervisor, StatusReader(tmp_path)))
    assert values["queries_total", (("qtype", "A"), ("tenant", "coventry"), ("transport", "udp"))] == 2
    assert values["query_duration_seconds_count", (("source", "cache"),)] == 4
    assert values["cache_entries", ()] == 5
    past.close()


def test_what_is_not_on_the_page_is_not_exposed(counters: Counters, tmp_path: Path) -> None:
    """Inner series of a worker, and words it has no right to, stay inside."""
    stats = Stats(counters)
    stats.gauge(HEARTBEAT, 5)
    stats.gauge("ready", 1)
    stats.add("nonsense_total", 1)
    names = {name for name, _ in page(PdnsCollector(FakeSupervisor(counters), StatusReader(tmp_path)))}
    assert not names & {HEARTBEAT, "nonsense_total", "nonsense"}
    assert page(PdnsCollector(FakeSupervisor(counters), StatusReader(tmp_path)))["ready", ()] == 0


def test_a_configured_feed_without_status_is_shown_as_not_loaded(counters: Counters, tmp_path: Path) -> None:
    """Before the feeds process has written a status, an alert can already see what is missing."""
    values = page(PdnsCollector(FakeSupervisor(counters), StatusReader(tmp_path)))
    assert values["feed_loaded", (("feed", "urlhaus"),)] == 0
    assert values["feed_last_success_timestamp_seconds", (("feed", "urlhaus"),)] == 0


def test_the_status_file_is_read_when_it_is_another_one(tmp_path: Path) -> None:
    """A new file is seen at once; the same one is not read again; a broken or missing one leaves what was known."""
    status = StatusReader(tmp_path)
    assert status.read().generation == 0
    write_status(tmp_path, entries=7)
    first = status.read()
    assert first.feeds["urlhaus"].entries == 7
    assert status.read() is first
    write_status(tmp_path, entries=8)
    assert status.read().feeds["urlhaus"].entries == 8
    (tmp_path / feed_status.FILE_NAME).write_text("{")
    assert status.read().feeds["urlhaus"].entries == 8
    (tmp_path / feed_status.FILE_NAME).unlink()
    assert status.read().feeds["urlhaus"].entries == 8


def test_both_formats_parse(counters: Counters, tmp_path: Path) -> None:
    """OpenMetrics, stricter than the old format, accepts the page too."""
    fill(counters)
    write_status(tmp_path, odd={"address": {"count": 2}})
    write_fleet(tmp_path)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PdnsCollector(FakeSupervisor(counters), StatusReader(tmp_path)))
    encode, _ = choose_encoder("application/openmetrics-text")
    families = parse_openmetrics(encode(registry).decode())  # type: ignore[no-untyped-call]  # it has no types
    assert len(list(families)) == len(FAMILIES)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_criticise(counters: Counters, tmp_path: Path) -> None:
    """Names, types and help texts are as Prometheus wants them."""
    fill(counters)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PdnsCollector(FakeSupervisor(counters), StatusReader(tmp_path)))
    done = subprocess.run(["promtool", "check", "metrics"], input=generate_latest(registry), capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
