"""Feeds that are files on this machine."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from feeds.fetch import Fetched, FileStamp, Unchanged, Validators
from feeds.fetch.candidate import Candidate, over_limit
from pdns.config import Feed
from pdns.errors import FeedError

_CHUNK_BYTES = 1024 * 1024


def look(path: Path) -> FileStamp | None:
    """What is at `path` now; None if nothing can be seen there. Cheap enough to ask every other second."""
    try:
        return _stamp(path.stat())
    except OSError:
        return None


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
        if not stat.S_ISREG(status.st_mode):
            raise FeedError(feed.name, f"{path}: not a regular file; url must name the list itself")
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


def _stamp(status: os.stat_result) -> FileStamp:
    return FileStamp(status.st_mtime_ns, status.st_size, status.st_ino)


def _read(feed: Feed, path: Path, fd: int) -> bytes:
    try:
        return os.read(fd, _CHUNK_BYTES)
    except OSError as exc:
        raise FeedError(feed.name, f"{path}: {exc.strerror}") from None
