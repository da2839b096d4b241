"""The file that a source's bytes go into while they are still on trial."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Self

from feeds.files import disk_reason
from pdns.errors import FeedError
from pdns.files.safe_files import create


class Candidate:
    """A new file of at most `max_bytes`; it vanishes when the `with` block ends in an exception."""

    def __init__(self, path: Path, feed: str, max_bytes: int) -> None:
        self.size_bytes = 0
        self._path = path
        self._feed = feed
        self._max_bytes = max_bytes
        self._hash = hashlib.sha256()

    def __enter__(self) -> Self:
        try:
            self._file = create(self._path)
        except OSError as exc:
            raise FeedError(self._feed, disk_reason(exc, self._path.parent)) from None
        return self

    def write(self, data: bytes) -> None:
        """Append. Raises `FeedError` when that makes it too long, or the disk is full."""
        self.size_bytes += len(data)
        if self.size_bytes > self._max_bytes:
            raise FeedError(self._feed, over_limit(self._max_bytes))
        self._hash.update(data)
        try:
            self._file.write(data)
        except OSError as exc:
            raise FeedError(self._feed, disk_reason(exc, self._path.parent)) from None

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        error: OSError | None = None
        try:
            self._file.close()  # what is still buffered may be what no longer fits
        except OSError as closing:
            error = closing
        if kind is not None or error is not None:
            self._path.unlink(missing_ok=True)
        if kind is None and error is not None:
            raise FeedError(self._feed, disk_reason(error, self._path.parent)) from None


def discard(path: Path) -> None:
    """Remove a candidate that turned out not to be wanted."""
    path.unlink(missing_ok=True)


def over_limit(max_bytes: int) -> str:
    """The reason for a body that is too long."""
    return f"longer than max_bytes = {max_bytes:,}: raise it if the list has really grown so much"
