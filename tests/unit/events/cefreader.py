"""Reads CEF as a SIEM does, to compare what arrives with what was sent."""

from __future__ import annotations

import re

_PAIR = re.compile(r"(?:^| )([A-Za-z0-9]+)=((?:[^=\\]|\\.)*?)(?= [A-Za-z0-9]+=|\Z)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r"}


def unescaped(text: str) -> str:
    return re.sub(
        r"\\(?:u([0-9a-f]{4})|(.))",
        lambda found: chr(int(found[1], 16)) if found[1] else _ESCAPES.get(found[2], found[2]),
        text,
        flags=re.DOTALL,
    )


def parse_cef(line: str) -> tuple[list[str], dict[str, str]]:
    """The fields of the header, and the values by key."""
    fields = _split(line)
    return [unescaped(field) for field in fields[:7]], {key: unescaped(value) for key, value in _PAIR.findall(fields[7])}


def _split(line: str) -> list[str]:
    fields: list[str] = []
    field, at = "", 0
    while len(fields) < 7:
        if line[at] == "\\":
            field += line[at : at + 2]
            at += 2
        elif line[at] == "|":
            fields.append(field)
            field = ""
            at += 1
        else:
            field += line[at]
            at += 1
    return [*fields, line[at:]]
