"""Real indicators as CSV, JSON, MISP events and STIX bundles: `PDNS_DATA` names the folder that they are unpacked in."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from feeds.parse import ParsedFeed, parse_feed
from pdns.config.schema import Feed
from pdns.config.value_types import FeedFormat
from pdns.errors import FeedError
from pdns.wire.names import from_text, reversed_key
from tests.unit.feeds.reading import names, odd

DATA = Path(os.environ.get("PDNS_DATA", "/nonexistent"))

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="PDNS_DATA names no folder of real lists")


def parse(publisher: str, path: str, reading: FeedFormat = "auto", **settings: Any) -> ParsedFeed:
    file = DATA / f"feeds--{publisher}/feeds/{publisher}" / path
    return parse_feed(file, Feed(name="real", url=file.as_uri(), format=reading, **settings))


def events() -> list[Path]:
    return sorted((DATA / "feeds--eset_malware-ioc").rglob("*.json"))


@pytest.mark.parametrize(
    ("investigation", "bundle", "count", "threat", "others"),
    [
        ("2021-07-18_nso", "pegasus", 1438, "Pegasus", {"other_indicator": 111}),
        ("2021-12-16_cytrox", "cytrox", 336, "Predator", {"other_indicator": 7}),
        ("2023-03-29_android_campaign", "malware", 2183, "MercenarySpywareCampaign", {"other_indicator": 4}),
        ("2024-05-02_wintego_helios", "wintego_helios", 175, "Wintego Helios", {}),
    ],
)
def test_stix_bundles_say_what_lists_say(
    investigation: str, bundle: str, count: int, threat: str, others: dict[str, int]
) -> None:
    """A bundle lists the names that its publisher also has as a plain list, each with the threat; the rest is counted."""
    parsed = parse("AmnestyTech_investigations", f"{investigation}/{bundle}.stix2")
    plain = parse("AmnestyTech_investigations", f"{investigation}/domains.txt")
    assert (parsed.format, len(parsed.names), odd(parsed)) == ("stix", count, others)
    assert parsed.names == plain.names
    assert parsed.detail_of.keys() == parsed.names.keys()
    assert {detail.threat for detail in parsed.details} == {threat}
    assert all(detail.first_seen_s > 1.5e9 for detail in parsed.details)


def test_domain_fields_that_hold_addresses() -> None:
    """Seven indicators about domain names are addresses: counted as such, listed as such where addresses are wanted."""
    assert odd(parse("AmnestyTech_investigations", "2024-12-16_serbia_novispy/novispy.stix2")) == {
        "address": 7,
        "other_indicator": 11,
    }
    wanted = parse("AmnestyTech_investigations", "2024-12-16_serbia_novispy/novispy.stix2", addresses=True)
    assert (len(wanted.names), len(wanted.networks), odd(wanted)) == (0, 7, {"other_indicator": 11})
    assert (
        wanted.networks == parse("AmnestyTech_investigations", "2024-12-16_serbia_novispy/domains.txt", addresses=True).networks
    )


@pytest.mark.parametrize(
    ("settings", "listed", "expected"),
    [
        ({}, (321, 0), {"address": 128, "url": 2, "url_with_path": 28}),
        ({"addresses": True}, (321, 90), {"url": 2, "url_with_path": 28}),
        ({"addresses": True, "url_hosts": True}, (328, 97), {}),
    ],
)
def test_misp_events(settings: dict[str, Any], listed: tuple[int, int], expected: dict[str, int]) -> None:
    """In 54 events, what is marked for detection is listed, what is not is counted, and 30 URLs are hosts only on request."""
    found: set[bytes] = set()
    networks: set[bytes] = set()
    reasons: Counter[str] = Counter()
    refused = []
    for path in events():
        try:
            parsed = parse_feed(path, Feed(name="real", url=path.as_uri(), **settings))
        except FeedError as error:
            refused.append((path.name, error.line, error.reason))
            continue
        assert parsed.format == "misp"
        assert {detail.threat for detail in parsed.details} <= {parsed.details[0].threat} if parsed.details else not parsed.names
        found |= parsed.names.keys()
        networks |= parsed.networks
        reasons.update(odd(parsed))
    assert (len(found), len(networks)) == listed
    assert reasons == {"other_indicator": 3045, "not_for_blocking": 639, **expected}
    broken = "malicious_pypi_packages.misp-event.json"
    assert refused == [(broken, 37374, "not valid JSON: trailing comma in array (byte 1,532,403)")]


def test_misp_attributes_not_marked_for_detection() -> None:
    """Who wants them all the same reads the events as JSON, by a path: 694 names."""
    found: set[bytes] = set()
    for path in events():
        if path.name != "malicious_pypi_packages.misp-event.json":
            feed = Feed(name="real", url=path.as_uri(), format="json", json_path="response[].Event.Attribute[].value")
            found |= parse_feed(path, feed).names.keys()
    assert len(found) == 694


def test_metamask() -> None:
    """The JSON that wallets use lists its 13,745 names by a path, and not those that it calls good."""
    parsed = parse("MetaMask_eth-phishing-detect", "config.json", "json", json_path="blacklist[]")
    assert (len(parsed.names), odd(parsed)) == (13745, {"address": 5, "single_label": 2})
    assert reversed_key(from_text("metamask.io")) not in parsed.names
    assert (
        reversed_key(from_text("metamask.io"))
        in parse("MetaMask_eth-phishing-detect", "config.json", "json", json_path="fuzzylist[]").names
    )


@pytest.mark.parametrize(
    ("publisher", "path", "settings", "listed", "expected"),
    [
        (
            *("JayP232_OSTIF", "threatfox.csv", {"column": "Address"}),
            *((24726, 0), {"address": 8, "bad_characters": 1, "email": 2, "single_label": 6, "url": 1}),
        ),
        ("JayP232_OSTIF", "IPC2s-30day.csv", {"column": "ip", "addresses": True}, (0, 1314), {"special_address": 1}),
        ("AmnestyTech_investigations", "2018-08-01_nso/indicators.csv", {}, (595, 0), {}),
        (
            "AmnestyTech_investigations",
            "2018-08-01_nso/indicators.csv",
            {"column": "2", "addresses": True},
            (0, 596),
            {"single_label": 1},
        ),
        (
            *("curbengh_urlhaus-filter", "2025-07-19/urlhaus-filter-splunk-online.csv", {"column": "host"}),
            *((684, 0), {"address": 2234}),
        ),
        ("certtools_intelmq-samples", "cert_eu/example.csv", {"column": "domain name"}, (1, 0), {"no_value": 1}),
        (
            "certtools_intelmq-samples",
            "zoneh/defacement_accepted.csv",
            {"column": "domain"},
            (0, 0),
            {"url": 1, "url_with_path": 1},
        ),
        ("certtools_intelmq-samples", "zoneh/defacement_accepted.csv", {"column": "domain", "url_hosts": True}, (2, 0), {}),
        ("certtools_intelmq-samples", "bambenek/c2-dommasterlist.txt", {"column": "1"}, (1, 0), {}),
    ],
)
def test_tables(publisher: str, path: str, settings: dict[str, Any], listed: tuple[int, int], expected: dict[str, int]) -> None:
    """Tables are read by the column that is named, headers in comments and quotes included; other cells are counted."""
    parsed = parse(publisher, path, "csv", **settings)
    assert (len(parsed.names), len(parsed.networks)) == listed
    assert odd(parsed) == expected


@pytest.mark.parametrize(
    ("path", "format_", "json_path", "settings", "listed", "expected"),
    [
        ("shodan/tests.json", "jsonl", "hostnames[]", {}, (3, 0), {}),
        ("json/data.json", "jsonl", "['source.ip']", {"addresses": True}, (0, 0), {"special_address": 2}),
        ("microsoft/bingmurls.json", "json", "[].Url", {"url_hosts": True}, (2, 0), {}),
        ("calidog/data.json", "json", "data.leaf_cert.all_domains[]", {}, (3, 0), {}),
        (
            *("alienvault/test_parser_otx.data", "json", "[].indicators[].indicator", {"url_hosts": True}, (22, 0)),
            {"address": 11, "email": 1, "label_too_long": 24, "path": 1, "single_label": 35},
        ),
        ("blueliv/test_parser_crimeserver.data", "json", "[].url", {"url_hosts": True}, (2, 0), {"address": 1}),
    ],
)
def test_json_of_many_publishers(
    path: str, format_: FeedFormat, json_path: str, settings: dict[str, Any], listed: tuple[int, int], expected: dict[str, int]
) -> None:
    """What a dozen publishers put out as JSON is read by a path each; hashes, addresses and the like are counted."""
    parsed = parse("certtools_intelmq-samples", path, format_, json_path=json_path, **settings)
    assert (len(parsed.names), len(parsed.networks), odd(parsed)) == (*listed, expected)


@pytest.mark.parametrize(
    ("path", "count"), [("spamhaus/drop.txt", 2), ("blocklistde/imap.txt", 6), ("generic/multivalue_columns.csv", 0)]
)
def test_address_lists(path: str, count: int) -> None:
    """Lists of addresses and networks are read as they are."""
    if count:
        assert len(parse("certtools_intelmq-samples", path, addresses=True).networks) == count
    else:
        assert len(parse("certtools_intelmq-samples", path, "csv", column="source_ip", addresses=True).networks) == 2


def test_unmarked_files_are_refused_with_advice() -> None:
    """CSV and JSON that do not say themselves what their values mean list nothing by themselves, and say what to set."""
    for publisher, path, advice in (
        ("JayP232_OSTIF", "threatfox.csv", 'set format = "csv" and column, to one of Address,url or to a number'),
        ("MetaMask_eth-phishing-detect", "config.json", 'set format = "json"'),
        ("curbengh_urlhaus-filter", "2025-07-19/urlhaus-filter-splunk-online.csv", "to one of"),
    ):
        with pytest.raises(FeedError) as caught:
            parse(publisher, path)
        assert advice in caught.value.reason


def test_names_are_what_the_bundle_has() -> None:
    """One bundle to the letter: every quoted domain name in its text is listed with everything below it."""
    path = DATA / "feeds--AmnestyTech_investigations/feeds/AmnestyTech_investigations/2021-12-16_cytrox/cytrox.stix2"
    words = {part.partition("'")[0] for part in path.read_text().split("domain-name:value='")[1:]}
    parsed = parse("AmnestyTech_investigations", "2021-12-16_cytrox/cytrox.stix2")
    assert names(parsed) == dict.fromkeys(sorted(word.lower() for word in words), "subtree")
