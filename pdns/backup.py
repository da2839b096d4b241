"""A backup of the state directory as one file, made while the server runs, and the way back.

The file is a gzipped tar archive, which `tar -xzf` unpacks too. Its last member, `pdns-backup.json`, has the size and SHA-256 of
each other one: an archive that was cut short is not taken for a whole one. `docs/operations.md` says what is in it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

import msgspec

from pdns import __version__
from pdns.errors import PdnsError, StoreError
from pdns.event_store import sqlite_schema
from pdns.event_store.sqlite_schema import open_to_read
from pdns.files.safe_files import DAMAGED, TEMPORARY, create, make_directory, open_state
from pdns.state import in_force, live_config
from pdns.state.lock import LOCK_NAME

MANIFEST: Final = "pdns-backup.json"
VERSION: Final = 1
FORMATS: Final = {  # the newest version of each that this program reads: docs/upgrades.md
    "overrides.json": 1, "credentials.json": 1, "closed_reports.json": 1, "reports.json": 1, "hits.msgpack": 1, "copy.json": 1,
    "hold.json": 1, "entries": 2, "events.db": 1,
}  # fmt: skip
_ASIDE: Final = "before-restore-"
EVENTS_DB: Final = f"{sqlite_schema.DIRECTORY}/{sqlite_schema.FILE_NAME}"
LEFT_OUT: Final = frozenset((  # what is made anew, or must not be beside the events: docs/retro-hunt.md
    "blocksets", sqlite_schema.DIRECTORY, "requests", "names.key", "feeds.json", "feeds/compiled.json", live_config.FILE_NAME,
    in_force.FILE_NAME, LOCK_NAME,
))  # fmt: skip
_MAX_MANIFEST_BYTES: Final = 16 * 1024 * 1024
_RESERVE_BYTES: Final = 64 * 1024 * 1024  # of the disk that the server writes to meanwhile
_CHUNK_BYTES: Final = 1024 * 1024
_MOST_LEVELS: Final = 8  # of directories; ours have three
_TRIES: Final = 20  # to copy a directory whose record changes meanwhile
_MADE_OF_RECORDS: Final = ("copy.json", "hold.json")  # they name the files beside them


class BackupError(PdnsError):
    """A backup that cannot be made, or must not be restored."""


class BackupFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a backup."""

    size_bytes: int
    sha256: str


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a backup, and which program made it."""

    version: int = VERSION
    program: str = __version__
    made_s: float  # seconds since the epoch
    formats: dict[str, int] = {}  # as `FORMATS` of that program
    files: dict[str, BackupFile]


def back_up(state_dir: Path, out: BinaryIO, now_s: float, *, events: bool = True) -> BackupManifest:
    """Write a backup of `state_dir` to `out`. A running server is not disturbed. Raises `BackupError`."""
    files: dict[str, BackupFile] = {}
    try:
        with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
            for directory in _directories(state_dir):
                _add_directory(archive, state_dir, directory, files)
            if events and (state_dir / EVENTS_DB).exists():
                _add_events(archive, state_dir, files)
            manifest = BackupManifest(made_s=now_s, formats=FORMATS, files=files)
            raw = msgspec.json.encode(manifest)
            archive.addfile(_member(MANIFEST, 0o600, len(raw), now_s), BytesIO(raw))
        out.flush()
    except (OSError, sqlite3.Error, StoreError) as exc:
        raise BackupError(f"{state_dir}: {exc}") from None
    return manifest


def restore(archive: BinaryIO, state_dir: Path, *, force: bool = False) -> tuple[BackupManifest, Path | None]:
    """Unpack a backup into `state_dir`, which no server may use. All of it is checked first.

    With `force`, what is there is moved to the directory that is returned beside the manifest. Raises `BackupError`; the
    directory is then as it was.
    """
    present = sorted(entry.name for entry in os.scandir(state_dir) if entry.name != LOCK_NAME)
    if present and not force:
        raise BackupError(f"{state_dir} is not empty (it has {present[0]}): --force moves what is there aside")
    staging = state_dir / f".restore-{os.getpid()}{TEMPORARY}"
    try:
        manifest = _unpack(archive, staging)
        (staging / MANIFEST).unlink()
        aside = _move_aside(state_dir, present) if present else None
        for entry in os.scandir(staging):
            Path(entry.path).rename(state_dir / entry.name)
        os.sync()
    except (OSError, tarfile.TarError, EOFError, ValueError) as exc:
        raise BackupError(f"not restored: {exc}") from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest, aside


def _directories(state_dir: Path) -> Iterator[Path]:
    """Every directory with something to keep, the upper ones first."""
    for path, below, _ in os.walk(state_dir):
        below[:] = sorted(name for name in below if _is_kept(Path(path, name), state_dir))
        yield Path(path)


def _is_kept(path: Path, state_dir: Path) -> bool:
    name = path.name
    unwanted = DAMAGED in name or name.endswith(TEMPORARY) or name.startswith((".", _ASIDE))
    return not unwanted and str(path.relative_to(state_dir)) not in LEFT_OUT


def _add_directory(archive: tarfile.TarFile, state_dir: Path, directory: Path, files: dict[str, BackupFile]) -> None:
    """Its files, all as they were at one moment as far as its records are concerned."""
    if directory != state_dir:
        member = _member(str(directory.relative_to(state_dir)), directory.stat().st_mode & 0o777, 0, directory.stat().st_mtime)
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
    with _opened(directory, state_dir) as opened:
        for name, file in opened.items():
            path = str((directory / name).relative_to(state_dir))
            _add(archive, path, file, files)


@contextmanager
def _opened(directory: Path, state_dir: Path) -> Iterator[dict[str, BinaryIO]]:
    """The files of a directory, open: what is replaced or removed meanwhile stays as it was."""
    opened: dict[str, BinaryIO] = {}
    try:
        for _ in range(_TRIES):
            before = _records_of(directory)
            for path in sorted(directory.iterdir()):
                if path.is_file() and not path.is_symlink() and _is_kept(path, state_dir):
                    try:
                        opened[path.name] = open_state(path)
                    except FileNotFoundError:
                        continue
            if _records_of(directory) == before:
                break
            _close(opened)
        else:
            raise BackupError(f"{directory} changes all the time")
        yield opened
    finally:
        _close(opened)


def _records_of(directory: Path) -> list[tuple[int, int]]:
    found = []
    for name in _MADE_OF_RECORDS:
        try:
            stat = (directory / name).lstat()
        except OSError:
            found.append((0, 0))
        else:
            found.append((stat.st_ino, stat.st_mtime_ns))
    return found


def _close(opened: dict[str, BinaryIO]) -> None:
    while opened:
        opened.popitem()[1].close()


def _add_events(archive: tarfile.TarFile, state_dir: Path, files: dict[str, BackupFile]) -> None:
    """A copy of the database as of one transaction."""
    copy = state_dir / f".backup-{os.getpid()}{TEMPORARY}"
    room, size_bytes = os.statvfs(state_dir), (state_dir / EVENTS_DB).stat().st_size
    if room.f_bavail * room.f_frsize < size_bytes + _RESERVE_BYTES:
        raise BackupError(f"{state_dir} has no room for a copy of {EVENTS_DB} ({size_bytes:,} bytes): --no-events leaves it out")
    try:
        with closing(open_to_read(state_dir / EVENTS_DB)) as source, closing(sqlite3.connect(copy)) as target:
            copy.chmod(0o600)
            source.backup(target)
        member = _member(sqlite_schema.DIRECTORY, 0o750, 0, time.time())
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
        with copy.open("rb") as file:
            _add(archive, EVENTS_DB, file, files)
    finally:
        copy.unlink(missing_ok=True)


def _add(archive: tarfile.TarFile, path: str, file: BinaryIO, files: dict[str, BackupFile]) -> None:
    stat = os.fstat(file.fileno())
    reader = _Hashing(file, stat.st_size)
    archive.addfile(_member(path, stat.st_mode & 0o666, stat.st_size, stat.st_mtime), reader)
    files[path] = BackupFile(size_bytes=stat.st_size, sha256=reader.digest.hexdigest())


class _Hashing:
    """Reads the first `size_bytes` of a file, to which lines may be appended meanwhile."""

    def __init__(self, file: BinaryIO, size_bytes: int) -> None:
        self.digest = hashlib.sha256()
        self._file, self._left = file, size_bytes

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        self.digest.update(data)
        return data


def _member(path: str, mode: int, size_bytes: int, modified_s: float) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.mode, member.size, member.mtime = mode, size_bytes, int(modified_s)
    return member


def _move_aside(state_dir: Path, names: list[str]) -> Path:
    aside = state_dir / f"{_ASIDE}{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    while aside.exists():
        aside = aside.with_name(aside.name + "+")
    make_directory(aside, 0o700)
    for name in names:
        if not name.startswith(_ASIDE):
            (state_dir / name).rename(aside / name)
    return aside


def _unpack(archive: BinaryIO, staging: Path) -> BackupManifest:
    """Write all files below `staging`, and compare them with the manifest."""
    make_directory(staging, 0o700)
    found: dict[str, BackupFile] = {}
    manifest: BackupManifest | None = None
    with tarfile.open(fileobj=archive, mode="r:gz") as members:
        for member in members:
            path = _checked_path(member)
            if member.isdir():
                make_directory(staging / path, member.mode & 0o755 | 0o700)
                continue
            _check_room(staging, member)
            content = members.extractfile(member)
            assert content is not None
            if str(path) == MANIFEST:
                manifest = _manifest(content.read(_MAX_MANIFEST_BYTES))
            digest = hashlib.sha256()
            with create(staging / path, member.mode & 0o644 | 0o600) as file:
                while chunk := content.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    file.write(chunk)
            if str(path) != MANIFEST:
                found[str(path)] = BackupFile(size_bytes=member.size, sha256=digest.hexdigest())
    if manifest is None:
        raise BackupError(f"not a whole backup of this program: {MANIFEST} is missing at its end")
    for name in sorted(manifest.files.keys() | found.keys()):
        if manifest.files.get(name) != found.get(name):
            raise BackupError(f"the backup is damaged: {name} is not what {MANIFEST} says")
    return manifest


def _checked_path(member: tarfile.TarInfo) -> PurePosixPath:
    path = PurePosixPath(member.name)
    within = not path.is_absolute() and ".." not in path.parts and 0 < len(path.parts) <= _MOST_LEVELS
    if not within or not (member.isreg() or member.isdir()) or member.issparse():
        raise BackupError(f"not a backup of this program: it has {member.name[:200]!r}")
    return path


def _check_room(directory: Path, member: tarfile.TarInfo) -> None:
    """Refuse what does not fit before it has filled the disk, which others use too."""
    room = os.statvfs(directory)
    if member.size > (free_bytes := room.f_bavail * room.f_frsize):
        raise BackupError(f"{member.name} needs {member.size:,} bytes, and {directory.parent} has room for {free_bytes:,}")


def _manifest(raw: bytes) -> BackupManifest:
    try:
        written = msgspec.json.decode(raw, type=dict[str, object])
        version = written.get("version")
        if isinstance(version, int) and version > VERSION:
            raise BackupError(
                f"the backup has version {version}, and this program reads {VERSION}: restore with {_program(written)}"
            )
        manifest = msgspec.convert(written, BackupManifest)
    except (msgspec.DecodeError, msgspec.ValidationError) as exc:
        raise BackupError(f"the backup is damaged: {MANIFEST}: {exc}") from None
    newer = [name for name, version in manifest.formats.items() if version > FORMATS.get(name, 0)]
    if newer:
        raise BackupError(
            f"{', '.join(newer)}: of a later version than this program reads; restore with pdns {manifest.program} or later"
        )
    return manifest


def _program(written: dict[str, object]) -> str:
    return f"pdns {written.get('program', '')} or later"
