"""Some of the inputs that `parsers.py` makes of each target, and those that once broke one; in the long suite many more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.parsers import REGRESSIONS, TARGETS, feed_one, inputs


@pytest.mark.parametrize("target", TARGETS)
def test_some_broken_inputs(target: str, tmp_path: Path) -> None:
    """Each is read, or refused with a reason; what is read holds together. Some of them are read."""
    read = [feed_one(target, content, tmp_path) for content in inputs(target, 7, 60)]
    assert any(read)


def test_what_was_found_stays_mended(tmp_path: Path) -> None:
    """Nothing breaks that an input of before has broken."""
    for path in sorted(REGRESSIONS.glob("*-*")):
        feed_one(path.name.rpartition("-")[0], path.read_bytes(), tmp_path)


def test_the_same_seed_makes_the_same_inputs() -> None:
    """A finding can be had again."""
    for target in TARGETS:
        assert list(inputs(target, 3, 10)) == list(inputs(target, 3, 10))


@pytest.mark.long
@pytest.mark.timeout(900)
def test_many_broken_inputs() -> None:
    """Of each, in processes under limits of the kernel, as `make fuzz` does with ten times as many."""
    command = [sys.executable, "-m", "tests.fuzz.parsers", "--inputs", "2000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{2000 * len(TARGETS):,} inputs, 0 findings" in done.stdout
