"""How a list's format is detected, and when it must be configured."""

from __future__ import annotations

from pathlib import Path

import pytest

from feeds.parse import parse_feed
from pdns.config.schema import Feed
from pdns.errors import FeedError
from tests.unit.feeds.reading import bundle, read


def test_csv_is_not_guessed() -> None:
    """Without a format, a table is refused with what to set; one of a known publisher is not."""
    with pytest.raises(
        FeedError, match='CSV, and not clear in which column the names are: set format = "csv" and column, to one of a,b'
    ):
        read("a,b\none.test,two.test\n")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (bundle({"pattern": "[domain-name:value='one.test']"}), "stix"),
        ('{"more": false, "objects": [{"type": "indicator", "spec_version": "2.1"}]}', "stix"),
        ('{"Event": {"info": "x", "Attribute": []}}', "misp"),
        ('{"response": {"Attribute": [{"type": "domain", "to_ids": true, "value": "one.test"}]}}', "misp"),
        ('[{"Event": {"info": "x"}}]', "misp"),
        ('\ufeff {"7": [{"ioc_value": "one.test", "ioc_type": "domain", "threat_type": "c2"}]}', "threatfox"),
        ('{"query_status": "ok", "data": [{"ioc": "one.test", "ioc_type": "domain", "threat_type": "c2"}]}', "threatfox"),
        ('{"7": [{"url": "http://one.test/", "urlhaus_link": "x"}]}', "urlhaus"),
        ("# x\n# id,dateadded,url,url_status\n", "urlhaus"),
        ('# x\n# "first_seen_utc","ioc_id","ioc_value","ioc_type","threat_type"\n', "threatfox"),
        ("[Adblock Plus 2.0]\n||one.test^\n", "adblock"),
        ("[2001:db8::1]\none.test\n", "domains"),
    ],
)
def test_detection(content: str, expected: str) -> None:
    """Formats that say what their values mean are told by their keys or header; what merely begins alike is not."""
    assert read(content).format == expected


@pytest.mark.parametrize(
    "content", ['{"data": ["one.test"]}', '["one.test"]', '{"host": "one.test"}\n{"host": "two.test"}\n', "{}"]
)
def test_other_json_is_not_guessed(content: str) -> None:
    """JSON of a layout that is not known is refused with what to set; no name is taken out of it."""
    with pytest.raises(FeedError, match=r'set format = "json" \("jsonl" .* and json_path, such as "data\[\]\.host"'):
        read(content)


@pytest.mark.parametrize(
    ("url", "content", "expected"),
    [
        ("taxii+https://taxii.test/api/", '{"type":"bundle","objects":[\n]}\n', "stix"),
        ("misp+https://misp.test/feed/", '{"response":[\n]}\n', "misp"),
        ("misp-api+https://misp.test/", '{"response":[\n]}\n', "misp"),
    ],
)
def test_transports_tell_the_format(tmp_path: Path, url: str, content: str, expected: str) -> None:
    """What comes over TAXII or from MISP is told by that, even while there is nothing in it."""
    (tmp_path / "list").write_text(content)
    parsed = parse_feed(tmp_path / "list", Feed(name="test", url=url))
    assert (parsed.format, parsed.names, parsed.odd) == (expected, {}, {})


def test_detection_of_a_document_on_one_line() -> None:
    """A document of a megabyte without a line end is told by its beginning."""
    parsed = read(bundle(*({"pattern": f"[domain-name:value='name-{number}.test']"} for number in range(20_000))))
    assert (parsed.format, len(parsed.names)) == ("stix", 20_000)
