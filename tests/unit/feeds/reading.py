"""Reading a list as the program does, and saying what came of it in words."""

from __future__ import annotations

import json
import tempfile
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec

from feeds.parse import ParsedFeed, parse_feed
from pdns.config.schema import Feed
from pdns.config.value_types import FeedFormat
from pdns.wire.names import from_reversed_key, to_text

_REACH = {0: "", 1: "exact", 2: "below", 3: "subtree"}


def read(content: bytes | str, format: FeedFormat = "auto", **settings: Any) -> ParsedFeed:  # noqa: A002 - as in the configuration
    """What `content` lists, as a file of its own, in a feed with `settings`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "list"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return parse_feed(path, Feed(name="test", url=path.as_uri(), format=format, **settings))


def bundle(*indicators: dict[str, Any]) -> str:
    """A STIX bundle of these indicators."""
    return json.dumps({"type": "bundle", "objects": [{"type": "indicator", **indicator} for indicator in indicators]})


def details(parsed: ParsedFeed) -> dict[str, dict[str, str | float]]:
    """Name -> what the publisher says of it, without what it does not say."""
    said = {}
    for key, number in parsed.detail_of.items():
        facts = msgspec.structs.asdict(parsed.details[number])
        said[to_text(from_reversed_key(key))] = {fact: value for fact, value in facts.items() if value}
    return dict(sorted(said.items()))


def names(parsed: ParsedFeed) -> dict[str, str]:
    """Name -> "subtree", "exact", "below" or nothing, then "allow ..." when it has an exception."""
    said = {}
    for key, bits in parsed.names.items():
        allow = f"allow {_REACH[bits >> 2]}" if bits >> 2 else ""
        said[to_text(from_reversed_key(key))] = " ".join(part for part in (_REACH[bits & 3], allow) if part)
    return dict(sorted(said.items()))


def networks(parsed: ParsedFeed) -> list[str]:
    """Every network, as text."""
    return sorted(f"{ip_address(key[:-1])}/{key[-1]}" for key in parsed.networks)


def odd(parsed: ParsedFeed) -> dict[str, int]:
    """Reason -> count."""
    return {reason: lines.count for reason, lines in sorted(parsed.odd.items())}
