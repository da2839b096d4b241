"""hosts(5): an address, then names. Whatever the address, the names are what the list is about."""

from __future__ import annotations

import re
from collections.abc import Sequence

from feeds.formats.collector import MAX_LINE_VALUES, Collector
from feeds.formats.content import Content
from feeds.normalise import PLAIN_NAME, NetworkEntry, Reason, is_cosmetic, read_entry

SINKHOLES = frozenset((b"0.0.0.0", b"127.0.0.1", b"::", b"::1", b"0"))
_COMMENT = re.compile(rb"(?:#|\s[;!]|\s//).*|^[;!].*", re.DOTALL)


_PLAIN_LINES = re.compile(rb"^(?:0\.0\.0\.0|127\.0\.0\.1)[ \t]+(" + PLAIN_NAME + rb")\r?\n", re.MULTILINE).findall


def read(content: Content, out: Collector) -> None:
    """Collect every line. One name alone, without an address, is taken for what it is."""
    for line in content.lines_but(_PLAIN_LINES, out):
        if b"#" in line or b";" in line or b"!" in line or b"//" in line:
            if is_cosmetic(line.lstrip()):
                out.refuse(Reason.COSMETIC)
                continue
            line = _COMMENT.sub(b"", line)  # noqa: PLW2901 - the rest of the line is gone
        tokens = line.split()
        if len(tokens) == 2 and tokens[0] in SINKHOLES:
            _add(tokens[1], out)
        elif tokens:
            read_tokens(tokens, out)


def read_tokens(tokens: Sequence[bytes], out: Collector) -> None:
    """Collect one line without its comment."""
    first, *names = tokens
    if not names:
        out.add(first)
    elif len(names) > MAX_LINE_VALUES:
        out.refuse(Reason.TOO_MANY_VALUES)
    elif is_address(first):
        for name in names:
            _add(name, out)
    else:
        out.refuse(Reason.MARKUP if first.startswith(b"<") else Reason.UNKNOWN_LINE)


def is_address(token: bytes) -> bool:
    """Whether `token` is an IP address, in whatever notation."""
    if token in SINKHOLES:
        return True
    entry = read_entry(token)
    return (entry.reason if isinstance(entry, NetworkEntry) else entry) is Reason.ADDRESS


def _add(name: bytes, out: Collector) -> None:
    if name in SINKHOLES:
        out.refuse(Reason.LOCAL_NAME)  # `0.0.0.0 0.0.0.0`
    else:
        out.add(name)
