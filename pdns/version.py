"""Which version this is: that of the release, and the commit that it was made from.

`setup.py` writes the commit into an installed package. A clone that is run in place has it in `.git`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from pdns import __version__

COMMIT_FILE: Final = "commit.txt"
_PACKAGE: Final = Path(__file__).parent
_HASH: Final = re.compile(r"[0-9a-f]{40,64}")
_SHOWN: Final = 10


def checked_out(repository: Path) -> str:
    """The commit that is checked out in `repository`; "" when that is no clone, or cannot be read."""
    with suppress(OSError, UnicodeDecodeError):
        directory = repository / ".git"
        if directory.is_file():  # a worktree
            directory = repository / directory.read_text().removeprefix("gitdir:").strip()
        head = (directory / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return _commit(head)
        ref = head.removeprefix("ref: ")
        common = directory / (directory / "commondir").read_text().strip() if (directory / "commondir").exists() else directory
        if (common / ref).exists():
            return _commit((common / ref).read_text().strip())
        for line in (common / "packed-refs").read_text().splitlines():
            if line.endswith(f" {ref}"):
                return _commit(line.partition(" ")[0])
    return ""


def _commit(text: str) -> str:
    return text if _HASH.fullmatch(text) else ""


def _installed() -> str:
    with suppress(OSError, UnicodeDecodeError):
        return _commit((_PACKAGE / COMMIT_FILE).read_text().strip())
    return ""


def _version() -> str:
    commit = _installed() or checked_out(_PACKAGE.parent)
    return f"{__version__}+{commit[:_SHOWN]}" if commit else __version__


VERSION: Final = _version()  # as it was when this process began
