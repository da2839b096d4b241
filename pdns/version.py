"""The version of the program and its commit: the one it was built from, or that of the checkout it runs from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from pdns import __version__

_PACKAGE: Final = Path(__file__).parent
_BUILT_FROM: Final = "commit.txt"  # beside this file in an installed package; setup.py writes it
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHOWN_DIGITS: Final = 12


def commit_of(package: Path) -> str:
    """The commit of the package in that directory, twelve digits and perhaps `-dirty`; "" if unknown."""
    try:
        return (package / _BUILT_FROM).read_text(encoding="ascii").strip()[:64]
    except (OSError, ValueError):
        pass
    try:
        return _head_of(package.parent)[:_SHOWN_DIGITS]
    except (OSError, ValueError):
        return ""


def _head_of(checkout: Path) -> str:
    """The commit of a git checkout. Read without git, which may not be installed. Raises `OSError`, `ValueError`."""
    git = checkout / ".git"
    if git.is_file():  # of a worktree
        git = checkout / git.read_text(encoding="utf-8").partition("gitdir:")[2].strip()
    head = (git / "HEAD").read_text(encoding="utf-8").strip()
    if not head.startswith("ref: "):
        return head if _HASH.fullmatch(head) else ""
    ref = head.removeprefix("ref: ")
    common = git / "commondir"
    shared = git / common.read_text(encoding="utf-8").strip() if common.is_file() else git
    for directory in (git, shared):
        if (directory / ref).is_file():
            found = (directory / ref).read_text(encoding="utf-8").strip()
            return found if _HASH.fullmatch(found) else ""
    for line in (shared / "packed-refs").read_text(encoding="utf-8").splitlines():
        found, _, name = line.partition(" ")
        if name == ref and _HASH.fullmatch(found):
            return found
    return ""


COMMIT: Final = commit_of(_PACKAGE)  # read before the processes give up what they do not need
VERSION: Final = f"{__version__} (commit {COMMIT})" if COMMIT else __version__
