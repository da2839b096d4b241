"""Indicators as security teams exchange them, from the file to the answer, through the running program."""

from __future__ import annotations

import json
import lzma
import zipfile
from pathlib import Path

from tests.fakes import upstream as fake
from tests.integration.running_pdns import SINKHOLE, RunningPdns, UpstreamThread

TRUE = "203.0.113.80"
HANDLER = fake.by_name(
    {
        "hosted.example": fake.answer("198.51.100.7"),
        "networked.example": fake.answer("198.51.100.200", "203.0.113.80"),
        "six.example": fake.answer("2001:db8::7"),
    },
    fake.answer(TRUE),
)
BUNDLE = {
    "type": "bundle",
    "objects": [
        {"type": "indicator", "spec_version": "2.1", "pattern": "[domain-name:value = 'stix.test']"},
        {"type": "indicator", "spec_version": "2.1", "pattern": "[url:value = 'http://page.example/x']"},
        {"type": "indicator", "spec_version": "2.1", "pattern": "[ipv6-addr:value = '2001:db8::7']"},
    ],
}
EVENT = {"Event": {"info": "x", "Attribute": [{"type": "domain|ip", "to_ids": True, "value": "misp.test|198.51.100.7"}]}}


def files(directory: Path) -> None:
    (directory / "bundle.json.xz").write_bytes(lzma.compress(json.dumps(BUNDLE).encode()))
    (directory / "event.json").write_text(json.dumps(EVENT))
    (directory / "networks.txt").write_text("198.51.100.128/25 ; a network\n10.0.0.0/8\n")
    with zipfile.ZipFile(directory / "table.csv.zip", "w") as archive:
        archive.writestr("table.csv", "url,domain\nhttp://wanted.example/x,csv.test\n")


def test_from_the_file_to_the_answer(tmp_path: Path) -> None:
    """STIX, MISP, CSV and address lists block what they name, packed or not: names, and answers that lead to listed addresses.

    A URL blocks its host, and nothing below it, only in the feed whose owner wants that.
    """
    files(tmp_path)
    feeds = [
        {"name": "stix", "url": "bundle.json.xz", "addresses": True, "required": True},
        {"name": "misp", "url": "event.json", "addresses": True, "required": True},
        {"name": "networks", "url": "networks.txt", "addresses": True, "required": True},
        {"name": "table", "url": "table.csv.zip", "format": "csv", "column": "domain", "required": True},
        {"name": "pages", "url": "table.csv.zip", "format": "csv", "column": "url", "url_hosts": True, "required": True},
    ]
    with UpstreamThread(HANDLER) as upstream:
        config = {"upstream": {"servers": [upstream.address]}, "feed": feeds}
        with RunningPdns(tmp_path, config) as pdns:
            names = ("stix.test", "www.stix.test", "misp.test", "csv.test", "wanted.example")
            for blocked in (*names, "hosted.example", "networked.example"):
                assert pdns.addresses(blocked) == [SINKHOLE], blocked
            for allowed in ("page.example", "www.wanted.example", "other.example"):
                assert pdns.addresses(allowed) == [TRUE], allowed
            assert [str(record) for rrset in pdns.ask("six.example", "AAAA").answer for record in rrset] == ["2001:db8::1"]
            assert pdns.value("blocked_total", feed="misp") == 2
            assert pdns.value("blocked_total", feed="pages") == 1
            status = json.loads((pdns.state_dir / "feeds.json").read_text())["feeds"]
    assert {name: feed["format"] for name, feed in status.items()} == {
        "stix": "stix", "misp": "misp", "networks": "domains", "table": "csv", "pages": "csv",
    }  # fmt: skip
    assert {name: {reason: lines["count"] for reason, lines in feed["odd"].items()} for name, feed in status.items()} == {
        "stix": {"url_with_path": 1}, "misp": {}, "networks": {"special_address": 1}, "table": {}, "pages": {},
    }  # fmt: skip


def test_a_feed_from_the_catalogue(tmp_path: Path) -> None:
    """A configuration that names an entry of the catalogue runs; the url beside it says where the list is here."""
    (tmp_path / "event.json").write_text('{"blacklist": ["wallet.test"], "whitelist": ["good.example"]}')
    with UpstreamThread(HANDLER) as upstream:
        feed = {"use": "metamask", "url": "event.json", "required": True}
        with RunningPdns(tmp_path, {"upstream": {"servers": [upstream.address]}, "feed": [feed]}) as pdns:
            assert pdns.addresses("wallet.test") == [SINKHOLE]
            assert pdns.addresses("good.example") == [TRUE]
            assert pdns.value("blocked_total", feed="metamask", category="phishing") == 1
