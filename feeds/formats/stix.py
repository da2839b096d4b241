"""STIX 2: bundles, and what TAXII 2.1 answers. Indicators are read, as far as their patterns are about names and addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Raw

from feeds.annotations import NameAnnotation
from feeds.formats import json_values
from feeds.formats.annotations import link, seconds, words
from feeds.formats.collector import Collector
from feeds.formats.content import Content
from feeds.normalise import Reason

MAX_PATTERN_CHARACTERS: Final = 64 * 1024

_PLAIN = re.compile(r"\[\s*([a-z0-9-]+:value)\s*=\s*'([^'\\]*)'\s*\]").fullmatch
_LITERAL = r"(?:[tbh]?'(?:[^'\\]|\\.)*'|[+-]?\d+(?:\.\d+)?|true|false)"
_TOKEN = re.compile(
    rf"""
    (?P<comparison>
        (?P<path>[a-z0-9-]+:[\w-]+(?:\.(?:[\w-]+|'(?:[^'\\]|\\.)*')|\[(?:\d+|\*)\])*)
        \s*(?P<not>NOT\s+)?(?P<operator>=|!=|<>|<=|>=|<|>|\bIN\b|\bLIKE\b|\bMATCHES\b|\bISSUBSET\b|\bISSUPERSET\b)
        \s*(?P<value>{_LITERAL}|\(\s*{_LITERAL}(?:\s*,\s*{_LITERAL})*\s*\))
    )
    |(?P<or>OR\b)
    |(?P<and>(?:AND|FOLLOWEDBY)\b)
    |(?P<qualifier>WITHIN\s+\d+(?:\.\d+)?\s+SECONDS\b|REPEATS\s+\d+\s+TIMES\b|START\s+{_LITERAL}\s+STOP\s+{_LITERAL})
    |(?P<exists>EXISTS\s+[a-z0-9-]+:[^\s\])]+)
    |(?P<mark>[\[\]()])
    |\s+
    """,
    re.VERBOSE,
)
_STRING = re.compile(r"'((?:[^'\\]|\\.)*)'")
_ESCAPE = re.compile(r"\\(.)")
_LETTERS = {"comparison": "c", "exists": "c", "or": "o", "and": "o", "qualifier": "q"}
# A bracket holds comparisons, and a pattern brackets, with operators between; whether parentheses match is counted.
_WHOLE = re.compile(r"\(*\[\(*c\)*(?:o\(*c\)*)*\][)q]*(?:o\(*\[\(*c\)*(?:o\(*c\)*)*\][)q]*)*").fullmatch
_NAMES, _URLS, _ADDRESSES = "domain-name:value", "url:value", ("ipv4-addr:value", "ipv6-addr:value")


class _Reference(msgspec.Struct):
    url: str | None = None


class _Object(msgspec.Struct):
    type: str = ""
    id: str = ""
    name: str | None = None
    pattern: str | None = None
    pattern_type: str = "stix"  # STIX 2.0 has no other
    valid_from: str | None = None
    valid_until: str | None = None
    revoked: bool = False
    labels: list[str] | None = None
    indicator_types: list[str] | None = None
    external_references: list[_Reference] | None = None
    relationship_type: str | None = None
    source_ref: str | None = None
    target_ref: str | None = None


def read(content: Content, out: Collector) -> None:
    """Collect every indicator."""
    document = json_values.document(content)
    objects = json_values.items(json_values.fields(document).get("objects", document))
    threats = _threats(objects)
    for raw in objects:
        found = json_values.decoded(raw, _Object)
        if found is None:
            out.begin(bytes(raw))
            out.refuse(Reason.BAD_ENTRY)
        elif found.type == "indicator":
            out.begin((found.pattern or "").encode("utf-8", "surrogatepass") or bytes(raw), _detail(found, threats))
            _read(found, out)


def _threats(objects: list[Raw]) -> dict[str, str]:
    """The name of the threat that an indicator's id indicates."""
    names: dict[str, str] = {}
    indicates: dict[str, str] = {}
    for raw in objects:
        found = json_values.decoded(raw, _Object)
        if found is None:
            continue
        if found.type == "relationship" and found.relationship_type == "indicates" and found.source_ref and found.target_ref:
            indicates.setdefault(found.source_ref, found.target_ref)
        elif found.type not in ("indicator", "relationship") and found.name:
            names[found.id] = words(found.name)
    return {indicator: names[threat] for indicator, threat in indicates.items() if threat in names}


def _detail(found: _Object, threats: Mapping[str, str]) -> NameAnnotation:
    kinds = ", ".join(found.labels or found.indicator_types or ())
    urls = (reference.url for reference in found.external_references or ())
    return NameAnnotation(
        threat=threats.get(found.id) or words(found.name) or words(kinds),
        reference=next(filter(None, map(link, urls)), ""),
        first_seen_s=seconds(found.valid_from),
        expires_s=seconds(found.valid_until),
    )


def _read(found: _Object, out: Collector) -> None:
    if found.revoked:
        out.refuse(Reason.WITHDRAWN)
    elif not found.pattern:
        out.refuse(Reason.NO_VALUE)
    elif found.pattern_type != "stix":
        out.refuse(Reason.UNSUPPORTED_RULE)
    else:
        comparisons = _comparisons(found.pattern)
        if isinstance(comparisons, Reason):
            out.refuse(comparisons)
            return
        for path, value in comparisons:
            _add(path, value, out)


def _add(path: str, value: str, out: Collector) -> None:
    token = value.strip().encode("utf-8", "surrogatepass")
    if path == _NAMES:
        out.add(token)
    elif path == _URLS:
        out.add_url(token)
    elif path in _ADDRESSES:
        out.add_address(token)
    else:
        out.refuse(Reason.OTHER_INDICATOR)


def _comparisons(pattern: str) -> list[tuple[str, str]] | Reason:
    """(path, value) of everything that matches `pattern` by itself; the reason when it is malformed, or asks for more at once."""
    if (plain := _PLAIN(pattern)) is not None:
        return [(plain[1], plain[2])]
    if len(pattern) > MAX_PATTERN_CHARACTERS:
        return Reason.LINE_TOO_LONG
    shape, tokens, end = [], [], 0
    while end < len(pattern):
        token = _TOKEN.match(pattern, end)
        if token is None:
            return Reason.BAD_ENTRY
        end = token.end()
        if token.lastgroup is not None:
            tokens.append(token)
            kind = "comparison" if token["comparison"] else token.lastgroup
            shape.append(_LETTERS.get(kind) or token[0])
    marks = "".join(shape)
    if _WHOLE(marks) is None or marks.count("(") != marks.count(")"):
        return Reason.BAD_ENTRY
    compared = [token for token in tokens if token["comparison"]]
    about_files = not any(token["path"] in (_NAMES, _URLS, *_ADDRESSES) for token in compared)
    if about_files:
        return Reason.OTHER_INDICATOR
    if any(token["and"] or token["qualifier"] or token["exists"] for token in tokens):
        return Reason.UNSUPPORTED_RULE  # only together with something else
    found: list[tuple[str, str]] = []
    for token in compared:
        if token["not"] or token["operator"] not in ("=", "IN", "ISSUBSET"):
            return Reason.UNSUPPORTED_RULE
        found.extend((token["path"], value) for value in _strings(token["value"]))
    return found


def _strings(literals: str) -> Iterator[str]:
    for string in _STRING.finditer(literals):
        yield _ESCAPE.sub(r"\1", string[1])
