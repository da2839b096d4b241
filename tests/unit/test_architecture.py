"""`docs/architecture.md` knows every module."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
SUMMED_UP = ("pdns/cli", "pdns/demo", "feeds/fetch", "feeds/formats")  # one line for the folder


def modules() -> list[str]:
    """All that hold code, but the folders that are summed up."""
    found = [
        str(path.relative_to(ROOT))
        for top in ("pdns", "feeds")
        for path in sorted((ROOT / top).rglob("*"))
        if path.suffix in (".py", ".pyx") and path.name != "__init__.py" and path.stat().st_size
    ]
    return [file for file in found if not file.startswith(SUMMED_UP)]


def section(file: str) -> str:
    """The part of the page that is about the folder of `file`."""
    parts = re.split(r"^### ", TEXT, flags=re.MULTILINE)
    folder = "pdns/" if file.count("/") == 1 and file.startswith("pdns/") else "/".join(file.split("/")[:-1])
    folder = "pdns/supervisor" if folder == "pdns/supervisor/http" else folder
    return next((part for part in parts if f"`{folder}`" in part.split("\n")[0]), "")


@pytest.mark.parametrize("file", modules())
def test_a_module_has_a_row(file: str) -> None:
    """The section of its folder names it: a module without a place is found when it is added."""
    name = Path(file).name.removesuffix(".pyx")
    assert re.search(rf"[`/]{re.escape(name)}`", section(file)), f"docs/architecture.md does not name {file}"


def test_no_row_is_left_of_a_module_that_is_gone() -> None:
    """Every file that the tables name is there."""
    names = {Path(file).name for file in modules()} | {path.name for path in (ROOT / "pdns/fast").iterdir()}
    rows = [row for row in TEXT.split("## Who may import whom")[0].splitlines() if row.startswith("| `")]
    named = {Path(name).name for row in rows for name in re.findall(r"`([\w/]+\.py)`", row)}
    assert sorted(named - names) == []
