"""The second yardstick: instructions of a query, counted by callgrind, against the newest record."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from loadtest import goals, instructions
from loadtest.instructions import Count, PathCost


def dump(title: str, windows: int, count: int, calls: int | None = None) -> str:
    """As callgrind writes one; it leaves out system calls where there are none."""
    return (
        f"version: 1\ndesc: Trigger: Client Request: {title} {windows}\n\nfn=(1) x\n1 5\n\n"
        f"totals: {count}{'' if calls is None else f' {calls}'}\n"
    )


def counted(count: float, built: str = "Python 3, GCC 1") -> Count:
    costs = {path.key: PathCost(instructions=count, system_calls=0.5) for path in instructions.PATHS}
    return Count(when="2026-11-30T10:00:00Z", commit="0123456789abcdef", built_with=built, paths=costs)


def test_what_an_idle_loop_takes_is_taken_off() -> None:
    """The cost is the least dump, less the windows of an idle loop, divided by the queries; other dumps do not count."""
    dumps = [dump("nothing", 1, count, 20) for count in (100, 120, 5000)] + [dump("before", 0, 7_000_000), "no dump"]
    dumps += [dump(path.key, 2, count, 50) for path in instructions.PATHS for count in (10_200, 10_300, 99_999)]
    costs = instructions.costs_of(dumps, 10)
    assert costs == {path.key: PathCost(instructions=1000.0, system_calls=1.0) for path in instructions.PATHS}


def test_more_instructions_are_worse() -> None:
    """A twentieth more is allowed, since another place in memory changes a little; fewer are never worse."""
    assert instructions.worse(counted(1050), counted(1000)) == []
    assert instructions.worse(counted(100), counted(1000)) == []
    assert instructions.worse(counted(1051), counted(1000)) == [
        f"{path.title}: 1,051 instructions, before 1,000" for path in instructions.PATHS
    ]


def test_only_the_same_build_is_compared() -> None:
    """The newest record of the same Python, compiler, C library and valgrind; none when there is none."""
    old, new, other = counted(1, "a"), counted(2, "a"), counted(3, "b")
    assert instructions.comparable("a", [old, new, other]) == new
    assert instructions.comparable("c", [old, new, other]) is None


def test_a_record_is_appended_and_shown(tmp_path: Path) -> None:
    """One line more in the file, the newest row of the page's table first."""
    history, page = tmp_path / "history.jsonl", tmp_path / "page.md"
    page.write_text(f"before\n{instructions._BEGIN}{instructions._END}after\n")
    instructions.append(counted(1234.56), history, page)
    instructions.append(msgspec.structs.replace(counted(999), commit=""), history, page)
    assert [one.paths[goals.HIT.key].instructions for one in instructions.read(history)] == [1234.56, 999]
    rows = [line for line in page.read_text().splitlines() if line.startswith("| 2026")]
    assert rows[0] == "| 2026-11-30 10:00 | not recorded | Python 3, GCC 1 | 999 | 999 | 999 | 999 |"
    assert rows[1].endswith("| `0123456789ab` | Python 3, GCC 1 | 1,235 | 1,235 | 1,235 | 1,235 |")


def test_the_page_shows_the_records() -> None:
    """The table of docs/performance.md is that of docs/instructions-history.jsonl, which has every path in each line."""
    records = instructions.read()
    text = instructions.PAGE.read_text(encoding="utf-8")
    assert instructions.with_table(text, records) == text
    assert all(one.paths.keys() == {path.key for path in instructions.PATHS} for one in records)


def test_no_path_takes_more_instructions_than_recorded() -> None:
    """Counted now, no path takes 5 % more than in the newest record of the same build: `make bench-instructions` makes one."""
    if why := instructions.missing():
        pytest.skip(why)
    before = instructions.comparable(instructions.built_with(), instructions.read())
    if before is None:
        pytest.skip("no record of this Python, compiler, C library and valgrind: make bench-instructions")
    now = instructions.measure("")
    assert instructions.worse(now, before) == []
    assert all(cost.instructions > 0 for cost in now.paths.values())
