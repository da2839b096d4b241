"""Safe access to files that another process or user may have replaced: only regular files, with a limit on their size.

| need | function |
|---|---|
| read a file that an administrator names, such as a list or a token | `read_bounded`, `open_regular` |
| read a file of the state directory | `read_state`, `open_state` |
| replace a file as a whole | `write_whole` |
| write a file piece by piece under a temporary name, then rename it | `create`, `rename` |
| append to a file | `append` |
| lock a file | `open_lock` |
| make a directory, the state directory itself, a socket | `make_directory`, `make_state_directory`, `bind` |
| remove a file | `remove`; `put_aside` keeps it |
| notice a change | `appearance` |

Only these functions write to the state directory; a structure test checks that. They follow no link and never change an owner,
which the processes may not do. Commands run by root switch to the owner of the directory first (`pdns/state/owner.py`).
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final

TEMPORARY: Final = ".tmp"  # names of unfinished files, which are ignored
DAMAGED: Final = ".damaged-"  # between the name of a file that was put aside and the time
MAX_DAMAGED_KEPT: Final = 5  # of one name
_MAX_DEPTH: Final = 8  # of a directory that is removed: ours have two levels
_CHUNK_BYTES: Final = 1024 * 1024
_SAFELY: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


_log = logging.getLogger(__name__)


class NotRegularError(OSError):
    """A directory, pipe, link, socket or device where a regular file was expected."""


class ForeignError(OSError):
    """A file whose owner may not write in its directory."""


class TooLongError(OSError):
    """A file that is longer than its reader allows."""


def read_bounded(path: Path, max_bytes: int, *, follow_links: bool = False) -> bytes:
    """The content of the regular file at `path`, at most `max_bytes` of it. Never waits for another process.

    A symbolic link as the last part of `path` is refused unless `follow_links`. Raises `NotRegularError`, `TooLongError`
    (nothing is read of a file whose size says so) or another `OSError`.
    """
    fd = open_regular(path, follow_links=follow_links)
    try:
        return _read(fd, path, max_bytes)
    finally:
        os.close(fd)


def open_regular(path: Path, *, follow_links: bool = False, directory: int | None = None) -> int:
    """A descriptor to read the regular file at `path` from; not inherited by children. `directory`: a descriptor of its parent.

    Never waits: neither for the writer of a pipe nor for a terminal. Raises `NotRegularError` or another `OSError`.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW)
    try:
        fd = os.open(path if directory is None else path.name, flags, dir_fd=directory)
    except OSError as exc:
        if exc.errno == errno.ELOOP and not follow_links:
            raise NotRegularError(errno.ELOOP, "a symbolic link, not a regular file", str(path)) from None
        if exc.errno == errno.ENXIO:
            raise NotRegularError(errno.ENXIO, "a socket or a device, not a regular file", str(path)) from None
        raise
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        raise NotRegularError(errno.EINVAL, f"{kind}, not a regular file", str(path))
    return fd


# The state directory: other users may own it, and anyone who may write to it can place files or links where pdns writes next.
# No link is followed in any part of these paths (`state.dir` itself is resolved when the configuration is read), and a new file
# never opens an existing one.


def read_state(path: Path, max_bytes: int) -> bytes:
    """As `read_bounded`, for a file of the state directory: no part of `path` may be a link, and its owner must be the owner of
    the directory, root, or the current user.

    Raises `NotRegularError`, `TooLongError`, `ForeignError` or another `OSError`.
    """
    with open_state(path) as file:
        return _read(file.fileno(), path, max_bytes)


def open_state(path: Path) -> BufferedReader:
    """The regular file at `path`, to read from; checks and errors as `read_state`."""
    with _parent(path) as directory:
        fd = open_regular(path, directory=directory)
        owner = os.fstat(fd).st_uid
        if owner not in (0, os.geteuid(), os.fstat(directory).st_uid):
            os.close(fd)
            raise ForeignError(errno.EPERM, f"it belongs to user {owner}, who may not write in this directory", str(path))
    return open(fd, "rb")  # noqa: PTH123 (a descriptor; the caller closes it)


def create(path: Path, mode: int = 0o644) -> BinaryIO:
    """A new file at `path`, to write and read; an existing file is removed. Raises `OSError`."""
    with _parent(path) as directory:
        fd = _new(path, directory, mode)
    return open(fd, "w+b")  # noqa: PTH123 (as above)


def write_whole(path: Path, data: bytes, *, mode: int = 0o644, synced: bool = True) -> None:
    """Replace `path` by `data` in one step: readers see the old or the new content, also after a kill or on a full disk.

    With `synced`, also after a power cut. Anything at `path` that is not a file is put aside. One process at a time may write
    `path`. Raises `OSError`, and then leaves no temporary file.
    """
    temporary = path.with_name(path.name + TEMPORARY)
    with _parent(path) as directory:
        try:
            with open(_new(temporary, directory, mode), "wb") as file:
                file.write(data)
                file.flush()
                if synced:
                    os.fsync(file.fileno())
            _replace(directory, temporary.name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary.name, dir_fd=directory)
            raise
        if synced:
            _sync(directory)


def open_lock(path: Path) -> int:
    """A descriptor of the file at `path`, created if missing, to lock and to write a few bytes into. Raises `OSError`.

    Anything there that is not a file is put aside.
    """
    with _parent(path) as directory:
        try:
            fd = os.open(path.name, os.O_RDWR | _SAFELY, dir_fd=directory)
            if stat.S_ISREG(os.fstat(fd).st_mode):
                return fd
            os.close(fd)
        except FileNotFoundError:
            return _new(path, directory, 0o640)
        except PermissionError:
            raise
        except OSError:
            pass
        put_aside(path)
        return _new(path, directory, 0o640)


def bind(path: Path, sock: socket.socket) -> None:
    """Bind a local socket to `path`, for this user only; anything there is removed. Raises `OSError`."""
    with _parent(path) as directory:
        remove(path)
        mask = os.umask(0o177)
        try:
            sock.bind(str(itself(directory, path.parent) / path.name))
        finally:
            os.umask(mask)


def itself(fd: int, path: Path) -> Path:
    """A path to the open file of `fd`, even if it was renamed, for calls that take no descriptor.

    Where /proc is not mounted it is `path`.
    """
    descriptor = Path(f"/proc/self/fd/{fd}")
    return descriptor if descriptor.exists() else path


def rename(old: Path, new: Path) -> None:
    """Rename `old` to `new` in the same directory; anything there that is not a file is put aside. Raises `OSError`."""
    with _parent(new) as directory:
        _replace(directory, old.name, new)


def append(path: Path, data: bytes, mode: int = 0o640, *, synced: bool = True) -> None:
    """Append `data` to `path` and, if `synced`, sync it. Anything there that is not a file of ours is put aside.

    Raises `OSError`.
    """
    with _parent(path) as directory:
        flags = os.O_WRONLY | os.O_APPEND | _SAFELY
        try:
            fd = os.open(path.name, flags, dir_fd=directory)
            found = os.fstat(fd)
            ours = found.st_uid in (os.geteuid(), os.fstat(directory).st_uid) and found.st_nlink == 1
            if not (ours and stat.S_ISREG(found.st_mode)):
                os.close(fd)
                raise NotRegularError(errno.EINVAL, "not a file of this program", str(path))
        except FileNotFoundError:
            fd = _new(path, directory, mode, flags)
        except OSError as exc:
            if isinstance(exc, PermissionError):
                raise
            put_aside(path)
            fd = _new(path, directory, mode, flags)
        try:
            size = os.fstat(fd).st_size
            if size and not _ends_a_line(path, directory, size):
                data = b"\n" + data  # an incomplete last line stays a separate line
            while data:
                data = data[os.write(fd, data) :]
            if synced:
                os.fsync(fd)
        finally:
            os.close(fd)
        if synced:
            _sync(directory)


def make_directory(path: Path, mode: int = 0o755) -> None:
    """Make a directory at `path`; a link or file there is put aside. Its parent must exist.

    Raises `OSError`.
    """
    with _parent(path) as directory:
        with suppress(FileNotFoundError):
            if _is_directory(path.name, directory):
                return
            put_aside(path)
        os.mkdir(path.name, mode, dir_fd=directory)


def make_state_directory(path: Path) -> None:
    """Make the state directory and its parents; a new one is for its owner and group only. Raises `OSError`."""
    path.mkdir(mode=0o750, parents=True, exist_ok=True)


def remove(path: Path) -> None:
    """Remove anything at `path`; links are removed, not followed. Directories nested deeper than ours are put aside instead.
    Raises `OSError`.
    """
    with suppress(FileNotFoundError), _parent(path) as directory:
        try:
            _remove(path.name, directory, _MAX_DEPTH)
        except OSError as exc:
            if exc.errno != errno.ENOTEMPTY:
                raise type(exc)(exc.errno, exc.strerror, str(path)) from None
            put_aside(path)


def put_aside(path: Path) -> Path | None:
    """Rename `path` to `NAME.damaged-<time>` and return that; None when there is nothing. The last few are kept.

    Raises `OSError`.
    """
    seconds, fraction_ns = divmod(time.time_ns(), 10**9)
    moment = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}.{fraction_ns // 1000:06}"
    with _parent(path) as directory:
        earlier = sorted(name for name in _names(directory) if name.startswith(path.name + DAMAGED))
        aside = path.with_name(f"{path.name}{DAMAGED}{moment}")
        while aside.name in earlier:
            aside = aside.with_name(aside.name + "+")
        try:
            os.rename(path.name, aside.name, src_dir_fd=directory, dst_dir_fd=directory)
        except FileNotFoundError:
            return None
    _log.error("%s is damaged, or not a file of this program: it is kept as %s", path, aside.name)
    for name in earlier[: max(0, len(earlier) + 1 - MAX_DAMAGED_KEPT)]:
        with suppress(OSError), _parent(path) as directory:
            _remove(name, directory, _MAX_DEPTH)
    return aside


def damaged_files(state_dir: Path) -> list[str]:
    """The files below `state_dir` that were put aside, relative to it."""
    found = (path for pattern in ("", "*/", "feeds/*/") for path in state_dir.glob(f"{pattern}*{DAMAGED}*"))
    return sorted({str(path.relative_to(state_dir)) for path in found})


def appearance(path: Path) -> tuple[int, ...]:
    """A value that changes when the file at `path` changes or is replaced; () without one. A link is not followed."""
    try:
        found = path.lstat()
    except OSError:
        return ()
    return found.st_mode, found.st_uid, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@contextmanager
def _parent(path: Path) -> Iterator[int]:
    """A descriptor of the directory that `path` is in. Raises `OSError`, also when any part of it is a link."""
    fd = os.open("/", _DIRECTORY)
    try:
        for part in path.absolute().parts[1:-1]:
            try:
                below = os.open(part, _DIRECTORY, dir_fd=fd)
            except OSError as exc:
                raise type(exc)(exc.errno, exc.strerror, str(path.parent)) from None
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def _new(path: Path, directory: int, mode: int, flags: int = os.O_RDWR) -> int:
    """A new file; anything with that name is removed before."""
    try:
        fd = os.open(path.name, flags | os.O_CREAT | os.O_EXCL | _SAFELY, mode, dir_fd=directory)
    except FileExistsError:
        remove(path)
        fd = os.open(path.name, flags | os.O_CREAT | os.O_EXCL | _SAFELY, mode, dir_fd=directory)
    except OSError as exc:
        raise type(exc)(exc.errno, exc.strerror, str(path)) from None
    return fd


def _read(fd: int, path: Path, max_bytes: int) -> bytes:
    content = bytearray()
    if os.fstat(fd).st_size <= max_bytes:
        while chunk := os.read(fd, min(_CHUNK_BYTES, max_bytes + 1 - len(content))):
            content += chunk
            if len(content) > max_bytes:
                break
        else:
            return bytes(content)
    raise TooLongError(errno.EFBIG, f"longer than {max_bytes:,} bytes", str(path))


def _remove(name: str, directory: int, depth: int) -> None:
    """Raises `OSError`: with ENOTEMPTY where directories are nested more than `depth` deep."""
    if not _is_directory(name, directory):
        os.unlink(name, dir_fd=directory)
        return
    if depth:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | _SAFELY, dir_fd=directory)
        try:
            for below in os.listdir(fd):  # noqa: PTH208 (a descriptor)
                _remove(below, fd, depth - 1)
        finally:
            os.close(fd)
    os.rmdir(name, dir_fd=directory)


def _ends_a_line(path: Path, directory: int, size: int) -> bool:
    fd = open_regular(path, directory=directory)
    try:
        return os.pread(fd, 1, size - 1) == b"\n"
    finally:
        os.close(fd)


def _replace(directory: int, name: str, path: Path) -> None:
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(path.name, dir_fd=directory, follow_symlinks=False).st_mode):
            put_aside(path)
    os.rename(name, path.name, src_dir_fd=directory, dst_dir_fd=directory)


def _is_directory(name: str, directory: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)


def _names(directory: int) -> list[str]:
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.listdir(fd)  # noqa: PTH208 (a descriptor)
    finally:
        os.close(fd)


def _sync(directory: int) -> None:
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
