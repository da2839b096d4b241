"""With the compiled part, without it, and without it by mistake."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pdns import fast
from pdns.errors import PdnsError

ROOT = Path(__file__).parents[3]


def test_a_missing_part_is_no_slow_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its compiled part the program does not start, and says how to get it and how to do without."""
    monkeypatch.setattr(fast, "find_spec", lambda _: None)
    monkeypatch.setattr(fast, "ACCELERATED", True)
    with pytest.raises(PdnsError, match=r"install again.*PDNS_PURE=1"):
        fast.require_fast()
    monkeypatch.setattr(fast, "ACCELERATED", False)
    fast.require_fast()


@pytest.mark.parametrize(("pure", "said"), [("1", "False"), ("", "True")])
def test_the_switch_is_the_environment(pure: str, said: str) -> None:
    """PDNS_PURE=1 and nothing else turns the compiled part off."""
    code = "import pdns.fast; print(pdns.fast.ACCELERATED)"
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PDNS_PURE": pure}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == said


@pytest.mark.long
@pytest.mark.skipif(not fast.ACCELERATED, reason="Cython is not needed, and perhaps not there")
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
