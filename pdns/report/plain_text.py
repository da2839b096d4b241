"""A report as text, for a terminal or a mail: at most 78 columns wide where names allow it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import Final

from pdns.report.sections import HeadlineFigure, ReportColumn, ReportSection

WIDTH: Final = 78
_GAP: Final = "  "


def as_text(title: str, lead: str, figures: Sequence[HeadlineFigure], sections: Iterable[ReportSection]) -> str:
    """The whole report, ending with a line break."""
    parts = [title, "=" * min(len(title), WIDTH), ""]
    if figures:
        width, left = max(len(one.value) for one in figures), max(len(one.label) for one in figures)
        parts += [f"{one.label:<{left}}  {one.value:>{width}}  {one.trend}".rstrip() for one in figures]
        parts.append("")
    parts += [*_wrapped(lead), ""]
    for section in sections:
        parts += _section(section)
    return "\n".join(parts).rstrip("\n") + "\n"


def _section(section: ReportSection) -> list[str]:
    lines = [section.title, "-" * len(section.title), *_wrapped(section.lead)]
    if section.rows:
        lines += ["", *_table(section.columns, section.rows)] if section.lead else _table(section.columns, section.rows)
    for position, step in enumerate(section.steps, 1):
        lines += textwrap.wrap(step, WIDTH, initial_indent=f"{position}. ", subsequent_indent="   ", break_on_hyphens=False)
    return [*lines, *_wrapped(section.note), ""]


def _wrapped(text: str, width: int = WIDTH) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)


def _table(columns: Sequence[ReportColumn], rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns. Where they are too wide together, each row becomes a block of lines, so that no name is cut."""
    widths = [max(len(column.title), *(len(row[at]) for row in rows)) for at, column in enumerate(columns)]
    if sum(widths) + len(_GAP) * (len(columns) - 1) > WIDTH:
        return _blocks(columns, rows)
    lines = [
        _line([column.title for column in columns], columns, widths),
        _line(["-" * width for width in widths], columns, widths),
    ]
    return [*lines, *(_line(row, columns, widths) for row in rows)]


def _line(cells: Sequence[str], columns: Sequence[ReportColumn], widths: Sequence[int]) -> str:
    padded = (
        cell.rjust(width) if column.kind == "number" else cell.ljust(width)
        for cell, column, width in zip(cells, columns, widths, strict=True)
    )
    return _GAP.join(padded).rstrip()


def _blocks(columns: Sequence[ReportColumn], rows: Sequence[Sequence[str]]) -> list[str]:
    lines: list[str] = []
    for row in rows:
        rest = [f"{column.title.lower()} {cell}" for column, cell in zip(columns[1:], row[1:], strict=True) if cell]
        lines.append(row[0])
        lines += [f"    {line}" for line in _wrapped(", ".join(rest), WIDTH - 4)]
    return lines
