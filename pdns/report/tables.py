"""A report as one tidy CSV table: `section,item,measure,value`, one value a line (RFC 4180)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, Final

import msgspec

COLUMNS: Final = ("section", "item", "measure", "value")
_ITEM_KEYS: Final = ("key", "listed", "client", "feed", "subject", "command", "start_s", "id")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def as_csv(content: msgspec.Struct) -> str:
    """Every value of `content`. A text with which a spreadsheet would start a formula begins with an apostrophe instead."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in _rows(msgspec.to_builtins(content)):
        writer.writerow([_cell(value) for value in row])
    return out.getvalue()


def _rows(values: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    whole = ((key, value) for key, value in values.items() if not isinstance(value, dict | list | tuple))
    yield from (("report", "", key, value) for key, value in whole)
    for key, value in values.items():
        if isinstance(value, dict) and any(isinstance(inner, dict | list | tuple) for inner in value.values()):
            for inner, rows in value.items():
                yield from _section(f"{key}.{inner}", rows)
        else:
            yield from _section(key, value)


def _section(section: str, rows: object) -> Iterator[tuple[object, ...]]:
    match rows:
        case dict():
            yield from ((section, "", measure, value) for measure, value in rows.items())
        case list() | tuple():
            for position, row in enumerate(rows, 1):
                if not isinstance(row, dict):
                    yield (section, position, "", row)
                    continue
                item = next((row[key] for key in _ITEM_KEYS if row.get(key) not in (None, "")), position)
                yield from ((section, item, measure, _flat(value)) for measure, value in row.items())
        case _:
            if section.count("."):
                yield (section.partition(".")[0], "", section.partition(".")[2], rows)


def _flat(value: object) -> object:
    if isinstance(value, dict):
        return "; ".join(f"{key}={inner}" for key, inner in value.items())
    return "; ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return f"'{value}" if value.startswith(_FORMULA) else value
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:.0f}" if value == int(value) else repr(value)
    return str(value)
