"""Validation of text that one person types and others read on a terminal, in a log or on a block page."""

from __future__ import annotations

import unicodedata
from typing import Final

from pdns.errors import PdnsError

MAX_SHOWN: Final = 500


class FreeTextError(PdnsError, ValueError):
    """Text that is not accepted. `str()` names the field and does not quote the text."""


def accepted(field: str, text: str, max_characters: int) -> str:
    """`text`, stripped and with plain spaces. Raises `FreeTextError` when it is too long or has invisible characters.

    Invisible are control characters (line breaks, escape sequences), characters that change the text direction, and other
    characters without a glyph.
    """
    if len(text) > max_characters:
        raise FreeTextError(f"{field}: expected at most {max_characters} characters, got {len(text):,}")
    plain = "".join(" " if char == "\t" or unicodedata.category(char) == "Zs" else char for char in text).strip()
    if not plain.isprintable():
        strange = next(char for char in plain if not char.isprintable())
        raise FreeTextError(f"{field}: expected visible characters on one line, got U+{ord(strange):04X}")
    return plain


def visible(text: str, max_characters: int = MAX_SHOWN) -> str:
    """The beginning of `text`, with `?` for each character that must not reach a terminal or a log."""
    return "".join(char if char.isprintable() else "?" for char in text[:max_characters])
