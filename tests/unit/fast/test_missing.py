"""A program whose compiled part is missing, or cannot be built."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def test_a_missing_part_ends_the_program(tmp_path: Path) -> None:
    """Without its compiled part no command runs, and the message says how to get it."""
    shutil.copytree(ROOT / "pdns", tmp_path / "pdns", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    command = [sys.executable, "-m", "pdns", "--version"]
    run = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert re.search(r"compiled part is missing.*apt install gcc python3-dev", run.stderr)


@pytest.mark.long
def test_a_build_that_fails_ends_the_installation(tmp_path: Path) -> None:
    """A compiler that fails is a failed installation with a clear message, not a slow program."""
    shutil.copytree(ROOT / "pdns", tmp_path / "pdns", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    run = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=tmp_path,
        env=os.environ | {"CC": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "its compiled part could not be built" in run.stderr
    assert "apt-get install gcc python3-dev" in run.stderr
    assert not list(tmp_path.rglob("*.so"))
