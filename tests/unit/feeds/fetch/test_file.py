"""Feeds that are files."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from feeds.fetch import Fetched, Unchanged, Validators, file
from feeds.fetch.candidate import Candidate
from pdns.config.schema import Feed
from pdns.errors import FeedError

LIST = b"bad.example\n"


def get(path: Path, into: Path, known: Validators | None = None, max_bytes: int = 1000) -> Fetched | Unchanged:
    return file.fetch(Feed(name="local", url=path.as_uri(), max_bytes=max_bytes), path, known, into)


def refused(path: Path, into: Path, max_bytes: int = 1000) -> str:
    with pytest.raises(FeedError) as caught:
        get(path, into, max_bytes=max_bytes)
    assert not into.exists(), "a failed fetch leaves no file"
    return caught.value.reason


def test_a_file_is_copied(tmp_path: Path) -> None:
    """The candidate has the content, and the validators have the `FileStamp` of the file."""
    source = tmp_path / "list"
    source.write_bytes(LIST)
    fetched = get(source, tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == LIST
    assert fetched.validators.stamp == file.look(source)


def test_an_untouched_file_is_not_read(tmp_path: Path) -> None:
    """Same time, size and inode: unchanged, and no candidate is made."""
    source = tmp_path / "list"
    source.write_bytes(LIST)
    known = get(source, tmp_path / "new").validators
    assert get(source, tmp_path / "again", known) == Unchanged(known)
    assert not (tmp_path / "again").exists()
    os.utime(source, ns=(1, 1))
    assert isinstance(get(source, tmp_path / "again", known), Fetched)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """The reason names the path."""
    assert refused(tmp_path / "none", tmp_path / "new") == f"{tmp_path}/none: No such file or directory"
    assert file.look(tmp_path / "none") is None


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """A pipe or a device is an error at once; neither can make us wait."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        assert "not a regular file" in refused(path, tmp_path / "new")


def test_a_long_file_is_an_error(tmp_path: Path) -> None:
    """`max_bytes` bounds files too."""
    source = tmp_path / "list"
    source.write_bytes(LIST)
    assert "max_bytes = 11" in refused(source, tmp_path / "new", max_bytes=len(LIST) - 1)
    assert isinstance(get(source, tmp_path / "new", max_bytes=len(LIST)), Fetched)


def test_a_file_that_changes_while_it_is_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the old list and half of the new one are not a list."""
    source = tmp_path / "list"
    source.write_bytes(LIST)
    written = Candidate.write

    def write_and_meddle(candidate: Candidate, data: bytes) -> None:
        written(candidate, data)
        meddler = threading.Thread(target=lambda: source.write_bytes(b"x"))
        meddler.start()
        meddler.join()

    monkeypatch.setattr(Candidate, "write", write_and_meddle)
    assert "changed while it was read" in refused(source, tmp_path / "new")
