"""The formats that lists come in: one module each, with a `read(lines, out)`; and how to tell them apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from feeds.formats import adblock, bind, dnsmasq, domains, hosts, rpz, unbound, wildcard
from feeds.formats.collector import Collector

READERS: Final[dict[str, Callable[[Iterable[bytes], Collector], None]]] = {
    "adblock": adblock.read,
    "bind": bind.read,
    "dnsmasq": dnsmasq.read,
    "domains": domains.read,
    "hosts": hosts.read,
    "rpz": rpz.read,
    "unbound": unbound.read,
    "wildcard": wildcard.read,
}

# What a line of each format looks like that no other format has; the first that fits counts.
_SHAPES: Final = tuple(
    (name, re.compile(pattern, re.IGNORECASE).match)
    for name, pattern in (
        ("dnsmasq", rb"(?:address|local|server)\s*=\s*/"),
        ("unbound", rb"local-(?:zone|data)\s*:"),
        ("bind", rb'zone\s+"[^"]+"\s'),
        ("adblock", rb"(?:@@)?\|\|?[^\s|]|\[adblock"),
        ("hosts", rb"(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|[0-9a-f]{0,4}:[0-9a-f:.]{1,41}|0)\s+[a-z0-9_*.-]+\s*(?:#|$)"),
        ("rpz", rb"\$(?:TTL|ORIGIN)\s|\S*\s+(?:\d\w*\s+)?(?:IN\s+)?(?:(?:SOA|NS|CNAME)\s+\S+|A{1,4}\s+[\da-f:.]+\s*$)"),
        ("wildcard", rb"\*\.[^\s*]+\s*(?:#|$)"),
    )
)
_COMMENT = (b"#", b";", b"//")
_LOOKED_AT_BYTES = 512
_SHARE = 10  # a format needs one line in so many


def detect(lines: Iterable[bytes]) -> str:
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
        if start.startswith(b"!"):
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
