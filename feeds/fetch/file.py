"""Feeds that are files on this machine, or directories of them."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from pathlib import Path

from feeds.fetch import Fetched, FileStamp, Unchanged, Validators
from feeds.fetch.candidate import Candidate, over_limit
from feeds.pack import MAGIC, MAX_FILES, header
from pdns.config.schema import Feed
from pdns.errors import FeedError
from pdns.files.safe_files import open_regular
from pdns.free_text import visible

_CHUNK_BYTES = 1024 * 1024
_NOT_LISTS = ("~", ".tmp", ".swp", ".part")


def look(path: Path) -> FileStamp | None:
    """The `FileStamp` of the file or directory at `path`; None if it cannot be read. A call every other second is cheap."""
    try:
        status = path.stat()
        return _stamp_of_all(members(path)) if stat.S_ISDIR(status.st_mode) else _file_stamp(status)
    except OSError:
        return None


def members(directory: Path) -> list[tuple[Path, FileStamp]]:
    """The files in `directory`, by name: not those in directories below it, nor hidden, unfinished and backup files.

    Raises `OSError`.
    """
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(".") or entry.name.endswith(_NOT_LISTS) or not _is_file(entry):
                continue
            found.append((Path(entry.path), _file_stamp(entry.stat())))
    return sorted(found)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            return False  # links that lead to each other
        raise


def fetch(feed: Feed, path: Path, known: Validators | None, into: Path) -> Fetched | Unchanged:
    """The content of `path`, in the file `into`; `Unchanged` if its time, size and inode are those of `known`.

    Blocks: call it in a thread. Raises `FeedError`, and leaves no file then.
    """
    try:
        if path.is_dir():
            return _fetch_all(feed, path, known, into)
        fd = open_regular(path, follow_links=True)
    except OSError as exc:
        raise FeedError(feed.name, f"{path}: {exc.strerror}") from None
    try:
        status = os.fstat(fd)
        stamp = _file_stamp(status)
        if known is not None and known.stamp == stamp and not known.packed:
            return Unchanged(known)
        if status.st_size > feed.max_bytes:
            raise FeedError(feed.name, over_limit(feed.max_bytes))
        with Candidate(into, feed.name, feed.max_bytes) as candidate:
            while chunk := _read(feed, path, fd):
                candidate.write(chunk)
            if _file_stamp(os.fstat(fd)) != stamp:
                raise FeedError(feed.name, _changed(path))
    finally:
        os.close(fd)
    return Fetched(candidate.size_bytes, candidate.sha256, Validators(stamp=stamp))


def _fetch_all(feed: Feed, directory: Path, known: Validators | None, into: Path) -> Fetched | Unchanged:
    """The files of a directory in one that says where each ends (`feeds.pack`), since each may be in a format of its own."""
    try:
        files = members(directory)
    except OSError as exc:
        raise FeedError(feed.name, f"{directory}: {exc.strerror}") from None
    stamp = _stamp_of_all(files)
    if known is not None and known.stamp == stamp and known.packed:
        return Unchanged(known)
    if not files:
        raise FeedError(feed.name, f"{directory}: no files in it")
    if len(files) > MAX_FILES:
        raise FeedError(feed.name, f"{directory}: {len(files):,} files, more than {MAX_FILES:,}: put them together")
    if stamp.size_bytes > feed.max_bytes:
        raise FeedError(feed.name, over_limit(feed.max_bytes))
    with Candidate(into, feed.name, feed.max_bytes) as candidate:
        candidate.write(MAGIC)
        for path, before in files:
            _add(feed, path, before, candidate)
    return Fetched(candidate.size_bytes, candidate.sha256, Validators(stamp=stamp, packed=True))


def _add(feed: Feed, path: Path, before: FileStamp, candidate: Candidate) -> None:
    """Add one file. Only its name and content go into the copy, so the same files make the same copy."""
    candidate.write(header(path.name, before.size_bytes))
    try:
        fd = open_regular(path, follow_links=True)
    except OSError as exc:
        raise FeedError(feed.name, f"{_shown(path)}: {exc.strerror}") from None
    try:
        left = before.size_bytes
        while left and (chunk := _read(feed, path, fd, left)):
            candidate.write(chunk)
            left -= len(chunk)
        if left or _file_stamp(os.fstat(fd)) != before:
            raise FeedError(feed.name, _changed(path))
    finally:
        os.close(fd)


def _changed(path: Path) -> str:
    return f"{_shown(path)}: changed while it was read; write it elsewhere and rename it into place"


def _shown(path: Path) -> str:
    """The path of a file whose name may be any bytes, fit for a status file and a terminal."""
    return visible(str(path))


def _stamp_of_all(files: list[tuple[Path, FileStamp]]) -> FileStamp:
    digest = hashlib.blake2b(digest_size=8)
    for path, stamp in files:
        digest.update(f"{path.name}\0{stamp}\n".encode("utf-8", "surrogateescape"))
    newest_ns = max((stamp.mtime_ns for _, stamp in files), default=0)
    return FileStamp(newest_ns, sum(stamp.size_bytes for _, stamp in files), int.from_bytes(digest.digest()))


def _file_stamp(status: os.stat_result) -> FileStamp:
    return FileStamp(status.st_mtime_ns, status.st_size, status.st_ino)


def _read(feed: Feed, path: Path, fd: int, most_bytes: int = _CHUNK_BYTES) -> bytes:
    try:
        return os.read(fd, min(most_bytes, _CHUNK_BYTES))
    except OSError as exc:
        raise FeedError(feed.name, f"{_shown(path)}: {exc.strerror}") from None
