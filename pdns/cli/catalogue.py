"""`pdns feeds catalogue`: the public feeds that a configuration can refer to."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pdns.cli.feed_table import aligned
from pdns.config.catalogue import catalogue

_TITLES = ("use", "category", "format", "refresh", "licence", "commercial", "service", "key", "checked", "description")
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def catalogue_command(
    urls: Annotated[bool, typer.Option("--urls", help="Show each feed's url, mirrors, homepage, and where to get a key")] = False,
) -> None:
    """Show the public feeds that a configuration can use, as in use = "urlhaus". Check their licences."""
    titles = (*_TITLES, "url, mirrors", "where to get a key", "homepage") if urls else _TITLES
    rows = [_row(name, urls=urls) for name in catalogue()]
    console = Console(highlight=False)
    if console.is_terminal:
        table = Table(*titles, box=None, pad_edge=False)
        for row in rows:
            table.add_row(*map(Text, row))
        console.print(table)
    else:
        aligned(console, [titles, *rows])


def _row(name: str, *, urls: bool) -> tuple[str, ...]:
    entry = catalogue()[name]
    description = f"{entry['description']} ({entry['notice']})" if "notice" in entry else entry["description"]
    row = (
        name,
        entry["category"],
        entry["format"],
        _every(entry["refresh_s"]),
        entry["licence"],
        entry["commercial"],
        entry["service"],
        "needed" if "key" in entry else "no",
        entry.get("checked", "not yet"),
        description,
    )
    if not urls:
        return row
    return (*row, " ".join((entry["url"], *entry.get("mirrors", ()))), entry.get("key", ""), entry["homepage"])


def _every(seconds: int) -> str:
    size, unit = next(((size, unit) for size, unit in _UNITS if not seconds % size), (1, "s"))
    return f"{seconds // size} {unit}"
