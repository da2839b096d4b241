"""The embedded store: its file, its tables, and connections to it.

A row of `event` has about 42 bytes: it refers to dictionaries, and its primary key is the order of the table, so that there is no
index beside it. The key makes writing idempotent: the same record has the same time and id. Times are microseconds since the
epoch. An id is stored minus 2^63, because integers of SQLite are signed; the order stays.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

from pdns.errors import SinkError, StoreError
from pdns.files.safe_files import make_directory, open_lock, open_state

DIRECTORY: Final = "events"
FILE_NAME: Final = "events.db"
VERSION: Final = 1
ID_OFFSET: Final = 2**63
READER_PATIENCE_S: Final = 10.0
ATTACHED: Final = ("-wal", "-shm")  # files that belong to a database
_DAMAGE: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_SCHEMA: Final = """
CREATE TABLE tenant (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE client (
    id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, address TEXT NOT NULL, UNIQUE (tenant, address)
) STRICT;
CREATE TABLE name (id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, text TEXT NOT NULL) STRICT;
CREATE INDEX name_hash ON name (hash);
CREATE TABLE context (
    id INTEGER PRIMARY KEY, node TEXT NOT NULL, transport TEXT NOT NULL, qtype INTEGER NOT NULL, merged INTEGER NOT NULL,
    UNIQUE (node, transport, qtype, merged)
) STRICT;
CREATE TABLE decision (
    id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, kind TEXT NOT NULL, policy TEXT NOT NULL, listed INTEGER NOT NULL,
    rule TEXT NOT NULL, feed TEXT NOT NULL, category TEXT NOT NULL, action TEXT NOT NULL, others TEXT NOT NULL,
    monitored TEXT NOT NULL, threat TEXT NOT NULL, reason TEXT NOT NULL, case_reference TEXT NOT NULL
) STRICT;
CREATE INDEX decision_hash ON decision (hash);
CREATE TABLE event (
    time_us INTEGER NOT NULL, id INTEGER NOT NULL, client INTEGER NOT NULL, decision INTEGER NOT NULL, qname INTEGER NOT NULL,
    context INTEGER NOT NULL, n INTEGER NOT NULL, span_us INTEGER NOT NULL, PRIMARY KEY (time_us, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE finding (
    time_us INTEGER NOT NULL, id INTEGER NOT NULL, node TEXT NOT NULL, tenant TEXT NOT NULL, kind TEXT NOT NULL,
    subject TEXT NOT NULL, client TEXT NOT NULL, score REAL NOT NULL, n INTEGER NOT NULL, text TEXT NOT NULL,
    first_us INTEGER NOT NULL, last_us INTEGER NOT NULL, details TEXT NOT NULL, PRIMARY KEY (time_us, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE hour (
    start_us INTEGER NOT NULL, id INTEGER NOT NULL, end_us INTEGER NOT NULL, node TEXT NOT NULL, tenant TEXT NOT NULL,
    queries INTEGER NOT NULL, answered INTEGER NOT NULL, servfail INTEGER NOT NULL, dropped INTEGER NOT NULL,
    blocked INTEGER NOT NULL, monitored INTEGER NOT NULL, events INTEGER NOT NULL, merged INTEGER NOT NULL,
    lost INTEGER NOT NULL, unaccounted INTEGER NOT NULL, PRIMARY KEY (start_us, id)
) STRICT, WITHOUT ROWID;
"""


class OtherVersionError(SinkError):
    """A store that another version of this program has written."""


def store_path(state_dir: Path) -> Path:
    """The file of the store."""
    return state_dir / DIRECTORY / FILE_NAME


def open_to_write(path: Path, patience_s: float, *, create: bool = True) -> sqlite3.Connection:
    """A connection for a writer, which makes the file and its tables if `create` and they are missing. It waits `patience_s` for
    another writer.

    A commit is on the disk when it returns; what is deleted is overwritten. Raises `OSError`, `sqlite3.Error` and
    `OtherVersionError`.
    """
    if create:
        make_directory(path.parent, 0o750)
        os.close(open_lock(path))
    mode = "rwc" if create else "rw"
    db = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=patience_s,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")  # the cursor of the spool is on the disk after this
        db.execute("PRAGMA secure_delete = ON")
        db.execute(f"PRAGMA journal_size_limit = {64 * 1024 * 1024}")
        _sort_beside(db, path)
        _make_tables(db)
    except BaseException:
        db.close()
        raise
    return db


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing. Raises `StoreError`."""
    try:
        open_state(path).close()
        db = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=READER_PATIENCE_S,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _sort_beside(db, path)
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version != VERSION:
                raise StoreError(f"{path}: expected version {VERSION} of the event store, found {version}")
        except BaseException:
            db.close()
            raise
    except FileNotFoundError:
        raise StoreError(f"{path}: there are no events yet") from None
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{path}: {error}") from None
    return db


def _sort_beside(db: sqlite3.Connection, path: Path) -> None:
    """Large sorts use unnamed files in the directory of the store: a confined process may write nowhere else.

    The setting is one of the process, so it is changed only where it is another.
    """
    directory = str(path.parent.absolute())
    with suppress(sqlite3.Error):  # only its owner may write there; for others it is the usual directory
        if db.execute("PRAGMA temp_store_directory").fetchone() != (directory,):
            quoted = directory.replace("'", "''")
            db.execute(f"PRAGMA temp_store_directory = '{quoted}'")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error says that the file is no database of this program, rather than that writing is impossible now."""
    if isinstance(error, sqlite3.OperationalError) and str(error).startswith(("no such table", "no such column")):
        return True
    code: int = getattr(error, "sqlite_errorcode", 0)
    return (code & 0xFF) in _DAMAGE


def _make_tables(db: sqlite3.Connection) -> None:
    """Raises `OtherVersionError`."""
    db.execute("BEGIN IMMEDIATE")
    try:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            for statement in _SCHEMA.split(";\n"):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")
        elif version != VERSION:
            raise OtherVersionError(f"expected version {VERSION} of the event store, found {version}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
