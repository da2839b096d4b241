"""BIND configuration: `zone "x" { type master; file "null.zone"; };`, a zone a line."""

from __future__ import annotations

import re
from collections.abc import Iterable

from feeds.formats.collector import Collector
from feeds.normalise import Reason

_ZONE = re.compile(
    rb"""zone\s+"([^"\s]+)"\s+(?:in\s+)?(?>\{[^}]*?\btype\s+)(?:master|primary)\b[^}]*\}\s*;?\s*(?:(?:#|//).*)?""", re.IGNORECASE
).fullmatch


def read(lines: Iterable[bytes], out: Collector) -> None:
    """Collect every line. Only a zone that is answered from a file here blocks; one that is fetched or forwarded does not."""
    for line in lines:
        text = line.strip()
        if not text or text.startswith((b"#", b"//")):
            continue
        if (zone := _ZONE(text)) is not None:
            out.add(zone[1])
        else:
            out.refuse(Reason.UNSUPPORTED_RULE if text.startswith(b"zone") else Reason.UNKNOWN_LINE)
