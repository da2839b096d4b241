"""A version of a file changes when the file does."""

from __future__ import annotations

import errno
from pathlib import Path

from pdns.files.file_version import version_of


def test_versions(tmp_path: Path) -> None:
    """Another content, another file, another target of a link, none."""
    path = tmp_path / "file"
    seen = [version_of(path)]
    assert seen == [(errno.ENOENT,)]
    path.write_text("a")
    seen.append(version_of(path))
    assert version_of(path) == seen[-1]
    path.write_text("ab")
    seen.append(version_of(path))
    (tmp_path / "new").write_text("ab")
    (tmp_path / "new").replace(path)
    seen.append(version_of(path))
    (tmp_path / "other").write_text("x")
    (tmp_path / "link").symlink_to("other")
    (tmp_path / "link").replace(path)
    seen.append(version_of(path))
    assert len(set(seen)) == len(seen)
    assert seen[-1] == version_of(tmp_path / "other")
