"""What a process that restricts itself can write from then on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pdns.confinement import landlock

with_landlock = pytest.mark.skipif(landlock.abi() < landlock.LEAST_ABI, reason="this kernel has no Landlock")
SNIPPET = """
import sys
from pathlib import Path
from pdns.confinement import kernel_calls, landlock
write, read, *others = map(Path, sys.argv[1:])
kernel_calls.prctl(38, 1)  # no_new_privs: without it only root may restrict itself
try:
    landlock.restrict(write=[write], read=[read, *map(Path, sys.path[1:]), Path("/usr"), Path("/lib")])
    print("restricted")
except OSError as error:
    print("not restricted:", error.strerror)
for path in (write / "new", *others):
    try:
        path.write_text("x")
        print("written")
    except OSError as error:
        print("refused:", error.strerror)
"""


def restricted(*paths: Path) -> list[str]:
    """What a process reports that confines itself to write the first path and read the second, then writes the others."""
    done = subprocess.run(
        [sys.executable, "-c", SNIPPET, *map(str, paths)],
        capture_output=True,
        text=True,
        cwd=Path(landlock.__file__).parents[1],
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


@with_landlock
def test_it_writes_where_it_may(tmp_path: Path) -> None:
    """Below the directory that was named, and nowhere else."""
    (tmp_path / "own").mkdir()
    said = restricted(tmp_path / "own", tmp_path, tmp_path / "other")
    assert said == ["restricted", "written", "refused: Permission denied"]


@with_landlock
def test_a_path_to_read_may_be_missing(tmp_path: Path) -> None:
    """It is left out."""
    (tmp_path / "own").mkdir()
    assert restricted(tmp_path / "own", tmp_path / "missing") == ["restricted", "written"]


@with_landlock
def test_a_path_to_write_must_exist(tmp_path: Path) -> None:
    """Without it the process could never write what it is there for: it is said, and nothing is restricted."""
    said = restricted(tmp_path / "missing", tmp_path, tmp_path / "other")
    assert said == ["not restricted: No such file or directory", "refused: No such file or directory", "written"]
