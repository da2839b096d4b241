"""Series that are there from the start."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pdns.config.event_schema import EventSection
from pdns.config.schema import Config, Server
from pdns.supervisor.http.zeros import DROPPED_OF_BALANCERS, zeros

ROOT = Path(__file__).parents[4]


def test_what_load_balancers_do_wrong() -> None:
    """The reasons are there if there are load balancers; docs/metrics.md says what each means."""
    text = (ROOT / "docs/metrics.md").read_text()
    without, beside = list(zeros(Config())), list(zeros(Config(server=Server(proxy_protocol_from=("10.0.0.10/32",)))))
    for reason in DROPPED_OF_BALANCERS:
        series = "dropped_total", (reason,)
        assert series not in without
        assert series in beside
        assert f"`{reason}`" in text


def test_the_first_finding_is_seen() -> None:
    """Each kind of finding has a series of each tenant, so that an alert sees the first one; none while nothing is recorded."""
    config = msgspec.convert({"tenant": [{"name": "leeds", "networks": ["10.0.0.0/8"]}]}, Config)
    findings = {labels for family, labels in zeros(config) if family == "findings_total"}
    assert {("tunnel", "leeds"), ("bypass", "leeds"), ("retro", "default")} <= findings
    off = msgspec.structs.replace(config, events=EventSection(enabled=False))
    assert not [family for family, _ in zeros(off) if family.startswith(("event", "findings"))]


def test_what_feeds_answer_themselves() -> None:
    """Each answer that a zone may give has its series; another action of a feed takes the place of everyone's."""
    feeds = [
        {"name": "zone", "url": "file:///zone", "format": "rpz", "rpz_action": "given"},
        {"name": "other", "url": "file:///other", "format": "rpz", "rpz_action": "nodata"},
        {"name": "plain", "url": "file:///plain"},
    ]
    config = msgspec.convert({"upstream": {"servers": ["192.0.2.53"]}, "feed": feeds}, Config)
    series = {labels[1:] for family, labels in zeros(config) if family == "blocked_total"}
    assert series == {
        ("local", "local", "sinkhole"),
        ("plain", "malware", "sinkhole"),
        ("other", "malware", "nodata"),
        *(("zone", "malware", action) for action in ("nxdomain", "nodata", "drop", "tcp-only", "local-data")),
    }
