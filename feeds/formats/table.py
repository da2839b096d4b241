"""CSV: a column of names. Also what other formats that are CSV are read with."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from feeds.annotations import NameAnnotation
from feeds.formats.annotations import end_s
from feeds.formats.collector import Collector
from feeds.formats.content import Content
from feeds.normalise import Reason
from pdns.config.schema import Feed
from pdns.errors import FeedError

MAX_ROW_BYTES: Final = 64 * 1024
NAME_COLUMNS: Final = ("domain", "domain_name", "domain name", "fqdn")
URL_COLUMNS: Final = frozenset(("url", "uri", "path", "url_path"))  # beside one of these, a name is a part of a URL
_JOINED_LINES = 16  # at most so many make one row, when a quoted cell holds line ends
_COMMENT = "#"
_SHOWN_COLUMNS = 20
_ENCODING = ("utf-8", "surrogateescape")  # what is not UTF-8 comes out as it went in


def read(content: Content, out: Collector) -> None:
    """Collect the column that the feed says."""
    column, until = content.feed.column.lower(), content.feed.active_until.lower()
    one_of = (column,) if column else NAME_COLUMNS
    for cell, end in cells(content, out, content.feed.delimiter, one_of, (until,), needed=until):
        if until:
            out.describe(NameAnnotation(expires_s=end_s(end)))
        if cell:
            out.add(cell.encode(*_ENCODING))
        else:
            out.refuse(Reason.NO_VALUE)


def cells(
    content: Content, out: Collector, delimiter: str, one_of: Sequence[str], others: Sequence[str] = (), needed: str = ""
) -> Iterator[tuple[str, ...]]:
    """Of each row the column that is called as one of `one_of` (or is counted by it: "1" is the first), then `others` or "".

    The header is the first row, or the last comment (`#`) before it that has the column. Raises `FeedError` without one,
    and where the header lacks the column `needed`.
    """
    picks: list[int] | None = None
    if one_of[0].isdecimal():
        picks = [int(one_of[0]) - 1, *(int(other) - 1 if other.isdecimal() else -1 for other in others)]
    first = True
    for comment, row in _rows(content.lines(out, MAX_ROW_BYTES), out, delimiter, comments=picks is None):
        if comment:
            picks = _picks(row, one_of, others) or picks
            continue
        header = _picks(row, one_of, others) if first else None
        first = False
        if header is not None:
            picks = header
            if needed and needed not in (cell.strip().lower() for cell in row):
                raise FeedError(content.feed.name, _which_column(row, (needed,), content.feed), out.line_number)
        elif picks is None:
            raise FeedError(content.feed.name, _which_column(row, one_of, content.feed), out.line_number)
        elif picks[0] < len(row):
            yield tuple([row[pick].strip() if 0 <= pick < len(row) else "" for pick in picks])
        else:
            out.refuse(Reason.BAD_ENTRY)


def _picks(row: Sequence[str], one_of: Sequence[str], others: Sequence[str]) -> list[int] | None:
    names = [cell.strip().lower() for cell in row]
    found = [name for name in one_of if name in names]
    if len(found) != 1 or (len(one_of) > 1 and not URL_COLUMNS.isdisjoint(names)):
        return None
    return [names.index(found[0]), *(names.index(name) if name in names else -1 for name in others)]


def _which_column(row: Sequence[str], one_of: Sequence[str], feed: Feed) -> str:
    there = ", ".join(cell.strip() for cell in row[:_SHOWN_COLUMNS])
    missed = f'no column "{one_of[0]}"' if len(one_of) == 1 else "not clear which column has the names"
    advice = "set column to one of these, or to a number (the first is 1)" if feed.format == "csv" else "is it another format?"
    return f"{missed}; the first row is: {there}; {advice}"


def _rows(lines: Iterable[bytes], out: Collector, delimiter: str, *, comments: bool) -> Iterator[tuple[bool, list[str]]]:
    """(whether it is a comment, cells) of each row; comments only up to the first row, if at all."""
    held: list[tuple[int, bytes, str]] = []
    for line in lines:
        text = line.decode(*_ENCODING)
        start = text.lstrip()
        if not held:
            if not start:
                continue
            if start.startswith(_COMMENT):
                if comments and (row := _cells(start.lstrip("# \t"), delimiter)):
                    yield True, row
                continue
            comments = False
        held.append((out.line_number, line, text))
        row = _cells("\n".join([text for _, _, text in held]), delimiter)
        if row:
            yield False, row
            held.clear()
        elif row is not None or len(held) == _JOINED_LINES:
            yield from _each(held, out, delimiter)
            held.clear()
    yield from _each(held, out, delimiter)


def _each(held: Iterable[tuple[int, bytes, str]], out: Collector, delimiter: str) -> Iterator[tuple[bool, list[str]]]:
    """Lines that make no row together, each for itself."""
    now = out.line_number, out.line
    for out.line_number, out.line, text in held:
        if row := _cells(text, delimiter):
            yield False, row
        else:
            out.refuse(Reason.BAD_ENTRY)
    out.line_number, out.line = now


def _cells(text: str, delimiter: str) -> list[str] | None:
    """The cells of one row; none when it is malformed, None when a quote in it is not closed."""
    try:
        return next(csv.reader((text,), delimiter=delimiter, skipinitialspace=True, strict=True))
    except (csv.Error, StopIteration) as exc:
        return None if "end of data" in str(exc) else []
