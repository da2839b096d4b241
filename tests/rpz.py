"""Blocksets of response policy zones, read and compiled as the program does it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from feeds.parse import ParsedFeed, parse_feed
from pdns.blockset.reader import Blockset
from pdns.config.schema import Feed
from tests.blocksets import compile_parsed

HEAD = "$TTL 30\n@ SOA localhost. root.localhost. 1 60 60 600 60\n@ NS localhost.\n"
GIVEN: dict[str, Any] = {"format": "rpz", "rpz_action": "given", "addresses": True}


def read_zone(text: str, name: str = "zone", **settings: Any) -> ParsedFeed:
    """What the records `text` of a zone `rpz.name.` list, in a feed that honours what is given."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "zone"
        path.write_text(f"$ORIGIN rpz.{name}.\n{HEAD}{text}")
        return parse_feed(path, rpz_feed(name, **settings))


def rpz_feed(name: str = "zone", **settings: Any) -> Feed:
    return Feed(name=name, url="file:///zone", **{**GIVEN, **settings})


def compiled(zones: dict[str, str], **settings: Any) -> Blockset:
    """The blockset of zones: feed -> records, in this order."""
    with tempfile.TemporaryDirectory() as folder:
        lists = [(rpz_feed(name, **settings), read_zone(text, name, **settings)) for name, text in zones.items()]
        compile_parsed(lists, Path(folder) / "blockset", generation=1, created_s=0.0)
        return Blockset.open(Path(folder) / "blockset")
