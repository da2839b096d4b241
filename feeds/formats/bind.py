"""BIND configuration: `zone "x" { type master; file "null.zone"; };`, on one line or several, in `view` or not."""

from __future__ import annotations

import re
from collections.abc import Iterable

from feeds.formats.collector import Collector
from feeds.normalise import Reason

_TOKEN = re.compile(rb"""\s+|(/\*)|((?:\#|//).*)|"([^"]*)"?|([{};])|([^\s{};"\#]+)""", re.DOTALL).match
_STATEMENTS = frozenset((
    b"acl", b"controls", b"dlz", b"dnssec-policy", b"dyndb", b"http", b"include", b"key", b"key-store", b"logging", b"lwres",
    b"managed-keys", b"masters", b"options", b"parental-agents", b"plugin", b"primaries", b"remote-servers", b"server",
    b"statistics-channels", b"template", b"tls", b"trust-anchors", b"trusted-keys", b"view", b"zone",
))  # fmt: skip
_ANSWERED_HERE = frozenset((b"master", b"primary"))
_CLASSES = frozenset((b"in", b"ch", b"hs", b"chaos", b"hesiod"))


def read(lines: Iterable[bytes], out: Collector) -> None:
    """Collect every statement. Only a zone that is answered from a file here blocks, not one that is fetched or forwarded."""
    statement = _Statement()
    comment = False
    for line in lines:
        end = 0
        while end < len(line):
            if comment:
                end = line.find(b"*/", end) + 2
                if end < 2:
                    break
                comment = False
            token = _TOKEN(line, end)
            if token is None:
                break
            end = token.end()
            begins_comment, rest, quoted, mark, word = token.groups()
            comment = begins_comment is not None
            if rest is not None:
                break
            if mark is not None:
                statement.mark(mark, out)
            elif quoted is not None or word is not None:
                statement.word(quoted if quoted is not None else word, out, quoted=quoted is not None)
        statement.end_line(out)
    statement.give_up(out)
    if comment:
        out.refuse(Reason.BAD_ENTRY)  # it has no end


class _Statement:
    """The statement that is being read."""

    def __init__(self) -> None:
        self._words: list[bytes] = []  # before its block
        self._depth = 0  # of blocks
        self._view = 0  # of views around it
        self._clause: list[bytes] = []  # in its own block
        self._type = b""
        self._at = 0, b""
        self._line_begins = True

    def word(self, text: bytes, out: Collector, *, quoted: bool) -> None:
        first, self._line_begins = self._line_begins, False
        if self._depth and first and not quoted and text.lower() == b"zone":
            self._refuse(out, Reason.BAD_ENTRY)  # a brace of the statement before is missing
        if self._depth:
            if self._depth == 1:
                self._clause.append(text.lower())
            return
        if self._words and text.lower() == b"zone" and not quoted and len(self._words) > 1:
            self._refuse(out)  # the one before has no end
        if not self._words:
            self._at = out.line_number, out.line
        self._words.append(text if self._words else text.lower())

    def mark(self, mark: bytes, out: Collector) -> None:
        self._line_begins = False
        if mark == b"{":
            if not self._depth and self._words[:1] == [b"view"]:
                self._words = []
                self._view += 1
                return
            if not self._words:
                self._at = out.line_number, out.line
                self._words.append(b"{")
            self._depth += 1
        elif mark == b"}":
            if self._depth:
                self._depth -= 1
                self._end_clause()
            elif self._words:
                self._refuse(out)
            elif self._view:
                self._view -= 1
        elif not self._depth and self._words:
            self._finish(out)
        elif self._depth == 1:
            self._end_clause()

    def end_line(self, out: Collector) -> None:
        """A line that begins no statement of BIND's ends with itself; so does a zone whose last semicolon is missing."""
        self._line_begins = True
        if self._depth or not self._words:
            return
        if self._words[0] not in _STATEMENTS:
            self._refuse(out)
        elif self._type:
            self._finish(out)

    def give_up(self, out: Collector) -> None:
        if self._words and self._depth:
            self._refuse(out, Reason.BAD_ENTRY)
        elif self._words:
            self._refuse(out)

    def _end_clause(self) -> None:
        if self._depth <= 1:
            match self._clause:
                case [b"type", kind, *_] if not self._type:
                    self._type = kind
            self._clause = []

    def _finish(self, out: Collector) -> None:
        match self._words:
            case [b"zone", name, *others] if self._type in _ANSWERED_HERE and _CLASSES.issuperset(map(bytes.lower, others)):
                now = out.line_number, out.line
                out.line_number, out.line = self._at
                out.add(name)
                out.line_number, out.line = now
                self._reset()
            case _:
                self._refuse(out)

    def _refuse(self, out: Collector, reason: Reason | None = None) -> None:
        now = out.line_number, out.line
        out.line_number, out.line = self._at
        out.refuse(reason or (Reason.UNSUPPORTED_RULE if self._words[0] in _STATEMENTS else Reason.UNKNOWN_LINE))
        out.line_number, out.line = now
        self._reset()

    def _reset(self) -> None:
        self._words, self._clause, self._depth, self._type = [], [], 0, b""
