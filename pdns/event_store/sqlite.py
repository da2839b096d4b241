"""The embedded event store: writing, retention, erasing. `<state>/events/events.db`, an SQLite database in WAL mode.

The events process writes all the time. A second writer, `pdns events erase`, is safe: a transaction begins with the lock for
writing, and the ids that are kept in memory are read again after another connection has committed.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self, TypeVar

from pdns.errors import SinkError
from pdns.event_store.event import Event, Finding, Hour, Record
from pdns.event_store.sqlite_retention import Retention, RetentionPass, collect_garbage
from pdns.event_store.sqlite_rows import INSERT_EVENT, INSERT_FINDING, INSERT_HOUR, Dictionaries, finding_row, hour_row
from pdns.event_store.sqlite_schema import ATTACHED, OtherVersionError, is_damage, open_to_write
from pdns.files.safe_files import put_aside

EXPIRE_EVERY_S: Final = 60.0
SLICES_AT_ONCE: Final = 20
PATIENCE_S: Final = 10.0  # with another writer
T = TypeVar("T")
_log = logging.getLogger(__name__)


class SqliteStore:
    """The writer. Its methods may be called by any thread, one after the other. They raise `SinkError`; a call may be repeated.

    A damaged database is renamed to `.damaged-TIME`, and a new one begun.
    """

    def __init__(self, path: Path, retention: Retention | None = None) -> None:
        """Opens the database at the first use. Without `retention` nothing is deleted."""
        self._path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._ids: Dictionaries | None = None
        self._version = -1
        self._retention = retention
        self._pass: RetentionPass | None = None

    def write(self, records: Sequence[Record]) -> int:
        """Write all of `records` or none. Those that the store has already are not written again. Returns how many were new."""
        return self._try_twice(lambda: self._write(records))

    def keep(self, retention: Retention) -> None:
        """From now on, keep events for this long."""
        with self._lock:
            self._retention, self._pass = retention, None

    def expire(self, now_s: float, slices: int = SLICES_AT_ONCE) -> bool:
        """Delete what is older than the retention allows, at most `slices` small transactions of it. True when nothing is left.

        Clients, names and annotations that no event has any more are deleted once a day.
        """
        return self._try_twice(lambda: self._expire(now_s, slices))

    def close(self) -> None:
        """Closing again does nothing."""
        with self._lock:
            self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_args: object) -> None:
        self.close()

    def _try_twice(self, work: Callable[[], T]) -> T:
        """Carry out `work`, once more after putting a damaged database aside."""
        with self._lock:
            for attempt in range(2):
                try:
                    return work()
                except (OSError, sqlite3.Error, OtherVersionError) as error:
                    self._drop()
                    unusable = isinstance(error, OtherVersionError) or (isinstance(error, sqlite3.Error) and is_damage(error))
                    if not unusable or attempt:
                        raise SinkError(f"{self._path}: {error}") from error
                    _log.error("%s: %s: beginning a new event store", self._path, error)
                    self._put_aside()
            raise AssertionError

    def _put_aside(self) -> None:
        """Raises `SinkError`."""
        try:
            for path in (self._path, *(self._path.with_name(self._path.name + end) for end in ATTACHED)):
                put_aside(path)
        except OSError as error:
            raise SinkError(f"{self._path}: {error}") from error

    def _drop(self) -> None:
        if self._db is not None:
            with suppress(sqlite3.Error):
                self._db.close()
        self._db = self._ids = self._pass = None

    @contextmanager
    def _transaction(self) -> Iterator[tuple[sqlite3.Connection, Dictionaries]]:
        """One transaction for writing, which begins with the lock for it."""
        if self._db is None or self._ids is None:
            self._db = open_to_write(self._path, PATIENCE_S)
            self._ids, self._version = Dictionaries(self._db), -1
        db, ids = self._db, self._ids
        db.execute("BEGIN IMMEDIATE")
        try:
            version = db.execute("PRAGMA data_version").fetchone()[0]
            if version != self._version:  # another connection has committed, and may have deleted what they refer to
                ids.forget()
                self._version = version
            ids.bound()
            yield db, ids
            db.execute("COMMIT")
        except BaseException:
            ids.forget()
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _write(self, records: Sequence[Record]) -> int:
        with self._transaction() as (db, ids):
            events = [ids.row_of(record) for record in records if isinstance(record, Event)]
            before = db.total_changes  # not what was added to dictionaries
            db.executemany(INSERT_EVENT, events)
            db.executemany(INSERT_FINDING, [finding_row(record) for record in records if isinstance(record, Finding)])
            db.executemany(INSERT_HOUR, [hour_row(record) for record in records if isinstance(record, Hour)])
            return db.total_changes - before

    def _expire(self, now_s: float, slices: int) -> bool:
        if self._retention is None:
            return True
        if self._pass is None or self._pass.is_old(now_s):
            self._pass = RetentionPass(self._retention, now_s)
        ran = self._pass
        for _ in range(slices):
            with self._transaction() as (db, _ids):
                is_done = ran.delete_slice(db, now_s)
            if is_done:
                break
        else:
            return False
        if not ran.is_clean:
            with self._transaction() as (db, ids):
                collect_garbage(db)
                ids.forget()
            ran.is_clean = True
        return True


class SqliteSink:
    """The embedded store as a sink, with a thread of its own. `now_s`: the clock, in seconds since the epoch."""

    def __init__(self, path: Path, retention: Retention | None = None, now_s: Callable[[], float] = time.time) -> None:
        self.store = SqliteStore(path, retention)
        self._now_s = now_s
        self._expired_s = float("-inf")  # by time.monotonic
        self._thread = ThreadPoolExecutor(1, "events.db")  # a write that was given up ends before the next one

    async def write(self, records: Sequence[Record]) -> None:
        """Raises `SinkError`. Writing the same records again changes nothing. Every minute old records are deleted too."""
        await self._call(lambda: self.store.write(records))
        if time.monotonic() - self._expired_s >= EXPIRE_EVERY_S and await self._call(lambda: self.store.expire(self._now_s())):
            self._expired_s = time.monotonic()

    async def close(self) -> None:
        """End the thread after the write that it is in."""
        self._thread.submit(self.store.close)
        self._thread.shutdown(wait=False)

    async def _call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
