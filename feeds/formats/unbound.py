"""unbound configuration: `local-zone: "x" always_nxdomain`, `local-data: "x A 0.0.0.0"`.

As in unbound, statements may stand on one line, and the parts of one on several.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from feeds.formats.collector import Collector
from feeds.normalise import Reason, is_cosmetic

_TOKEN = re.compile(rb"""\s+|(#.*)|([a-z][a-z0-9-]*:)(?=[\s"'#]|$)|"([^"]*)"?|'([^']*)'?|([^\s"']+)""", re.DOTALL).match
_DATA = re.compile(rb"\s*(\S+)\s+(?:\d+\s+)?(?:IN\s+)?([A-Za-z0-9]+)(?:\s|$)", re.IGNORECASE).match
_ATTRIBUTE = re.compile(rb"(local-zone|local-data):(.+)", re.DOTALL).fullmatch
_BLOCKING = frozenset((
    b"always_nxdomain", b"always_refuse", b"always_nodata", b"always_null", b"always_deny",
    b"static", b"redirect", b"refuse", b"deny", b"inform_deny", b"inform_redirect",
))  # fmt: skip
# Zones whose names are resolved as usual, and as such exceptions; all but the first answer with local data where there is some.
_ALWAYS_RESOLVED = b"always_transparent"
_RESOLVED = frozenset((_ALWAYS_RESOLVED, b"transparent", b"typetransparent", b"inform", b"nodefault"))
_KINDS = _BLOCKING | _RESOLVED
_CLAUSES = frozenset((
    b"server:", b"remote-control:", b"forward-zone:", b"stub-zone:", b"auth-zone:", b"view:", b"rpz:", b"python:", b"dynlib:",
    b"cachedb:", b"dnscrypt:", b"dnstap:", b"ipset:",
))  # fmt: skip


def read(lines: Iterable[bytes], out: Collector) -> None:
    """Collect every statement."""
    resolved: list[tuple[bytes, int, bytes]] = []
    answered: set[bytes] = set()
    attribute, values = b"", list[bytes]()
    at = out.line_number, out.line
    for line in lines:
        if is_cosmetic(line.strip()):
            out.refuse(Reason.COSMETIC)
            continue
        for token, is_attribute in _tokens(line):
            if is_attribute:
                _end(attribute, values, at, out)
                attribute, values, at = token, [], (out.line_number, out.line)
            elif not attribute:
                attribute, values, at = b"?", [token], (out.line_number, out.line)
            else:
                values.append(token)
            if attribute in _CLAUSES and not values:
                attribute = b""
            elif attribute == b"local-zone:" and len(values) == 2:
                if at[0] != out.line_number and values[1] not in _KINDS:  # a statement without its end, and a new line
                    _end(attribute, values[:1], at, out)
                    attribute, values, at = b"?", values[1:], (out.line_number, out.line)
                    continue
                _zone(values[0], values[1], resolved, out)
                attribute, values = b"", []
        if attribute == b"local-data:" and values:
            _data(values, answered, out)
            attribute, values = b"", []
        elif values and (attribute != b"local-zone:" or len(values) > 1):
            _end(attribute, values, at, out)
            attribute, values = b"", []
    _end(attribute, values, at, out)
    now = out.line_number, out.line
    for name, out.line_number, out.line in resolved:
        if name not in answered:
            out.add(name, allow=True)
    out.line_number, out.line = now


def _tokens(line: bytes) -> Iterator[tuple[bytes, bool]]:
    """Words of `line`, without quotes, and whether each is the name of an attribute, which ends in a colon."""
    end = 0
    while end < len(line) and (token := _TOKEN(line, end)) is not None:
        end = token.end()
        comment, attribute, *texts = token.groups()
        if comment is not None:
            return
        if attribute is not None:
            yield attribute, True
            continue
        text = next((text for text in texts if text is not None), None)
        if text is None:
            continue
        if (joined := _ATTRIBUTE(text)) is not None:  # `local-zone:x static`
            yield joined[1] + b":", True
            text = joined[2]
        yield text, False


def _zone(name: bytes, kind: bytes, resolved: list[tuple[bytes, int, bytes]], out: Collector) -> None:
    if kind in _BLOCKING:
        out.add(name)
    elif kind == _ALWAYS_RESOLVED:
        out.add(name, allow=True)
    elif kind in _RESOLVED:
        resolved.append((name.lower().removesuffix(b"."), out.line_number, out.line))
    else:
        out.refuse(Reason.UNSUPPORTED_RULE)


def _data(values: list[bytes], answered: set[bytes], out: Collector) -> None:
    """A record, in quotes or not."""
    data = _DATA(b" ".join(values))
    if data is not None and data[2].upper() in (b"A", b"AAAA"):
        answered.add(data[1].lower().removesuffix(b"."))
        out.add(data[1])
    else:
        out.refuse(Reason.UNSUPPORTED_RULE)


def _end(attribute: bytes, values: list[bytes], at: tuple[int, bytes], out: Collector) -> None:
    """Count a statement that lists nothing."""
    if not attribute:
        return
    now = out.line_number, out.line
    out.line_number, out.line = at
    if attribute == b"local-data:" and values:
        _data(values, set(), out)
    else:
        out.refuse(Reason.UNKNOWN_LINE if attribute == b"?" else Reason.UNSUPPORTED_RULE)
    out.line_number, out.line = now
