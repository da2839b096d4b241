"""Reading files that may be anything: regular ones only, and no more of them than was asked for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pdns.safefiles import NotRegularError, TooLongError, open_regular, read_bounded


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 100])
def test_a_regular_file_is_read_whole(tmp_path: Path, content: bytes) -> None:
    """Up to the limit, and with it."""
    path = tmp_path / "file"
    path.write_bytes(content)
    assert read_bounded(path, 100) == content


def test_a_longer_file_is_refused(tmp_path: Path) -> None:
    """By a byte, or as a sparse file of a terabyte, of which nothing is read."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * 101)
    with pytest.raises(TooLongError, match="longer than 100 bytes"):
        read_bounded(path, 100)
    os.truncate(path, 1 << 40)
    with pytest.raises(TooLongError, match="longer than 100 bytes"):
        read_bounded(path, 100)


def test_a_file_whose_size_says_nothing_is_bounded() -> None:
    """Files of /proc say that they are empty."""
    assert read_bounded(Path("/proc/self/stat"), 65536).startswith(b"%d " % os.getpid())
    with pytest.raises(TooLongError):
        read_bounded(Path("/proc/self/stat"), 10)


def test_a_link_is_refused_unless_it_may_be_followed(tmp_path: Path) -> None:
    """Also one to nothing, and one to itself."""
    (tmp_path / "file").write_bytes(b"content")
    link = tmp_path / "link"
    link.symlink_to("file")
    with pytest.raises(NotRegularError, match="a symbolic link"):
        read_bounded(link, 100)
    assert read_bounded(link, 100, follow_links=True) == b"content"
    (tmp_path / "loop").symlink_to("loop")
    for follow_links in (True, False):
        with pytest.raises(OSError, match="symbolic link"):
            read_bounded(tmp_path / "loop", 100, follow_links=follow_links)


@pytest.mark.parametrize("kind", ["directory", "pipe", "socket", "device", "link to a pipe"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    """A pipe without a writer would keep the reader waiting forever. No descriptor stays open."""
    path = tmp_path / "file"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as unix:
            unix.bind(str(path))
    elif kind == "device":
        path = Path("/dev/zero")
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to("pipe")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(NotRegularError, match="not a regular file"):
        read_bounded(path, 100, follow_links=True)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_is_missing_is_missing(tmp_path: Path) -> None:
    """The usual error, for callers that expect it."""
    with pytest.raises(FileNotFoundError):
        read_bounded(tmp_path / "file", 100)


def test_the_descriptor_is_not_inherited(tmp_path: Path) -> None:
    """Children get what they are given, no more."""
    (tmp_path / "file").touch()
    fd = open_regular(tmp_path / "file")
    assert not os.get_inheritable(fd)
    os.close(fd)
