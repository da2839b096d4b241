"""dnsmasq configuration: `address=/x/0.0.0.0`, `local=/x/`, `server=/x/`, with any number of names between the slashes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from feeds.formats.collector import MAX_LINE_VALUES, Collector
from feeds.normalise import Reason

# `address` blocks wherever it points to; the others forward when a server stands behind the last slash, and so are exceptions.
_RULE = re.compile(rb"(?:address\s*=\s*/(.*)/[^/]*|(?:local|server)\s*=\s*/(.*)/([^/]*))").fullmatch


def read(lines: Iterable[bytes], out: Collector) -> None:
    """Collect every line."""
    for line in lines:
        text = line.partition(b" #")[0].strip()
        if not text or text.startswith(b"#"):
            continue
        if (rule := _RULE(text)) is None:
            out.refuse(Reason.UNSUPPORTED_RULE if b"=" in text else Reason.UNKNOWN_LINE)
            continue
        names = (rule[1] or rule[2] or b"").split(b"/")
        if len(names) > MAX_LINE_VALUES:
            out.refuse(Reason.TOO_MANY_VALUES)
            continue
        forwarded = bool(rule[3])
        for name in names:
            if name == b"#":
                out.refuse(Reason.PATTERN)  # every name there is
            else:
                out.add(name, allow=forwarded)
