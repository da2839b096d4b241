"""Both engines behind one face: write records, open queries. ClickHouse is the real engine, inside this process (chdb)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from clickhouse_connect import get_client

from pdns.event_store.clickhouse import ClickHouseSink
from pdns.event_store.clickhouse_queries import ClickHouseQueries
from pdns.event_store.clickhouse_schema import ClickHouse
from pdns.event_store.event import Record
from pdns.event_store.queries import EventQueries
from pdns.event_store.sqlite import SqliteStore
from pdns.event_store.sqlite_queries import SqliteQueries

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

SETTINGS: Final = ClickHouse(url="http://localhost:8123", database="pdns")


class Engine(Protocol):
    def clear(self) -> None: ...
    def write(self, records: Sequence[Record]) -> None: ...
    def queries(self) -> EventQueries: ...


class SqliteEngine:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._number = 0

    @property
    def path(self) -> Path:
        return self._directory / str(self._number) / "events.db"

    def clear(self) -> None:
        self._number += 1

    def write(self, records: Sequence[Record]) -> None:
        with SqliteStore(self.path) as store:
            store.write(records)

    def queries(self) -> EventQueries:
        return SqliteQueries(self.path)


class ClickHouseEngine:
    """One engine for the process, in memory."""

    def __init__(self) -> None:
        self.client = embedded(SETTINGS)
        self.client.command(f"DROP DATABASE IF EXISTS {SETTINGS.database}")
        self.write([])

    def clear(self) -> None:
        for name in ("events", "findings", "hours", "days"):
            self.client.command(f"TRUNCATE TABLE {SETTINGS.table(name)}")

    def write(self, records: Sequence[Record]) -> None:
        async def write() -> None:
            sink = ClickHouseSink(SETTINGS, embedded)
            await sink.write(records)
            await sink.close()

        asyncio.run(write())

    def queries(self) -> EventQueries:
        return ClickHouseQueries(SETTINGS, embedded)

    def rows(self, query: str) -> Sequence[Sequence[Any]]:
        return self.client.query(query).result_rows


def embedded(_settings: ClickHouse) -> Client:
    """A client of the engine in this process."""
    return get_client(interface="chdb")
