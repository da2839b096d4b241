"""Lists of every format and container that once broke the parser, and some of those that `lists.py` makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.lists import REGRESSIONS, TARGETS, Mutant, feed_one


@pytest.mark.parametrize("target", TARGETS)
def test_some_broken_lists(target: str, tmp_path: Path) -> None:
    """Each is read, or refused with a reason; what is read holds together. Some of them are read."""
    read = [feed_one(target, content, tmp_path) is not None for content in Mutant(7).inputs(target, 50)]
    assert any(read)


def test_what_was_found_stays_mended(tmp_path: Path) -> None:
    """Nothing breaks that a list of before has broken."""
    for path in sorted(REGRESSIONS.glob("*-*")):
        feed_one(path.name.rpartition("-")[0], path.read_bytes(), tmp_path)


def test_the_same_seed_makes_the_same_lists() -> None:
    """A finding can be had again."""
    for target in TARGETS:
        assert list(Mutant(3).inputs(target, 5)) == list(Mutant(3).inputs(target, 5))
