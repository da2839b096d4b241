"""Writes the manual pages and the shell completion: `python -m deploy.manual.make DIRECTORY`.

DIRECTORY gets `man1`, `man5` and `completion`. `SOURCE_DATE_EPOCH` is the date of the pages, if it is set.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final

from deploy.manual import commands, completion, document, roff
from deploy.manual.tree import program
from pdns import __version__

ROOT: Final = Path(__file__).parents[2]
_NAME: Final = [".SH NAME", "pdns.toml \\- configuration of the protective DNS resolver pdns"]
_SEE_ALSO: Final = [".SH SEE ALSO", "\\fBpdns\\fR(1), \\fBpdns\\-check\\fR(1), \\fBpdns\\-serve\\fR(1)"]


def texts(date: str) -> dict[str, str]:
    """The text of each file, by its path below the directory. `date`: YYYY-MM-DD."""
    root = program()
    made = {f"man1/{name}.1": roff.page(name, 1, __version__, date, lines) for name, lines in commands.pages(root).items()}
    keys = document.lines((ROOT / "docs/config.md").read_text(encoding="utf-8"))
    made["man5/pdns.toml.5"] = roff.page("pdns.toml", 5, __version__, date, [*_NAME, ".SH DESCRIPTION", *keys, *_SEE_ALSO])
    made.update({f"completion/{name}": text for name, text in completion.scripts(root).items()})
    return made


def main() -> None:
    directory = Path(sys.argv[1])
    date = time.strftime("%Y-%m-%d", time.gmtime(float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())))
    for name, text in texts(date).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
