"""Plain lists: a name a line, `*.x` for what is below x. Also Internet Explorer's TPL: `-d x`, and `+d x` for an exception."""

from __future__ import annotations

import re
from collections.abc import Iterable

from feeds.formats import hosts
from feeds.formats.collector import Collector
from feeds.normalise import Reason, is_cosmetic, plain_key
from pdns.blockset import BLOCK_SUBTREE

_COMMENT = (b"#", b";", b"!", b"//")
_TPL_HEADER = re.compile(rb"msFilterList|:(?!:)").match


def read(lines: Iterable[bytes], out: Collector) -> None:
    """Collect every line."""
    names = out.names
    for line in lines:
        key = plain_key(line.strip().lower())
        if key is None:
            _read_odd(line, out)
        elif key in names:
            names[key] |= BLOCK_SUBTREE
        else:
            names[key] = BLOCK_SUBTREE


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
