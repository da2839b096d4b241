"""The version names the commit that a clone has checked out, or that an installation was made from."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import pdns
from pdns import version
from pdns.version import COMMIT_FILE, VERSION, checked_out

ROOT = Path(__file__).parents[2]


def git(repository: Path, *words: str) -> str:
    """What git prints, with an author of its own and nobody's configuration."""
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main", "-c", "gc.auto=0"]
    command = ["git", "-C", str(repository), *identity, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    if shutil.which("git") is None:
        pytest.skip("no git here")
    clone = tmp_path / "clone"
    clone.mkdir()
    git(clone, "init", "-q")
    git(clone, "commit", "-q", "--allow-empty", "-m", "first")
    return clone


def test_a_branch_a_commit_packed_refs_and_a_worktree(clone: Path, tmp_path: Path) -> None:
    """However the commit is checked out, it is what git itself says."""
    commit = git(clone, "rev-parse", "HEAD")
    assert checked_out(clone) == commit
    git(clone, "pack-refs", "--all")
    assert checked_out(clone) == commit
    git(clone, "worktree", "add", "-q", "-b", "other", str(tmp_path / "other"))
    git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "second")
    assert checked_out(tmp_path / "other") == git(tmp_path / "other", "rev-parse", "HEAD") != commit
    git(clone, "checkout", "-q", "--detach")
    assert checked_out(clone) == commit


def test_without_a_clone(tmp_path: Path) -> None:
    """Where there is no clone, or a damaged one, no commit is named and nothing is raised."""
    assert checked_out(tmp_path) == ""
    (tmp_path / ".git").mkdir()
    assert checked_out(tmp_path) == ""
    (tmp_path / ".git/HEAD").write_bytes(b"ref: refs/heads/\xff")
    assert checked_out(tmp_path) == ""
    (tmp_path / ".git/HEAD").write_text("main")
    assert checked_out(tmp_path) == ""


def test_an_installation_says_what_it_was_made_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that setup.py writes counts, and without it and a clone there is the release alone."""
    monkeypatch.setattr(version, "_PACKAGE", tmp_path / "pdns")
    assert version._version() == pdns.__version__
    (tmp_path / "pdns").mkdir()
    (tmp_path / "pdns" / COMMIT_FILE).write_text(f"{'ab' * 20}\n")
    assert version._version() == f"{pdns.__version__}+{'ab' * 5}"
    (tmp_path / "pdns" / COMMIT_FILE).write_text("no commit\n")
    assert version._version() == pdns.__version__


def test_this_version() -> None:
    """It is the release, with ten digits of a commit where one is known."""
    assert re.fullmatch(re.escape(pdns.__version__) + r"(\+[0-9a-f]{10})?", VERSION)
    assert ("+" in VERSION) == bool(checked_out(ROOT) or (ROOT / "pdns" / COMMIT_FILE).exists())
