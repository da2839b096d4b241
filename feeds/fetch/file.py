"""Feeds that are files on this machine, or directories of them."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

from feeds.fetch import Fetched, FileStamp, Unchanged, Validators
from feeds.fetch.candidate import Candidate, over_limit
from pdns.config import Feed
from pdns.errors import FeedError

MAX_FILES = 20_000  # in one directory
_CHUNK_BYTES = 1024 * 1024
_NOT_LISTS = ("~", ".tmp", ".swp", ".part")


def look(path: Path) -> FileStamp | None:
    """What is at `path` now; None if nothing can be seen there. Cheap enough to ask every other second."""
    try:
        status = path.stat()
        return _stamp_of_all(members(path)) if stat.S_ISDIR(status.st_mode) else _stamp(status)
    except OSError:
        return None


def members(directory: Path) -> list[tuple[Path, FileStamp]]:
    """The files in `directory`, by name: not those in directories below it, nor hidden, unfinished and backup files.

    Raises `OSError`.
    """
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.endswith(_NOT_LISTS) or not entry.is_file():
                continue
            found.append((Path(entry.path), _stamp(entry.stat())))
    return sorted(found)


def fetch(feed: Feed, path: Path, known: Validators | None, into: Path) -> Fetched | Unchanged:
    """The content of `path`, in the file `into`; `Unchanged` if its time, size and inode are those of `known`.

    Blocks: call it in a thread. Raises `FeedError`, and leaves no file then.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)  # a pipe must not make us wait for a writer
    except OSError as exc:
        raise FeedError(feed.name, f"{path}: {exc.strerror}") from None
    try:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            return _fetch_all(feed, path, known, into)
        if not stat.S_ISREG(status.st_mode):
            raise FeedError(feed.name, f"{path}: not a regular file, nor a directory of them")
        stamp = _stamp(status)
        if known is not None and known.stamp == stamp:
            return Unchanged(known)
        if status.st_size > feed.max_bytes:
            raise FeedError(feed.name, over_limit(feed.max_bytes))
        with Candidate(into, feed.name, feed.max_bytes) as candidate:
            while chunk := _read(feed, path, fd):
                candidate.write(chunk)
            if _stamp(os.fstat(fd)) != stamp:
                raise FeedError(feed.name, f"{path}: changed while it was read; write it elsewhere and rename it into place")
    finally:
        os.close(fd)
    return Fetched(candidate.size_bytes, candidate.sha256, Validators(stamp=stamp))


def _fetch_all(feed: Feed, directory: Path, known: Validators | None, into: Path) -> Fetched | Unchanged:
    """The files of a directory in one archive that says where each ends, since each may be in a format of its own."""
    try:
        files = members(directory)
    except OSError as exc:
        raise FeedError(feed.name, f"{directory}: {exc.strerror}") from None
    stamp = _stamp_of_all(files)
    if known is not None and known.stamp == stamp:
        return Unchanged(known)
    if not files:
        raise FeedError(feed.name, f"{directory}: no files in it")
    if len(files) > MAX_FILES:
        raise FeedError(feed.name, f"{directory}: {len(files):,} files, more than {MAX_FILES:,}: put them together")
    with Candidate(into, feed.name, feed.max_bytes) as candidate, tarfile.open(fileobj=_Sink(candidate), mode="w|") as archive:
        for path, before in files:
            _add(feed, path, before, archive)
    return Fetched(candidate.size_bytes, candidate.sha256, Validators(stamp=stamp))


def _add(feed: Feed, path: Path, before: FileStamp, archive: tarfile.TarFile) -> None:
    member = tarfile.TarInfo(path.name)  # of its name and size alone: the same content makes the same archive
    member.size = before.size_bytes
    changed = f"{path}: changed while it was read; write it elsewhere and rename it into place"
    try:
        with path.open("rb") as file:
            archive.addfile(member, file)
            if _stamp(os.fstat(file.fileno())) != before:
                raise FeedError(feed.name, changed)
    except OSError as exc:
        reason = changed if exc.strerror is None else f"{path}: {exc.strerror}"  # tarfile's own, when the file became shorter
        raise FeedError(feed.name, reason) from None


class _Sink(io.RawIOBase):
    """A candidate, as `tarfile` wants it."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate

    def write(self, data: Any) -> int:  # Any: what the base class says
        self._candidate.write(data)
        return len(data)


def _stamp_of_all(files: list[tuple[Path, FileStamp]]) -> FileStamp:
    digest = hashlib.blake2b(digest_size=8)
    for path, stamp in files:
        digest.update(f"{path.name}\0{stamp}\n".encode("utf-8", "surrogateescape"))
    newest_ns = max((stamp.mtime_ns for _, stamp in files), default=0)
    return FileStamp(newest_ns, sum(stamp.size_bytes for _, stamp in files), int.from_bytes(digest.digest()))


def _stamp(status: os.stat_result) -> FileStamp:
    return FileStamp(status.st_mtime_ns, status.st_size, status.st_ino)


def _read(feed: Feed, path: Path, fd: int) -> bytes:
    try:
        return os.read(fd, _CHUNK_BYTES)
    except OSError as exc:
        raise FeedError(feed.name, f"{path}: {exc.strerror}") from None
