"""A list in each format, with the unusual lines of real lists, and all entries that come of it.

`PDNS_UPDATE_GOLDEN=1` writes the expectations anew; read the difference before keeping it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from feeds.parse import parse_feed
from pdns.config.schema import Feed
from tests.unit.feeds.reading import details, names, networks, odd

FIXTURES = Path(__file__).parents[3] / "fixtures" / "feeds"
LISTS = sorted(path.name for path in FIXTURES.iterdir() if not path.name.endswith(".golden.json"))
SETTINGS: dict[str, dict[str, str]] = {  # of lists that do not say where in them the names are
    "table.csv": {"format": "csv", "column": "Indicator"},
    "table.tsv": {"format": "csv", "column": "2", "delimiter": "\t"},
    "values.json": {"format": "json", "json_path": "data.threats[].hosts[]"},
    "values.jsonl": {"format": "jsonl", "json_path": "$['network.host']"},
}


@pytest.mark.parametrize("name", LISTS)
def test_golden(name: str) -> None:
    """The format is detected, each line is listed as it should be or counted by the right reason, with examples."""
    feed = msgspec.convert({"name": "golden", "url": "file:///golden", **SETTINGS.get(name, {})}, Feed)
    parsed = parse_feed(FIXTURES / name, feed)
    with_addresses = parse_feed(FIXTURES / name, msgspec.structs.replace(feed, addresses=True))
    with_hosts = parse_feed(FIXTURES / name, msgspec.structs.replace(feed, addresses=True, url_hosts=True))
    assert with_addresses.names == parsed.names
    said = {
        "format": parsed.format,
        "lines": parsed.lines,
        "names": names(parsed),
        "odd": odd(parsed),
        "examples": {reason: lines.examples for reason, lines in sorted(parsed.odd.items())},
        "with addresses": {"networks": networks(with_addresses), "odd": odd(with_addresses)},
    }
    if parsed.details:
        said["details"] = details(parsed)
    if with_hosts.names != parsed.names or with_hosts.networks != with_addresses.networks:
        more = {host: reach for host, reach in names(with_hosts).items() if host not in names(parsed)}
        added = sorted(set(networks(with_hosts)) - set(networks(with_addresses)))
        said["with hosts of URLs"] = {"names": more, "networks": added, "odd": odd(with_hosts)}
    expected = FIXTURES / f"{name}.golden.json"
    if os.environ.get("PDNS_UPDATE_GOLDEN"):
        expected.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert said == json.loads(expected.read_text(encoding="utf-8"))
