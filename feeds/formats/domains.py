"""Plain lists: a name a line, `*.x` for what is below x. Also Internet Explorer's TPL: `-d x`, and `+d x` for an exception."""

from __future__ import annotations

import re

from feeds.formats import hosts
from feeds.formats.collector import Collector
from feeds.formats.content import Content
from feeds.normalise import PLAIN_NAME, Reason, is_cosmetic, plain_key

_COMMENT = (b"#", b";", b"!", b"//")
_TPL_HEADER = re.compile(rb"msFilterList|:(?!:)").match


_PLAIN_LINES = re.compile(rb"^(" + PLAIN_NAME + rb")\r?\n", re.MULTILINE).findall


def read(content: Content, out: Collector) -> None:
    """Collect every line."""
    for line in content.lines_but(_PLAIN_LINES, out):
        text = line.strip().lower()
        if (key := plain_key(text)) is None:
            _read_odd(line, out)
        else:
            out.add_plain_key(key)


def tokens_of(line: bytes) -> list[bytes]:
    """The words of `line` up to a comment, which starts at the beginning of a word, or at any `#` that is not in a URL."""
    tokens = []
    for token in line.split():
        if token.startswith(_COMMENT):
            break
        word, mark, _ = token.partition(b"#")
        if mark and b"/" not in word:
            tokens.append(word)
            break
        tokens.append(token)
    return tokens


def _read_odd(line: bytes, out: Collector) -> None:
    line = line.strip()
    if not line or line.startswith(_COMMENT) or _TPL_HEADER(line):
        return
    if line.startswith(b"<"):
        out.refuse(Reason.MARKUP)
        return
    if is_cosmetic(line):
        out.refuse(Reason.COSMETIC)
        return
    match tokens_of(line):
        case [token]:
            out.add(token)
        case [b"-d", token]:
            out.add(token)
        case [b"+d", token]:
            out.add(token, allow=True)
        case [b"-d" | b"+d", _, _]:
            out.refuse(Reason.URL_WITH_PATH)
        case [address, *_] as tokens if address in hosts.SINKHOLES:
            hosts.read_tokens(tokens, out)
        case _:
            out.refuse(Reason.EXTRA_TEXT)
