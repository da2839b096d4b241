"""Which commit a program says that it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pdns.version import commit_of

ROOT = Path(__file__).parents[2]
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(directory: Path, *command: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main")
    done = subprocess.run(["git", *who, *command], cwd=directory, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of one commit, with the directory of a package."""
    directory = tmp_path / "checkout"
    (directory / "pdns").mkdir(parents=True)
    (directory / "pdns/__init__.py").touch()
    git(directory, "init", "-q")
    git(directory, "add", ".")
    git(directory, "commit", "-qm", "one")
    return directory


@needs_git
def test_a_checkout_is_at_its_head(checkout: Path) -> None:
    """On a branch, with packed references, without a branch and in a second worktree it is what git says."""
    head = git(checkout, "rev-parse", "HEAD")[:12]
    assert commit_of(checkout / "pdns") == head
    git(checkout, "pack-refs", "--all")
    assert commit_of(checkout / "pdns") == head
    git(checkout, "worktree", "add", "-q", "-b", "other", "../second")
    git(checkout, "-C", "../second", "commit", "-qm", "two", "--allow-empty")
    second = git(checkout, "rev-parse", "other")[:12]
    assert second != head
    assert commit_of(checkout.parent / "second/pdns") == second
    git(checkout, "checkout", "-q", "--detach", "other")
    assert commit_of(checkout / "pdns") == second


def test_without_git_nothing_is_said(tmp_path: Path) -> None:
    """Outside a checkout, and where its files make no sense, there is no commit."""
    (tmp_path / "pdns").mkdir()
    assert commit_of(tmp_path / "pdns") == ""
    (tmp_path / ".git").mkdir()
    for head in (b"", b"ref: refs/heads/none", b"nonsense", b"\xff"):
        (tmp_path / ".git/HEAD").write_bytes(head)
        assert commit_of(tmp_path / "pdns") == ""


@needs_git
def test_a_build_leaves_its_commit(checkout: Path, tmp_path: Path) -> None:
    """What is built from a checkout says the commit without it, and that files had been changed."""
    (checkout / "setup.py").write_bytes((ROOT / "setup.py").read_bytes())
    (checkout / "pyproject.toml").write_text('[project]\nname = "pdns"\nversion = "1"\n[tool.setuptools]\npackages = ["pdns"]\n')
    built = tmp_path / "built"
    command = [sys.executable, "setup.py", "-q", "build_py", "-d", str(built)]
    for suffix in ("", "-dirty"):
        git(checkout, "add", ".")
        git(checkout, "commit", "-qm", "more", "--allow-empty")
        head = git(checkout, "rev-parse", "HEAD")[:12]
        if suffix:
            (checkout / "pyproject.toml").write_text((checkout / "pyproject.toml").read_text() + "\n")
        subprocess.run(command, cwd=checkout, env={**os.environ, "PDNS_COMPILED": "1"}, check=True, capture_output=True)
        assert commit_of(built / "pdns") == head + suffix


@needs_git
def test_a_build_without_git_names_the_commit(checkout: Path, tmp_path: Path) -> None:
    """Where git is missing, or refuses the checkout of another user, the build reads the commit from the files."""
    for name in ("setup.py", "pdns/version.py"):
        (checkout / name).write_bytes((ROOT / name).read_bytes())
    (checkout / "pdns/__init__.py").write_bytes((ROOT / "pdns/__init__.py").read_bytes())
    (checkout / "pyproject.toml").write_text('[project]\nname = "pdns"\nversion = "1"\n[tool.setuptools]\npackages = ["pdns"]\n')
    (tmp_path / "no programs").mkdir()
    command = [sys.executable, "setup.py", "-q", "build_py", "-d", str(tmp_path / "built")]
    environment = {**os.environ, "PATH": str(tmp_path / "no programs"), "PDNS_COMPILED": "1"}
    subprocess.run(command, cwd=checkout, env=environment, check=True, capture_output=True)
    assert commit_of(tmp_path / "built/pdns") == git(checkout, "rev-parse", "HEAD")[:12]
