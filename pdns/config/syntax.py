"""Explains TOML syntax errors: the line, the mistake, and what to write instead."""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

from pdns.config.addresses import without_secrets

_AT_LINE = re.compile(r"(.*) \(at line (\d+), column (\d+)\)", re.DOTALL)
_AT_END: Final = " (at end of document)"
_TOKEN = re.compile(
    r'(?P<string>"""(?:\\.|[^\\])*?"""|\'\'\'.*?\'\'\'|"(?!"")(?:\\[^\n]|[^"\\\n])*"|\'(?!\'\')[^\'\n]*\')'
    r"""|(?P<open>"{3}|'{3}|["'])|(?P<comment>\#[^\n]*)|(?P<bracket>[][{}])|(?P<other>[^]["'\#{}]+)""",
    re.DOTALL,
)
_CURLY: Final = "\u201c\u201d\u201e\u201f\u00ab\u00bb\u2018\u2019\u201a\u201b\u2032\u2033`"
_STRAIGHT: Final = str.maketrans(dict.fromkeys(_CURLY, '"'))
_HEADING = re.compile(r"\s*(\[{1,2})\s*([\w.-]+)\s*(\]{0,2})\s*(?:#.*)?")
_KEY = re.compile(r"\s*([\w-]+)\s*")
_NUMBER_WITH_UNIT = re.compile(r"([+-]?[0-9][0-9_.]*)\s*([A-Za-z%]+)")
_NO_NUMBER = re.compile(r"[+-]?[0-9_]*(?:\.[0-9_]*)?")
_LEADING_ZERO = re.compile(r"([+-]?)0+([0-9]+)")
_TRUTH: Final = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
_ARRAYS: Final = ("feed", "tenant", "group", "zone")  # sections that are written [[name]]
_LONGEST_SHOWN: Final = 60


class _Place(NamedTuple):
    """Where the parser stopped."""

    text: str
    offset: int
    message: str

    @property
    def line_start(self) -> int:
        return self.text.rfind("\n", 0, self.offset) + 1

    @property
    def line(self) -> str:
        end = self.text.find("\n", self.offset)
        return self.text[self.line_start : end if end >= 0 else len(self.text)]

    @property
    def character(self) -> str:
        return self.text[self.offset : self.offset + 1]

    def says(self, reason: str, offset: int | None = None) -> str:
        at = self.offset if offset is None else offset
        line = self.text.count("\n", 0, at) + 1
        return f"line {line}: {reason} (column {at - self.text.rfind(chr(10), 0, at)})"


class _Scan(NamedTuple):
    """The quote and brackets that are open where the parser stopped, innermost last. Offsets into the text."""

    quote: int | None
    brackets: list[int]


def explain(message: str, text: str) -> str:
    """Explains `message`, the error of tomllib for `text`."""
    text = text.replace("\r\n", "\n")  # as tomllib counts
    if at := _AT_LINE.fullmatch(message):
        starts = [0, *(found.end() for found in re.finditer("\n", text))]
        place = _Place(text, starts[min(int(at[2]), len(starts)) - 1] + int(at[3]) - 1, at[1])
    elif message.endswith(_AT_END):
        place = _Place(text, len(text), message.removesuffix(_AT_END))
    else:
        return message
    scan = _scan(place)
    return (
        _backslash(place)
        or _unclosed_quote(place, scan)
        or _foreign_character(place)
        or _repetition(place)
        or _bracket(place, scan)
        or _statement(place)
        or _value(place, scan)
        or place.says(place.message[:1].lower() + place.message[1:])
    )


def _scan(place: _Place) -> _Scan:
    brackets: list[int] = []
    end = place.line_start + len(place.line)
    for token in _TOKEN.finditer(place.text, 0, end):
        if token.lastgroup == "open":
            return _Scan(token.start(), brackets)
        if token.lastgroup == "bracket" and token.start() < place.offset:
            if token[0] in "[{":
                brackets.append(token.start())
            elif brackets:
                brackets.pop()
    return _Scan(None, brackets)


def _unclosed_quote(place: _Place, scan: _Scan) -> str:
    if scan.quote is None or (scan.quote >= place.offset and place.character in _CURLY):
        return ""
    start = scan.quote
    if place.offset < start and not place.message.startswith("Expected newline"):
        return ""
    rest = place.text[start:].partition("\n")[0]
    reason = "the quote that begins here is not closed"
    if curly := next((character for character in rest if character in _CURLY), ""):
        reason += f': {curly} does not close it, write "'
    return place.says(reason, start)


def _backslash(place: _Place) -> str:
    if not place.message.startswith("Unescaped"):
        return ""
    return place.says(r"a backslash inside double quotes must be written twice (\\); inside single quotes, once")


def _foreign_character(place: _Place) -> str:
    """A character that word processors and web pages substitute for another."""
    character = place.character
    if character and character in _CURLY:
        word = re.match(rf"[{_CURLY}]([^{_CURLY}\n]*)[{_CURLY}]", place.text[place.offset :])
        return place.says(f"{character} is not a quote here: write {_quoted(word[1]) if word else chr(34)}")
    if character and not character.isprintable() and character not in "\n\t":
        return place.says(f"an invisible character (U+{ord(character):04X}): replace it by a space, or remove it")
    return ""


def _repetition(place: _Place) -> str:
    """A key or a section that is defined twice."""
    if not place.message.startswith(("Cannot overwrite a value", "Cannot declare")):
        return ""
    above = place.text[: place.line_start]
    heading, key = _HEADING.match(place.line), _KEY.match(place.line)
    if heading is not None:
        name = heading[2]
        earlier = list(re.finditer(rf"^\s*\[{{1,2}}\s*{re.escape(name)}\s*\]", above, re.MULTILINE))
        said = f"appears twice, first in line {_line_of(above, earlier[0])}" if earlier else "is set above already"
        if name in _ARRAYS:
            return place.says(f"[{name}] {said}: write [[{name}]] each time")
        return place.says(f"[{name}] {said}: put all its keys under one heading")
    if key is not None and place.line[key.end() :].startswith("="):
        section = above[max((found.start() for found in re.finditer(r"^\s*\[", above, re.MULTILINE)), default=0) :]
        earlier = list(re.finditer(rf"^\s*{re.escape(key[1])}\s*=", section, re.MULTILINE))
        if earlier:
            line = _line_of(above, earlier[0], len(above) - len(section))
            return place.says(f'"{key[1]}" is set twice in this section: line {line} sets it already')
    return place.says("a key above has set this already")


def _line_of(text: str, found: re.Match[str], offset: int = 0) -> int:
    start = offset + found.end() - len(found[0].lstrip())
    return text.count("\n", 0, start) + 1


def _bracket(place: _Place, scan: _Scan) -> str:
    """A heading or an array that is not closed."""
    heading = _HEADING.fullmatch(place.line)
    if place.message.startswith("Invalid initial") and place.character == "}":
        return place.says("a comma must not stand before }: remove it")
    if "declaration" in place.message or (place.message.startswith("Invalid initial") and place.line.lstrip()[:1] == "["):
        if heading is None or (len(heading[1]) == len(heading[3])):
            return place.says("a heading is [name], or [[name]] for one of several, and stands alone on its line")
        brackets = "[[" if heading[2] in _ARRAYS or len(heading[1]) == len(heading[3]) == 2 else heading[1]
        return place.says(f"the heading is not closed: write {brackets}{heading[2]}{']' * len(brackets)}", place.line_start)
    if not scan.brackets or scan.quote is not None:
        return ""
    first, innermost = scan.brackets[0], scan.brackets[-1]
    follows_line = first < place.line_start and (heading is not None or re.match(r"\s*[\w-]+\s*=", place.line) is not None)
    if follows_line or not place.text[place.offset :].strip():
        return place.says(f"the {place.text[first]} that begins here is not closed", first)
    before = place.text[innermost + 1 : place.offset].rstrip()
    if place.message.startswith("Unclosed") and before[-1:] in tuple("\"'") and place.character not in ("\n", ""):
        following = re.match(r"[^,\n\]}]*", place.text[place.offset :])
        return place.says(f"a comma is missing before {_shown(following[0]) if following else place.character}")
    if place.message.startswith("Unclosed") and not place.line[place.offset - place.line_start :].strip():
        return place.says(f"the {place.text[innermost]} that begins here is not closed", innermost)
    return ""


def _statement(place: _Place) -> str:
    """A line that is neither a key with a value nor a heading."""
    line = place.line.strip()
    if place.message.startswith("Expected '=' after a key"):
        key = _KEY.match(place.line)
        rest = place.line[key.end() :] if key else ""
        if key and rest.startswith(":"):
            return place.says(f'write = after "{key[1]}", not ":"')
        if key and "=" in rest:
            return place.says(f"a key has no spaces: {_shown(place.line.partition('=')[0].strip())}")
        return place.says(f'= is missing after "{key[1]}"' if key else "= is missing after the key")
    if place.message.startswith("Invalid statement"):
        if line.startswith(("//", ";", "--", "/*")):
            return place.says("a comment begins with #")
        return place.says(
            "expected a key with a value (key = value), a heading such as [server], or a comment that begins with #"
        )
    return ""


def _value(place: _Place, scan: _Scan) -> str:
    """A value that is invalid, or that is followed by something else."""
    inside = bool(scan.brackets)
    if not place.message.startswith(("Invalid value", "Expected newline", "Unclosed")):
        return ""
    if _HEADING.match(place.line) and not inside:
        return place.says("a heading is [name], or [[name]] for one of several, and stands alone on its line")
    start, written = _written(place, scan)
    if not written:
        return place.says("a value is missing here" if inside else "a value is missing after =")
    if string := re.match(r"\"(?:\\.|[^\"\\])*\"|'[^']*'", written):
        rest = written[string.end() :].strip()
        if rest == ",":
            return place.says("a line must not end with a comma: remove it")
        if rest.startswith(","):
            return place.says("several values need square brackets: write [ before the first and ] after the last", start)
        return place.says(f"nothing may follow the closing quote but a comment: {_shown(rest)}")
    if not inside and written.endswith((",", ";")):
        return place.says(f"a line must not end with {written[-1]} outside brackets: remove it")
    if truth := _TRUTH.get(written.lower()):
        return place.says(f"write {truth} instead of {_shown(written)}", start)
    if written.lower() in ("null", "none", "nil"):
        return place.says(f"TOML has no {_shown(written)}: leave the key out", start)
    if number := _NUMBER_WITH_UNIT.fullmatch(written):
        return place.says(f"a number has no unit: write {number[1]} instead of {_shown(written)}", start)
    if number := _LEADING_ZERO.fullmatch(written):
        return place.says(f"a number does not begin with 0: write {number[1]}{number[2]}", start)
    if _NO_NUMBER.fullmatch(written):
        return place.says(f"{_shown(written)} is not a number: write digits, with at most one dot between them", start)
    if written[0] in "[{]}=":
        rest = place.text[place.offset :].partition("\n")[0]
        return place.says(f"nothing but a comment may follow here: {_shown(rest)}" if written[0] != "=" else "write = once")
    text = written.translate(_STRAIGHT).strip("\"' ")
    return place.says(f"text must be in quotes: write {_quoted(text)}", start)


def _written(place: _Place, scan: _Scan) -> tuple[int, str]:
    """The value where the parser stopped, and its start: the value of a key, or one between brackets."""
    begins, ends = place.line_start, place.line_start + len(place.line)
    inside = bool(scan.brackets)
    for token in _TOKEN.finditer(place.text, place.line_start, ends):
        if token.lastgroup == "comment":
            ends = token.start()
            break
        if token.lastgroup not in ("other", "bracket"):
            continue
        for index, character in enumerate(token[0], token.start()):
            if index < place.offset and (character in "=,[{" if inside else character == "=" and begins == place.line_start):
                begins = index + 1
            elif inside and index >= place.offset and character in ",]}":
                ends = min(ends, index)
    text = place.text[begins:ends]
    return begins + len(text) - len(text.lstrip()), text.strip()


def _quoted(text: str) -> str:
    return json.dumps(_shown(text), ensure_ascii=False)


def _shown(text: str) -> str:
    """At most 60 characters of `text`, without secrets in URLs."""
    text = "".join(character if character.isprintable() else "?" for character in text.strip())
    if text.count("://") > 1:
        text = f"{text.partition('://')[0]}://..."
    text = without_secrets(text)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."
