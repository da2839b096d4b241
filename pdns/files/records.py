"""JSON files with a checksum: the last member is the SHA-256 of the bytes before it.

`{"a":1}` becomes `{"a":1,"checksum":"..."}`, which every JSON reader understands. A file without a checksum is accepted, because
earlier versions wrote none.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shlex
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from pdns.errors import PdnsError
from pdns.files.safe_files import ForeignError, NotRegularError, TooLongError, open_state, put_aside, read_state, write_whole

SECOND_COPY: Final = ".backup"
_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_DIGEST: Final = re.compile(rb',"checksum":"([0-9a-f]{64})"\}\s*\Z')
_DIGEST_CHARACTERS: Final = 85  # and some white space
_CHUNK_BYTES: Final = 1024 * 1024
_UNUSABLE: Final = (FileNotFoundError, NotRegularError, TooLongError, ForeignError)  # missing, or not a regular file


class _Version(msgspec.Struct):
    version: int = 1


class DamagedError(PdnsError, msgspec.DecodeError):
    """Content that was damaged, or written by a later version."""


class LockedError(OSError):
    """A file that exists and cannot be read. The message names the file and the command that repairs it."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def locked(path: Path, exc: OSError) -> LockedError:
    """The exception to raise when reading `path` failed with `exc`."""
    return LockedError(exc.errno, f"cannot be read ({exc.strerror}). {remedy(path, exc)}", str(path))


def remedy(path: Path, exc: OSError) -> str:
    """The fix for `exc`, which prevented reading or writing `path`."""
    if exc.errno not in (errno.EACCES, errno.EPERM):
        return "Check the disk, then restore the file from a backup, or remove it"
    if not os.access(path.parent, os.R_OK | os.W_OK | os.X_OK):
        path = path.parent
    recursive = "-R " if path.is_dir() else ""
    if _is_ours(path):
        return f"As root: chmod {recursive}u+rwX {shlex.quote(str(path))}"
    ours = next((above for above in path.parents if _is_ours(above)), None)
    owner = f"--reference={shlex.quote(str(ours))}" if ours is not None else str(os.geteuid())
    return f"As root: chown {recursive}{owner} {shlex.quote(str(path))}"


def require_readable(path: Path, *, whole: bool = True) -> None:
    """Raises `LockedError` when there is an unreadable file at `path`, which must not be overwritten.

    Without `whole`, only the beginning is read.
    """
    try:
        with open_state(path) as file:
            while file.read(_CHUNK_BYTES) and whole:
                pass
    except _UNUSABLE:
        return
    except OSError as exc:
        raise locked(path, exc) from None


def _require_ours(path: Path) -> None:
    """Raises `LockedError` when the file at `path` is of another user, unless its second copy is ours; then it is put aside."""
    try:
        open_state(path).close()
    except ForeignError as exc:
        try:
            open_state(_second(path)).close()
        except OSError:
            raise locked(path, exc) from None
        put_aside(path)
    except OSError:
        return


def _is_ours(path: Path) -> bool:
    try:
        return path.lstat().st_uid == os.geteuid()
    except OSError:
        return False


def encode(value: msgspec.Struct) -> bytes:
    """`value`, which has at least one member, as JSON with a checksum."""
    body = msgspec.json.encode(value)[:-1]
    return body + b',"checksum":"' + hashlib.sha256(body).hexdigest().encode() + b'"}'


def check_digest(raw: bytes) -> None:
    """Raises `DamagedError` when `raw` has a wrong checksum."""
    found = _DIGEST.search(raw, max(0, len(raw) - 2 * _DIGEST_CHARACTERS))
    if found is not None and hashlib.sha256(raw[: found.start()]).hexdigest().encode() != found[1]:
        raise DamagedError("its checksum is wrong (after editing it by hand, remove the member checksum)")


def decode(raw: bytes, form: type[_T], version: int = 1) -> _T:
    """The reverse of `encode`. Raises `DamagedError`, also when the member `version` is above `version`."""
    check_digest(raw)
    try:
        written_by = msgspec.json.decode(raw, type=_Version).version
        if written_by > version:
            raise DamagedError(later_version(written_by))
        return msgspec.json.decode(raw, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise DamagedError(str(exc)) from None


def later_version(version: int) -> str:
    """Why a file is not read whose version this program does not know."""
    return f"it has version {version}, which was written by a later version of the program"


class Recovered(NamedTuple, Generic[_T]):
    """What the only writer of a file found at its start."""

    value: _T | None  # None: neither the file nor its second copy holds anything that can be used
    locked: LockedError | None = None  # why the file cannot be read; it is not written until it can be


def read(path: Path, parse: Callable[[bytes], _T], max_bytes: int) -> _T | None:
    """The content for readers: of the file, or of its second copy if the file is damaged or missing.

    None without both. Raises `LockedError`, another `OSError` or `DamagedError` about the file itself.
    """
    try:
        return parse(read_state(path, max_bytes))
    except (OSError, DamagedError) as exc:
        try:
            return parse(read_state(_second(path), max_bytes))
        except (OSError, DamagedError):
            if isinstance(exc, FileNotFoundError):
                return None
            if isinstance(exc, DamagedError | NotRegularError | TooLongError):
                raise exc from None
            raise locked(path, exc) from None


def recover(path: Path, parse: Callable[[bytes], _T], max_bytes: int) -> Recovered[_T]:
    """As `read`, for the only writer: a damaged file is put aside, and its second copy takes its place. Never raises.

    A file of another user is put aside if its second copy can be used. Otherwise it may have been restored by root, and stays.
    """
    unread: LockedError | None = None
    foreign: LockedError | None = None
    try:
        return Recovered(parse(read_state(path, max_bytes)))
    except FileNotFoundError:
        problem = "it is gone"
    except ForeignError as exc:
        problem, foreign = str(exc.strerror), locked(path, exc)
    except (NotRegularError, TooLongError) as exc:
        problem = str(exc.strerror)
    except DamagedError as exc:
        problem = str(exc)
    except OSError as exc:
        unread = locked(path, exc)
        problem = str(unread.strerror)
    try:
        raw = read_state(_second(path), max_bytes)
        value = parse(raw)
    except (OSError, DamagedError):
        unread = unread or foreign
        if problem != "it is gone":
            _log.error("%s cannot be used (%s), and neither can its second copy", path, unread.strerror if unread else problem)
            _put_aside(path, unread)
        return Recovered(None, unread)
    _log.error("%s cannot be used (%s): its second copy is used", path, problem)
    _put_aside(path, unread)
    if unread is None:
        with suppress(OSError):
            write_whole(path, raw)
    return Recovered(value, unread)


def store(path: Path, data: bytes, *, synced: bool = True) -> None:
    """Replace the file, then its second copy; neither while the file cannot be read.

    Raises `LockedError` or another `OSError`; the file then has its old content or `data`.
    """
    require_readable(path)
    _require_ours(path)
    write_whole(path, data, synced=synced)
    try:
        require_readable(_second(path))
        write_whole(_second(path), data, synced=synced)
    except OSError as exc:  # the file itself is whole
        _log.warning("the second copy of %s is not written: %s", path, exc)


def _put_aside(path: Path, unread: LockedError | None) -> None:
    if unread is None:
        with suppress(OSError):
            put_aside(path)


def _second(path: Path) -> Path:
    return path.with_name(path.name + SECOND_COPY)
