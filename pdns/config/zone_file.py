"""Zone files (RFC 1035, 5)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from pdns.config.rdata_text import WORD, name_of, rdata_of, ttl_of, type_of
from pdns.errors import InvalidName, InvalidRecord
from pdns.wire import names
from pdns.wire import protocol as p

DEFAULT_TTL_S: Final = 300
MAX_WORDS: Final = 1000  # of one record
# What signs a zone, or says who may: answers from here are not signed.
SIGNATURES: Final = frozenset(
    ("RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDS", "CDNSKEY", "DS", "ZONEMD", "DLV", "KEY", "SIG", "NXT")
)
_CLASSES: Final = frozenset(("IN", "CH", "HS", "CS"))
_TOKENS: Final = re.compile(rf"({WORD})|[ \t\r]+|;[^\n]*|(\n)|(\()|(\))|(.)", re.DOTALL)


class ZoneRecord(NamedTuple):
    """One record."""

    line: int
    name: bytes
    rtype: int
    ttl_s: int
    rdata: bytes


class ZoneMistake(NamedTuple):
    """A record that is not valid."""

    line: int
    reason: str


class Skipped(NamedTuple):
    """A record that only a signed zone has use for."""

    line: int


class _ZoneLine(NamedTuple):
    line: int
    continues: bool  # it begins with a blank: it has the owner of the one before
    words: list[str]


def read_zone(content: bytes) -> Iterator[ZoneRecord | ZoneMistake | Skipped]:
    """Every record of a zone file, and every mistake in it. After a mistake in the quotes or parentheses nothing follows."""
    zone = _ZoneReader()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        yield ZoneMistake(content.count(b"\n", 0, error.start) + 1, "not UTF-8")
        return
    line = 1
    try:
        for entry in _entries(text):
            line = entry.line
            try:
                if (read := zone.read(entry)) is not None:
                    yield read
            except InvalidRecord as error:
                yield ZoneMistake(line, error.reason)
    except _BrokenError as error:
        yield ZoneMistake(error.line, error.reason)


class _BrokenError(Exception):
    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line, self.reason = line, reason


def _entries(text: str) -> Iterator[_ZoneLine]:
    line = first = 1
    depth = opened = 0
    words: list[str] = []
    continues, at_start = False, True
    for match in _TOKENS.finditer(text):
        word, newline, opens, closes, other = match.groups()
        if word is not None:
            if not words:
                first = line
            words.append(word)
            if len(words) > MAX_WORDS:
                raise _BrokenError(first, f"a record of over {MAX_WORDS:,} words")
        elif newline is not None:
            line += 1
            if not depth:
                if words:
                    yield _ZoneLine(first, continues, words)
                words, continues, at_start = [], False, True
                continue
        elif opens is not None:
            depth, opened = depth + 1, line
            if depth > 1:
                raise _BrokenError(line, "a parenthesis inside parentheses")
        elif closes is not None:
            if not depth:
                raise _BrokenError(line, "a parenthesis closes that none opened")
            depth -= 1
        elif other is not None:
            raise _BrokenError(
                line, "a quote that is not closed" if other == '"' else "a backslash at the end, or a strange character"
            )
        elif at_start and match[0][0] != ";":
            continues = True
        at_start = False
    if depth:
        raise _BrokenError(opened, "a parenthesis that is not closed")
    if words:
        yield _ZoneLine(first, continues, words)


def _escaped_at_end(text: str) -> bool:
    """Whether the last character has an escape before it."""
    before = text[:-1]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


class _ZoneReader:
    def __init__(self) -> None:
        self._origin: bytes | None = None
        self._default_ttl_s: int | None = None
        self._last_ttl_s: int | None = None
        self._owner: bytes | None = None
        self._apex: bytes | None = None  # the owner of the SOA record

    def read(self, entry: _ZoneLine) -> ZoneRecord | Skipped | None:
        words = entry.words
        if words[0].startswith("$") and not entry.continues:
            self._directive(words)
            return None
        if not entry.continues:
            self._owner = None
            self._owner = name_of(words[0], self._absolute)
            words = words[1:]
        if self._owner is None:
            raise InvalidRecord("no name: the record before has none either")
        ttl_s: int | None = None
        while words and ((ttl := ttl_of(words[0])) is not None or words[0].upper() in _CLASSES):
            if ttl is None and words[0].upper() != "IN":
                raise InvalidRecord("class IN only")
            ttl_s = ttl if ttl is not None else ttl_s
            words = words[1:]
        if not words:
            raise InvalidRecord("expected a type")
        if words[0].upper() in SIGNATURES:
            return Skipped(entry.line)
        rtype = type_of(words[0])
        rdata = rdata_of(rtype, words[1:], self._absolute)
        self._check_place(self._owner, rtype)
        return ZoneRecord(entry.line, self._owner, rtype, self._ttl(ttl_s, rtype, rdata), rdata)

    def _directive(self, words: list[str]) -> None:
        match words[0].upper(), words[1:]:
            case "$ORIGIN", [name]:
                self._origin = name_of(name, self._absolute)
            case "$TTL", [text] if (ttl_s := ttl_of(text)) is not None:
                self._default_ttl_s = ttl_s
            case "$INCLUDE", _:
                raise InvalidRecord("$INCLUDE is not supported: name the file in local.zone_files")
            case "$GENERATE", _:
                raise InvalidRecord("$GENERATE is not supported: write the records out, or use a wildcard")
            case _:
                raise InvalidRecord("expected $ORIGIN NAME, $TTL SECONDS or a record")

    def _absolute(self, text: str) -> bytes:
        if text == "@":
            return self._origin_of(text)
        name = names.from_text(text)
        if text.endswith(".") and not _escaped_at_end(text):
            return name
        whole = name[:-1] + self._origin_of(text)
        if len(whole) > names.MAX_NAME_BYTES:
            raise InvalidName("name over 255 bytes")
        return whole

    def _origin_of(self, text: str) -> bytes:
        if self._origin is None:
            raise InvalidName(
                f'"{text}" needs a line "$ORIGIN corp.example." before it'
                if text == "@"
                else "no final dot, and no $ORIGIN before"
            )
        return self._origin

    def _ttl(self, ttl_s: int | None, rtype: int, rdata: bytes) -> int:
        if ttl_s is None:
            ttl_s = self._default_ttl_s if self._default_ttl_s is not None else self._last_ttl_s
        if ttl_s is None:  # RFC 1035, 5.1, and the older meaning of the last field of the SOA
            ttl_s = int.from_bytes(rdata[-4:]) if rtype == p.SOA else DEFAULT_TTL_S
        self._last_ttl_s = ttl_s
        return ttl_s

    def _check_place(self, owner: bytes, rtype: int) -> None:
        if rtype == p.SOA:
            if self._apex is not None:
                raise InvalidRecord("a second SOA record")
            self._apex = owner
        if self._apex is not None and not names.is_at_or_below(owner, self._apex):
            raise InvalidRecord(f"{names.to_text(owner)} is outside the zone {names.to_text(self._apex)}")
        if rtype == p.NS and owner != self._apex:
            raise InvalidRecord(f"{names.to_text(owner)} is delegated: leave it out, and forward it to its servers")
