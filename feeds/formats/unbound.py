"""unbound configuration: `local-zone: "x" always_nxdomain`, `local-data: "x A 0.0.0.0"`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from feeds.formats.collector import Collector
from feeds.normalise import Reason

_ZONE = re.compile(rb"""local-zone:\s*["']?([^\s"']+)["']?\s+["']?([a-z_]+)["']?\s*(?:#.*)?""").fullmatch
_DATA = re.compile(rb"""local-data:\s*["']?([^\s"']+)\s+(?:\d+\s+)?(?:IN\s+)?([A-Za-z0-9]+)\s""").match
_BLOCKING = frozenset((
    b"always_nxdomain", b"always_refuse", b"always_nodata", b"always_null", b"always_deny",
    b"static", b"redirect", b"refuse", b"deny", b"inform_deny", b"inform_redirect",
))  # fmt: skip
_STRUCTURE = (b"server:", b"#")


def read(lines: Iterable[bytes], out: Collector) -> None:
    """Collect every line."""
    for line in lines:
        text = line.strip()
        if not text or text.startswith(_STRUCTURE):
            continue
        if (zone := _ZONE(text)) is not None and zone[2] in _BLOCKING:
            out.add(zone[1])
        elif (data := _DATA(text)) is not None and data[2].upper() in (b"A", b"AAAA"):
            out.add(data[1])
        else:
            out.refuse(Reason.UNSUPPORTED_RULE if b":" in text else Reason.UNKNOWN_LINE)
