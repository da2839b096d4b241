"""Records in the embedded store, for tests and pictures of reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pdns.event_store.event import Record
from pdns.event_store.queries import EventQueries
from pdns.event_store.sqlite import SqliteStore
from pdns.event_store.sqlite_queries import SqliteQueries


@contextmanager
def stored(records: Iterable[Record]) -> Iterator[EventQueries]:
    """The queries on `records`."""
    with TemporaryDirectory() as directory:
        path = store(Path(directory) / "events.db", records)
        queries = SqliteQueries(path)
        try:
            yield queries
        finally:
            queries.close()


def store(path: Path, records: Iterable[Record]) -> Path:
    """Write `records` to the store at `path`."""
    with SqliteStore(path) as written:
        written.write(list(records))
    return path
