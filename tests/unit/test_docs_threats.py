"""docs/security-model.md: each threat names tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs/security-model.md").read_text(encoding="utf-8")
_THREATS = PAGE.partition("\n## Threats\n")[2].partition("\n## ")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in _THREATS.splitlines()
    if line.startswith("| ") and not line.startswith("| who | reaches |")
]


@cache
def functions(file: Path) -> set[str]:
    """The names of the functions of a module."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, kinds)}


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0][:24]}-{number}" for number, row in enumerate(ROWS)])
def test_a_threat_names_tests_that_exist(row: list[str]) -> None:
    """One or more, each `file::function` below tests/."""
    named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", row[-1])
    assert named
    assert re.sub(r"`[^`]*`|,| ", "", row[-1]) == ""
    for file, function in named:
        assert function in functions(TESTS / file), f"{file}::{function}"


def test_rows_are_whole() -> None:
    """Five cells each, and none is empty."""
    assert len(ROWS) >= 50
    assert [row[0] for row in ROWS if len(row) != 5 or not all(row)] == []
