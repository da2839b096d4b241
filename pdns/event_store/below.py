r"""Whether a name is another one or below it, in presentation format (RFC 1035, 5.1), where `\.` is not the end of a label."""

from __future__ import annotations


def is_at_or_below(text: str, name: str) -> bool:
    """Whether the name `text` is `name` or below it. Every name is below the root."""
    if text == name or name == ".":
        return True
    if not text.endswith(f".{name}"):
        return False
    before = text[: -len(name) - 1]
    return not _ends_in_an_escape(before)


def canonical(name: str) -> str:
    """`name` in lower case and without the final dot; the root is `.`."""
    text = name.strip().lower()
    return text if text == "." or not text.endswith(".") or _ends_in_an_escape(text[:-1]) else text[:-1]


def _ends_in_an_escape(text: str) -> bool:
    """Whether a backslash at the end escapes what follows: there is an odd number of them."""
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1
