"""Tables in pages of the documentation that are written anew from files."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], texts: int, rows: Sequence[Sequence[str]]) -> str:
    """A table whose first `texts` columns are text, the others numbers."""
    rule = ("---",) * texts + ("---:",) * (len(head) - texts)
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *rows))


def replaced(text: str, begin: str, end: str, content: str) -> str:
    """The page `text` with `content` between the two marks. Raises `ValueError` when they are not there."""
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError("the page has no place for the table")
    return f"{before}{begin}\n{content}\n{end}{after}"


def minute(when: str) -> str:
    """A time of ISO 8601 as people write it, without seconds."""
    return when[:16].replace("T", " ")


def commit(name: str) -> str:
    """A commit, short; in words when there is none."""
    return f"`{name[:12]}`" if name else "not recorded"
