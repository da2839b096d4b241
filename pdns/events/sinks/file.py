"""Records as lines of JSON in a file that is rotated by size and by day. After a crash too, each record is in it once."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from pdns.config.sink_schema import SinkSection
from pdns.errors import SinkError
from pdns.event_store.event import Record
from pdns.events.sinks.formats import Format, format_of
from pdns.events.sinks.worker_thread import WorkerThread
from pdns.files.safe_files import NotRegularError, open_lock, remove, rename

_ROTATED: Final = re.compile(r"\.\d{8}-(\d{6,})")  # the day, and a number that grows
_MARK: Final = re.compile(r"(\d+):(\d+)")
_TAIL_BYTES: Final = 1024 * 1024


class FileSink:
    """`PATH`, and `PATH.YYYYMMDD-NUMBER` for what was rotated. Other programs may move or remove the file at any time."""

    def __init__(self, path: Path, line: Format, max_bytes: int, max_files: int, wall_s: Callable[[], float] = time.time) -> None:
        """`max_files`: how many files are kept besides `path` itself."""
        self._path = path
        self._line = line
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._wall_s = wall_s
        self._thread = WorkerThread("file-sink")
        self._mark = ""

    @classmethod
    def of(cls, section: SinkSection) -> Self:
        """The sink of a section."""
        return cls(Path(section.path), format_of(section.format), section.max_bytes, section.max_files)

    async def write(self, records: Sequence[Record]) -> None:
        """Append a line for each record, and sync. Raises `SinkError`; `resume` then removes what was written of them."""
        lines = b"".join(self._line(record) + b"\n" for record in records)
        await self._thread.call(lambda: self._guarded(self._append, lines))

    def mark(self) -> str:
        """The file, by its inode, and its size."""
        return self._mark

    async def resume(self, mark: str) -> None:
        """Remove what was written after `mark`, and an incomplete last line. Raises `SinkError`."""
        await self._thread.call(lambda: self._guarded(self._cut_back, mark))

    async def close(self) -> None:
        """End the thread. No file is open between two writes."""
        self._thread.close()

    def _guarded(self, step: Callable[..., None], argument: bytes | str) -> None:
        try:
            step(argument)
        except OSError as exc:
            raise SinkError(f"{self._path}: {exc.strerror or exc}") from exc

    def _open(self) -> int:
        """A descriptor of the file, which is created if it is missing. Raises `OSError`, also for what is not a file."""
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(self._path.lstat().st_mode):
                raise NotRegularError(errno.EINVAL, "not a regular file", str(self._path))
        return open_lock(self._path)

    def _append(self, lines: bytes) -> None:
        fd = self._open()
        try:
            found = os.fstat(fd)
            if found.st_size and (found.st_size + len(lines) > self._max_bytes or self._is_of_another_day(found.st_mtime)):
                self._rotate(found.st_mtime)
                os.close(fd)
                fd = self._open()
                found = os.fstat(fd)
            written = 0
            while written < len(lines):
                written += os.pwrite(fd, lines[written:], found.st_size + written)
            os.fdatasync(fd)
            self._mark = f"{found.st_ino}:{found.st_size + written}"
        finally:
            os.close(fd)

    def _cut_back(self, mark: str) -> None:
        fd = self._open()
        try:
            found = os.fstat(fd)
            size = found.st_size
            if parsed := _MARK.fullmatch(mark):
                inode, marked = int(parsed[1]), int(parsed[2])
                rotated = self._rotated()
                if found.st_ino == inode:
                    size = min(size, marked)
                elif rotated and rotated[-1].lstat().st_ino == inode:
                    size = 0  # the file was begun after the mark
            size -= _incomplete_bytes(fd, size)
            if size != found.st_size:
                os.ftruncate(fd, size)
                os.fdatasync(fd)
            self._mark = f"{found.st_ino}:{size}"
        finally:
            os.close(fd)

    def _rotate(self, written_s: float) -> None:
        """Give the file, last written at `written_s`, its final name, and remove the oldest ones."""
        rotated = self._rotated()
        number = _number(rotated[-1], self._path) + 1 if rotated else 1
        day = time.strftime("%Y%m%d", time.gmtime(written_s))
        rename(self._path, self._path.with_name(f"{self._path.name}.{day}-{number:06}"))
        for path in self._rotated()[: -self._max_files]:
            with suppress(OSError):
                remove(path)

    def _rotated(self) -> list[Path]:
        """The rotated files, the oldest first."""
        found = (path for path in self._path.parent.iterdir() if path.name.startswith(self._path.name))
        return sorted((path for path in found if _number(path, self._path)), key=lambda path: _number(path, self._path))

    def _is_of_another_day(self, written_s: float) -> bool:
        return time.gmtime(written_s)[:3] != time.gmtime(self._wall_s())[:3]


def _number(path: Path, of: Path) -> int:
    """The number of a rotated file; 0 for every other file."""
    found = _ROTATED.fullmatch(path.name[len(of.name) :])
    return int(found[1]) if found else 0


def _incomplete_bytes(fd: int, size: int) -> int:
    """How many of the first `size` bytes are at the end and no whole line."""
    start = max(0, size - _TAIL_BYTES)
    tail = os.pread(fd, size - start, start)
    return len(tail) - (tail.rfind(b"\n") + 1)
