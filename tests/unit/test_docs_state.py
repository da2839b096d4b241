"""docs/operations.md has a row for each file that only some configurations make (test_state_directory.py: for all others)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from feeds.publish import publication, versions
from pdns.events import newly_listed, report_schedule, tapped_queries
from pdns.history import days
from pdns.telemetry import names_key

PAGE = (Path(__file__).parents[2] / "docs/operations.md").read_text(encoding="utf-8")
_TABLE = PAGE.partition("| path | what it holds | with | written by | backup |\n")[2].partition("\n\n")[0]
ROWS = {
    path: cells[-1]
    for line in _TABLE.splitlines()[1:]
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    for path in re.findall(r"`([^`]+)`", cells[0])
}
_NAMES = f"{days.history_directory(Path()).as_posix()}/"


@pytest.mark.parametrize(
    "path",
    [
        names_key.FILE_NAME,
        f"{_NAMES}{newly_listed.FILE_NAME}",
        f"{_NAMES}DATE/{days._RECORD}",
        f"{_NAMES}DATE/*{days._SUFFIX}",
        f"events/{report_schedule._STATE}",
        f"events/{tapped_queries.FILE_NAME}",
        f"publish/{publication.OWN_KEY}",
        f"publish/ZONE/{versions.ZONE}",
        f"publish/ZONE/{versions._JOURNAL}",
        f"publish/ZONE/{versions.PUBLIC_KEY}",
    ],
)
def test_files_have_a_row(path: str) -> None:
    """The names are those that the code writes."""
    assert path in ROWS


def test_what_cannot_be_made_again_is_in_the_backup() -> None:
    """Of these files, only the key that others trust."""
    assert len(ROWS) >= 14
    assert [path for path, backup in ROWS.items() if backup == "yes"] == [f"publish/{publication.OWN_KEY}"]
