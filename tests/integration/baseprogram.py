"""The program as it was at an earlier commit, built once, and a program whose files are replaced while it runs."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest

from tests.integration.running_pdns import ROOT

PINNED: Final = "c7cc50185dd481b065614de9720bc39c3fa8cfc3"  # what upgrades are tested from while there is no tag of a release
_BUILDS: Final = ROOT / "build" / "base"
_PACKAGES: Final = ("pdns", "feeds")
_SUFFIXES: Final = (".py", ".so", ".toml", ".txt", ".msgpack", ".json", ".html", ".css", ".js", ".svg")


def base_commit() -> str:
    """The commit of the last release, or the pinned one. Skips the test where the history is not there."""
    tag = _git("describe", "--tags", "--abbrev=0", "--match=v[0-9]*", "HEAD^")
    commit = _git("rev-parse", "--verify", f"{tag or PINNED}^{{commit}}")
    if not commit:
        pytest.skip("the history of the repository is not here (a shallow clone, or no git)")
    return commit


def base_program() -> Path:
    """The directory with `pdns` and `feeds` of that commit, with compiled kernels. Kept below `build/` for the next time."""
    commit = base_commit()
    directory = _BUILDS / commit[:12]
    _BUILDS.mkdir(parents=True, exist_ok=True)
    with (_BUILDS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "built").exists():
            shutil.rmtree(directory, ignore_errors=True)
            content = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True, timeout=60).stdout
            with tarfile.open(fileobj=BytesIO(content)) as archive:
                archive.extractall(directory, filter="data")
            _compile(directory)
            (directory / "built").touch()
    return directory


def _compile(directory: Path) -> None:
    """Kernels whose sources are the same as ours are ours."""
    if _kernel_sources(directory) == _kernel_sources(ROOT):
        for kernel in (ROOT / "pdns/fast").glob("*.so"):
            shutil.copy2(kernel, directory / "pdns/fast" / kernel.name)
        return
    build = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    done = subprocess.run(build, cwd=directory, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr


def _kernel_sources(directory: Path) -> dict[str, bytes]:
    sources = [directory / "setup.py", *(directory / "pdns/fast").glob("*.p[yx][xd]")]
    return {path.name: path.read_bytes() for path in sources}


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


class InstalledProgram:
    """A directory with the files of one program, which another one replaces as a package does: file by file, by renames."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def install(self, source: Path) -> None:
        """Replace all files by those of `source`; files that it does not have go last."""
        wanted = set(_files(source))
        for path in sorted(wanted):
            target = self.directory / path
            target.parent.mkdir(parents=True, exist_ok=True)
            new = target.with_name(target.name + ".dpkg-new")
            shutil.copyfile(source / path, new)
            new.replace(target)
        for path in set(_files(self.directory)) - wanted:
            (self.directory / path).unlink()

    @property
    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(self.directory), "PYTHONDONTWRITEBYTECODE": "1"}


def _files(directory: Path) -> Iterator[Path]:
    for package in _PACKAGES:
        for above, below, names in os.walk(directory / package):
            below[:] = [name for name in below if name != "__pycache__"]
            yield from (Path(above, name).relative_to(directory) for name in names if name.endswith(_SUFFIXES))
