"""A list in each format, with every odd line that real lists hold, and all that is made of it.

`PDNS_UPDATE_GOLDEN=1` writes the expectations anew; read the difference before keeping it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from feeds.parse import parse_feed
from pdns.config import Feed
from tests.unit.feeds.reading import names, networks, odd

FIXTURES = Path(__file__).parents[2] / "fixtures" / "feeds"
LISTS = sorted(path.name for path in FIXTURES.iterdir() if path.suffix != ".json")


@pytest.mark.parametrize("name", LISTS)
def test_golden(name: str) -> None:
    """The format is detected, each line is listed as it should be or counted by the right reason, with examples."""
    parsed = parse_feed(FIXTURES / name, Feed(name="golden", url="file:///golden"))
    with_addresses = parse_feed(FIXTURES / name, Feed(name="golden", url="file:///golden", addresses=True))
    assert with_addresses.names == parsed.names
    said = {
        "format": parsed.format,
        "lines": parsed.lines,
        "names": names(parsed),
        "odd": odd(parsed),
        "examples": {reason: lines.examples for reason, lines in sorted(parsed.odd.items())},
        "with addresses": {"networks": networks(with_addresses), "odd": odd(with_addresses)},
    }
    expected = FIXTURES / f"{name}.golden.json"
    if os.environ.get("PDNS_UPDATE_GOLDEN"):
        expected.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert said == json.loads(expected.read_text(encoding="utf-8"))
