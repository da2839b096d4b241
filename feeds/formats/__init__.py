"""The formats that lists come in: one module each, with a `read`; and how they are detected."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from feeds.formats import (
    adblock,
    bind,
    dnsmasq,
    domains,
    hosts,
    json_values,
    misp,
    rpz,
    stix,
    table,
    threatfox,
    unbound,
    urlhaus,
    wildcard,
)
from feeds.formats.collector import Collector, visible
from feeds.formats.content import Content
from feeds.normalise import COSMETIC, is_cosmetic
from pdns.config.addresses import web_kind
from pdns.errors import FeedError

Reader = Callable[[Content, Collector], None]


def _by_line(read: Callable[[Iterable[bytes], Collector], None]) -> Reader:
    return lambda content, out: read(content.lines(out), out)


READERS: Final[dict[str, Reader]] = {
    "adblock": adblock.read,
    "bind": _by_line(bind.read),
    "csv": table.read,
    "dnsmasq": _by_line(dnsmasq.read),
    "domains": domains.read,
    "hosts": hosts.read,
    "json": json_values.read,
    "jsonl": json_values.read_lines,
    "misp": misp.read,
    "rpz": _by_line(rpz.read),
    "stix": stix.read,
    "threatfox": threatfox.read,
    "unbound": _by_line(unbound.read),
    "urlhaus": urlhaus.read,
    "wildcard": wildcard.read,
}

# In these `*.x` is a custom, not a syntax that says how far it reaches.
MAYBE_APEX: Final = frozenset(("csv", "domains", "hosts", "json", "jsonl", "wildcard"))

# What a line of each format looks like that no other format has; the first that fits counts.
_SHAPES: Final = tuple(
    (name, re.compile(pattern, re.IGNORECASE).match)
    for name, pattern in (
        ("dnsmasq", rb"(?:address|local|server)\s*=\s*/"),
        ("unbound", rb"(?:server:\s+)?local-(?:zone|data)\s*:"),
        ("bind", rb'zone\s+"?[^\s"{};]+"?\s*(?:in\s*)?\{'),
        ("adblock", rb"(?:@@)?\|\|?[^\s|]|\[adblock|" + COSMETIC),
        ("hosts", rb"(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|[0-9a-f]{0,4}:[0-9a-f:.]{1,41}|0)\s+[a-z0-9_*.-]+\s*(?:#|$)"),
        ("rpz", rb"\$(?:TTL|ORIGIN)\s|\S*\s+(?:\d\w*\s+)?(?:IN\s+)?(?:(?:SOA|NS|CNAME)\s+\S+|A{1,4}\s+[\da-f:.]+\s*$)"),
        ("wildcard", rb"\*\.[^\s*]+\s*(?:#|$)"),
    )
)
_BARE = re.compile(rb"[\w.-]+").fullmatch  # no shape fits, and it is no comment: most lines of most lists
# What documents are made of, as opposed to lines; the first of which everything is there counts.
_JSON = re.compile(rb"""\s*(?:\{\s*(?:"|\})|\[\s*(?:[\[{"\]]|-?\d+\s*[,\]]))""").match
_JSON_SHAPES: Final = tuple(
    (name, [re.compile(rb'"' + key + rb'"\s*:').search for key in keys])
    for name, keys in (
        ("stix", (rb"objects", rb"spec_version")),
        ("stix", (rb"objects", rb"pattern")),
        ("misp", (rb"Event",)),
        ("misp", (rb"Attribute",)),
        ("misp", (rb"to_ids", rb"value")),
        ("threatfox", (rb"ioc_type", rb"threat_type")),
        ("urlhaus", (rb"urlhaus_link", rb"url")),
        ("urlhaus", (rb"urlhaus_reference", rb"url")),
    )
)
_CSV_HEADERS: Final = (
    ("threatfox", re.compile(rb'^#?[ \t]*"?(?:[\w"]+,[ \t]*)*"?ioc_value"?,[ \t]*"?ioc_type"?,', re.MULTILINE).search),
    ("urlhaus", re.compile(rb"^#?[ \t]*id,dateadded,url,", re.MULTILINE).search),
)
_CSV_ROW = re.compile(rb"""[^\s,|#@/*$][^,|#@$]*,""").match
_OF_TRANSPORT: Final = {"taxii+": "stix", "misp+": "misp", "misp-api+": "misp"}  # whatever is in it, if anything
_COMMENT = (b"#", b";", b"//")
_LOOKED_AT_BYTES = 512
_SHARE = 10  # a format needs one line in so many


def detect(content: Content) -> str:
    """The name of the format that `content` is in; "domains" when nothing points elsewhere.

    Raises `FeedError` when it is CSV, or JSON of a layout that is not known: where in it the names are, only its owner can say.
    """
    if (kind := web_kind(content.feed.url)) in _OF_TRANSPORT:
        return _OF_TRANSPORT[kind]
    if _JSON(content.head):
        if (name := _json_layout(content.head)) is not None:
            return name
        advice = 'set format = "json" ("jsonl" for a document on each line) and json_path, such as "data[].host"'
        raise FeedError(content.feed.name, f"JSON, and not clear where in it the names are: {advice}")
    for name, header in _CSV_HEADERS:
        if header(content.head):
            return name
    lines = content.sample.splitlines()
    if not any(map(is_cosmetic, lines)) and (row := _only_rows(lines)) is not None:
        advice = f'set format = "csv" and column, to one of {visible(row)} or to a number'
        raise FeedError(content.feed.name, f"CSV, and not clear in which column the names are: {advice}")
    return detect_lines(lines)


def _only_rows(lines: Iterable[bytes]) -> bytes | None:
    """The first row, when all of `lines` but the comments are rows of CSV."""
    rows = (text for line in lines if (text := line[:_LOOKED_AT_BYTES].strip()) and not text.startswith(_COMMENT))
    first = next(rows, None)
    return first if first is not None and _CSV_ROW(first) and all(_CSV_ROW(row) for row in rows) else None


def _json_layout(sample: bytes) -> str | None:
    return next((name for name, keys in _JSON_SHAPES if all(key(sample) for key in keys)), None)


def detect_lines(lines: Iterable[bytes]) -> str:
    """The name of the format that `lines`, a sample of a list, are in; "domains" when nothing points elsewhere.

    Lists of bare names may hold lines of other formats, and adblock lists begin with any number of bare names: comments
    that start with `!` tell those.
    """
    seen: Counter[str] = Counter()
    content = bangs = comments = 0
    for line in lines:
        text = line[:_LOOKED_AT_BYTES].rstrip()
        start = text.lstrip()
        if not start:
            continue
        if _BARE(start):
            content += 1
        elif start.startswith(b"!"):
            bangs += 1
        elif start.startswith(_COMMENT) and not start.startswith(b"##"):
            comments += 1
        else:
            content += 1
            for name, fits in _SHAPES:
                if fits(text if name == "rpz" else start):
                    seen[name] += 1
                    break
    if seen:
        name, count = seen.most_common(1)[0]
        if count * _SHARE >= content:
            return name
    return "adblock" if bangs > comments else "domains"
