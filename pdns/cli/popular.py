"""`pdns feeds popular`: makes a list of popular names for `guard.popularity`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from pdns.cli.commands import consoles
from pdns.errors import FeedError

DEFAULT_NAMES = 14_000


def popular_command(
    source: Annotated[
        str, typer.Argument(metavar="LIST", help="A file or URL: a name, or rank,name, on each line; may be packed")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where to write it, for guard.popularity")],
    names: Annotated[int, typer.Option("--names", min=1, metavar="COUNT", help="How many to keep")] = DEFAULT_NAMES,
) -> None:
    """Write a compact list of popular names from a public ranking."""
    from feeds.popular import refresh  # noqa: PLC0415 (no other command needs it)

    console, errors = consoles()
    try:
        count = refresh(source, out, names)
    except FeedError as exc:
        errors.print(Text(exc.reason, "red"))
        raise typer.Exit(1) from None
    except OSError as exc:
        errors.print(Text(f"{out}: {exc.strerror}", "red"))
        raise typer.Exit(1) from None
    console.print(Text(f"{out}: {count:,} names; with guard.popularity the guard uses them"), soft_wrap=True)
