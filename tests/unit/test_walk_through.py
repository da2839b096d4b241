"""docs/walk-through.md names functions that exist, in an order in which they call each other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/walk-through.md").read_text(encoding="utf-8")
SECTIONS = ("A datagram", "A miss", "The bytes of a feed", "A blocked count", "A configuration key", "A command")
_FUNCTION = re.compile(r"`([\w/]+\.pyx?):([\w.]+)`( \*\()?")
_CYTHON = re.compile(r"^( *)(?:cdef |cpdef |def |async def )(?:(class) )?(?:[\w]+ |[\w]+ \*|\*)*?(\w+)(?=[(:])", re.MULTILINE)


class Step(NamedTuple):
    """One function of the page. `started`: a note says what else than a step before it calls it."""

    path: str
    function: str
    started: bool


@cache
def functions(path: str) -> dict[str, str]:
    """Every function and method of a file, by qualified name, with its source."""
    if not (ROOT / path).is_file():
        return {}
    text = (ROOT / path).read_text(encoding="utf-8")
    return _in_python(text) if path.endswith(".py") else _in_cython(text)


def _in_python(text: str) -> dict[str, str]:
    found: dict[str, str] = {}

    def walk(nodes: list[ast.stmt], prefix: str) -> None:
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found[prefix + node.name] = ast.get_source_segment(text, node) or ""
            elif isinstance(node, ast.ClassDef):
                walk(node.body, f"{node.name}.")

    walk(ast.parse(text).body, "")
    return found


def _in_cython(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    starts = [match for match in _CYTHON.finditer(text) if len(match[1]) in (0, 4)]
    within = ""
    for match, after in zip(starts, [*starts[1:], None], strict=True):
        body = text[match.start() : after.start() if after is not None else len(text)]
        if match[2]:
            within = match[3]
        elif not match[1]:
            within, found[match[3]] = "", body
        else:
            found[f"{within}.{match[3]}" if within else match[3]] = body
    return found


def _lists(section: str) -> Iterator[list[Step]]:
    """The steps of each numbered list of a section."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    for block in re.split(r"\n(?=1\. )", text)[1:]:
        numbered = re.findall(r"^(\d+)\. (.*)$", block, re.MULTILINE)
        assert [int(number) for number, _ in numbered] == list(range(1, len(numbered) + 1)), section
        yield [Step(found[1], found[2], bool(found[3])) for _, line in numbered for found in _FUNCTION.finditer(line)]


STEPS = {section: list(_lists(section)) for section in SECTIONS}
ALL = sorted({(step.path, step.function) for lists in STEPS.values() for steps in lists for step in steps})


def test_the_page_has_every_path() -> None:
    """The six paths are there, in order, and each has steps: an empty list of them would prove nothing."""
    assert tuple(re.findall(r"^## (.+)$", PAGE, re.MULTILINE)) == SECTIONS
    assert all(len(steps) >= 4 for lists in STEPS.values() for steps in lists)
    assert len(ALL) > 100
    assert PAGE.count(".py:") + PAGE.count(".pyx:") == sum(len(steps) for lists in STEPS.values() for steps in lists)


@pytest.mark.parametrize(("path", "function"), ALL, ids=[f"{path}:{function}" for path, function in ALL])
def test_every_function_exists(path: str, function: str) -> None:
    """Each function that the page names is defined in the file that it names; else the message tells where one like it is."""
    assert function in functions(path), f"{path}:{function} is gone; now there are {', '.join(_like(function)) or 'none like it'}"


def _like(function: str) -> list[str]:
    """Every function with the same last name."""
    name = function.rpartition(".")[2]
    files = sorted(str(file.relative_to(ROOT)) for folder in ("pdns", "feeds") for file in (ROOT / folder).rglob("*.py*"))
    sources = [file for file in files if file.endswith((".py", ".pyx"))]
    return [f"{file}:{found}" for file in sources for found in functions(file) if found.rpartition(".")[2] == name]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_step_is_called_by_one_before_it(section: str) -> None:
    """A function of a list is named in the source of one before it in the list, or a note says what starts it."""
    orphans = []
    for steps in STEPS[section]:
        for at, step in enumerate(steps):
            name = re.compile(rf"\b{step.function.rpartition('.')[2]}\b")
            before = [functions(earlier.path).get(earlier.function, "") for earlier in steps[:at]]
            if not step.started and not any(name.search(source) for source in before):
                orphans.append(f"{step.path}:{step.function}")
    assert orphans == []
