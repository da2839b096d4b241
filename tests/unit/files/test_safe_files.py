"""Reading files that may be anything: regular ones only, and no more of them than was asked for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from pdns.files import safe_files
from pdns.files.safe_files import MAX_DAMAGED_KEPT, ForeignError, NotRegularError, TooLongError, open_regular, read_bounded
from tests.descriptors import open_fds


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
    before = open_fds()
    with pytest.raises(NotRegularError, match="not a regular file"):
        read_bounded(path, 100, follow_links=True)
    assert open_fds() == before


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


# The state directory.


def _rename_onto(path: Path) -> None:
    new = path.with_name("new")
    safe_files.create(new).close()
    safe_files.rename(new, path)


WRITES: dict[str, Callable[[Path], object]] = {
    "write_whole": lambda path: safe_files.write_whole(path, b"new"),
    "create": lambda path: safe_files.create(path).close(),
    "append": lambda path: safe_files.append(path, b"new"),
    "open_lock": lambda path: os.close(safe_files.open_lock(path)),
    "rename": _rename_onto,
    "make_directory": safe_files.make_directory,
    "remove": safe_files.remove,
    "put_aside": safe_files.put_aside,
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("target", ["file", "directory", "nothing"])
def test_no_write_follows_a_link(tmp_path: Path, write: Callable[[Path], object], target: str) -> None:
    """Whatever it leads to stays as it is, and what was to be there is no link afterwards."""
    state, outside = tmp_path / "state", tmp_path / "outside"
    state.mkdir()
    if target == "file":
        outside.write_bytes(b"theirs")
    elif target == "directory":
        outside.mkdir()
    (state / "file").symlink_to(outside)
    write(state / "file")
    assert not (state / "file").is_symlink()
    assert outside.exists() == (target != "nothing")
    assert target != "file" or outside.read_bytes() == b"theirs"
    assert target != "directory" or list(outside.iterdir()) == []


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_no_write_goes_through_a_linked_directory(tmp_path: Path, write: Callable[[Path], object]) -> None:
    """Nor does reading."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"theirs")
    (tmp_path / "state").symlink_to(outside)
    with pytest.raises(OSError, match="Not a directory"):
        write(tmp_path / "state" / "file")
    with pytest.raises(OSError, match="Not a directory"):
        safe_files.read_state(tmp_path / "state" / "file", 100)
    assert [(path.name, path.read_bytes()) for path in outside.iterdir()] == [("file", b"theirs")]


@pytest.mark.parametrize("write", [WRITES["write_whole"], WRITES["append"], WRITES["open_lock"]], ids=["whole", "append", "lock"])
def test_what_is_in_the_way_is_put_aside(tmp_path: Path, write: Callable[[Path], object]) -> None:
    """A directory with content, and a pipe, which is not waited for."""
    path = tmp_path / "file"
    (path / "below").mkdir(parents=True)
    write(path)
    assert path.is_file()
    path.unlink()
    os.mkfifo(path)
    write(path)
    assert path.is_file()
    assert len(list(tmp_path.glob("file.damaged-*"))) == 2


def test_the_last_few_are_kept_aside(tmp_path: Path) -> None:
    """Each but the last few is removed when another one comes, and none before there are too many."""
    path = tmp_path / "file"
    for number in range(3 * MAX_DAMAGED_KEPT):
        path.write_bytes(b"%d" % number)
        assert safe_files.put_aside(path) is not None
        kept = sorted(int(one.read_bytes()) for one in tmp_path.iterdir())
        assert kept == list(range(max(0, number + 1 - MAX_DAMAGED_KEPT), number + 1))
    assert safe_files.put_aside(path) is None
    assert len(safe_files.damaged_files(tmp_path)) == MAX_DAMAGED_KEPT


def test_deep_directories_are_not_walked(tmp_path: Path) -> None:
    """They cost neither descriptors nor the stack: they get another name."""
    path = deepest = tmp_path / "file"
    for _ in range(60):
        deepest /= "d" * 50
    deepest.mkdir(parents=True)
    safe_files.remove(path)
    assert not path.exists()
    assert len(list(tmp_path.glob("file.damaged-*"))) == 1
    safe_files.write_whole(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_foreign_file_is_not_read(tmp_path: Path) -> None:
    """Its owner may not write to the directory: somebody moved or linked it there. The owner of the directory may."""
    path = tmp_path / "file"
    path.write_bytes(b"theirs")
    os.chown(path, 12345, 12345)
    with pytest.raises(ForeignError, match="belongs to user 12345"):
        safe_files.read_state(path, 100)
    os.chown(tmp_path, 12345, 12345)
    assert safe_files.read_state(path, 100) == b"theirs"


def test_a_line_that_was_cut_short_stays_alone(tmp_path: Path) -> None:
    """What is added begins a line of its own. A file with a second name is not added to."""
    path = tmp_path / "lines"
    safe_files.append(path, b"one\n")
    path.write_bytes(b"one\nha")
    safe_files.append(path, b"two\n")
    assert path.read_bytes() == b"one\nha\ntwo\n"
    (tmp_path / "other").hardlink_to(path)
    safe_files.append(path, b"three\n")
    assert path.read_bytes() == b"three\n"
    assert (tmp_path / "other").read_bytes() == b"one\nha\ntwo\n"
