"""The differences between the last versions of a zone, on the disk, for transfers that are no whole zones (RFC 1995).

    frame   magic, u32 serial before, u32 serial after, u32 bytes removed, u32 bytes added, u32 CRC-32 of these; then the blocks
            of records removed and added, as `feeds.publish.zone_file` has them

A transfer reads the file that it began with: a journal that is made shorter is a new file.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from feeds.publish.zone_file import DamagedZone, RecordBlock, blocks_between
from pdns.files.safe_files import TEMPORARY, create, open_state, rename

MOST_CHANGES: Final = 10_000
LEAST_BYTES: Final = 256 * 1024  # may be kept however small the zone is
_MAGIC: Final = b"RPZ1"
_HEAD: Final = Struct("<4sIIIII")
_CHUNK_BYTES: Final = 1024 * 1024


class ZoneChange(NamedTuple):
    """One step from a version to the next, and where it is in the file."""

    before: int  # serial
    after: int
    offset: int  # of the removed records
    removed: int  # bytes on the disk
    added: int

    @property
    def end(self) -> int:
        return self.offset + self.removed + self.added


class SharedFile:
    """A descriptor that is closed when the last user is gone."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        with suppress(OSError):
            os.close(self.fd)


class JournalPart(NamedTuple):
    """The steps from one version to the newest, as they were when somebody asked."""

    file: SharedFile
    path: Path
    changes: tuple[ZoneChange, ...]

    @property
    def bytes(self) -> int:
        return sum(change.removed + change.added for change in self.changes)

    def removed(self, change: ZoneChange) -> Iterator[RecordBlock]:
        """Raises `DamagedZone` and `OSError`."""
        middle = change.offset + change.removed
        return blocks_between(self.file.fd, change.offset, middle, self.path)

    def added(self, change: ZoneChange) -> Iterator[RecordBlock]:
        """Raises `DamagedZone` and `OSError`."""
        middle = change.offset + change.removed
        return blocks_between(self.file.fd, middle, change.end, self.path)


class Journal:
    """The file of one zone; one object at a time may use it. One thread may append while another asks."""

    def __init__(self, path: Path, serial: int) -> None:
        """Take up what leads to the version `serial`; anything else in the file is dropped. Raises `OSError`."""
        self._path = path
        try:
            with open_state(path) as file:
                old = SharedFile(os.dup(file.fileno()))
        except OSError:
            self._content = self._rewritten(None, ())
        else:
            self._content = self._rewritten(old, _chain(_changes_in(old, path), serial))

    def between(self, serial: int, newest: int) -> JournalPart | None:
        """The steps from the version `serial` to `newest`; None if they are not kept."""
        file, path, changes = self._content
        first = next((at for at, change in enumerate(changes) if change.before == serial), None)
        last = next((at for at, change in enumerate(changes) if change.after == newest), None)
        if first is None or last is None or last < first:
            return None
        return JournalPart(file, path, changes[first : last + 1])

    def append(self, before: int, after: int, removed: Path, added: Path, most_bytes: int) -> None:
        """Add a step, whose records are in two files of blocks, and drop the oldest steps until the journal has at most
        `most_bytes`. The step is on the disk on return. Raises `OSError`; the journal is then as before.
        """
        file, _, changes = self._content
        sizes = removed.stat().st_size, added.stat().st_size
        if sum(sizes) > most_bytes:
            self._content = self._rewritten(None, ())
            return
        start = changes[-1].end if changes else 0
        os.ftruncate(file.fd, start)
        _write(file.fd, start, _head(before, after, *sizes))
        offset = at = start + _HEAD.size
        for path in (removed, added):
            with open_state(path) as source:
                while data := source.read(_CHUNK_BYTES):
                    _write(file.fd, at, data)
                    at += len(data)
        changes = (*changes, ZoneChange(before, after, offset, *sizes))
        kept = changes[-MOST_CHANGES:]
        while kept[-1].end - kept[0].offset > most_bytes:
            kept = kept[1 + len(kept) // 4 :]  # many at a time: the rest is copied
        if len(kept) < len(changes):
            self._content = self._rewritten(file, kept)
        else:
            os.fsync(file.fd)
            self._content = JournalPart(file, self._path, changes)

    def _rewritten(self, old: SharedFile | None, changes: Sequence[ZoneChange]) -> JournalPart:
        """A new file with `changes` of `old`, in the place of the one that is there. Transfers may still read that one."""
        moved = []
        temporary = self._path.with_name(self._path.name + TEMPORARY)
        with create(temporary, 0o640) as file:
            for change in changes:
                assert old is not None
                file.write(_head(change.before, change.after, change.removed, change.added))
                moved.append(change._replace(offset=file.tell()))
                for at in range(change.offset, change.end, _CHUNK_BYTES):
                    file.write(os.pread(old.fd, min(_CHUNK_BYTES, change.end - at), at))
            file.flush()
            os.fsync(file.fileno())
            rename(temporary, self._path)
            return JournalPart(SharedFile(os.dup(file.fileno())), self._path, tuple(moved))


def _write(fd: int, at: int, data: bytes) -> None:
    while data:
        written = os.pwrite(fd, data, at)
        at += written
        data = data[written:]


def _head(before: int, after: int, removed: int, added: int) -> bytes:
    numbers = (before, after, removed, added)
    return _HEAD.pack(_MAGIC, *numbers, zlib.crc32(Struct("<IIII").pack(*numbers)))


def _changes_in(file: SharedFile, path: Path) -> Iterator[ZoneChange]:
    """Every step that is whole, up to the first that is not."""
    at = 0
    size = os.fstat(file.fd).st_size
    while at + _HEAD.size <= size:
        head = os.pread(file.fd, _HEAD.size, at)
        _, before, after, removed, added, _ = _HEAD.unpack(head)
        change = ZoneChange(before, after, at + _HEAD.size, removed, added)
        if head != _head(before, after, removed, added) or change.end > size:
            return
        part = JournalPart(file, path, (change,))
        try:
            for blocks in (part.removed(change), part.added(change)):
                for _ in blocks:
                    pass
        except DamagedZone:
            return
        at = change.end
        yield change


def _chain(changes: Iterator[ZoneChange], serial: int) -> list[ZoneChange]:
    """The last of `changes` that follow each other and end at `serial`."""
    chain: list[ZoneChange] = []
    for change in changes:
        if chain and chain[-1].after != change.before:
            chain = []
        chain.append(change)
        if change.after == serial:
            return chain
    return []
