"""The ClickHouse sink: records as rows of three tables (`clickhouse_schema`), one insert for each table of a batch."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from pdns.errors import SinkError
from pdns.event_store.clickhouse_client import connect, failures, reason_of
from pdns.event_store.clickhouse_schema import (
    EVENT_COLUMNS,
    FINDING_COLUMNS,
    HOUR_COLUMNS,
    PREFIX,
    ClickHouse,
    ClickHouseKeys,
    statements,
)
from pdns.event_store.event import Event, Finding, Hour, Record
from pdns.event_store.times import to_us

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_MAX_INTEGER: Final = 2**63 - 1


class ClickHouseSink:
    """Writes in a thread. Writing the same records again changes no answer of a reader that uses FINAL."""

    def __init__(self, settings: ClickHouse, connect: Callable[[ClickHouse], Client] = connect) -> None:
        """Connects at the first write, and makes what is missing of the tables."""
        self._settings = settings
        self._connect = connect
        self._client: Client | None = None
        self._thread = ThreadPoolExecutor(1, "clickhouse")  # a write that was given up ends before the next one

    @classmethod
    def of(cls, keys: ClickHouseKeys) -> Self:
        """The sink that a section of the configuration describes."""
        return cls(ClickHouse.of(keys))

    async def write(self, records: Sequence[Record]) -> None:
        """Raises `SinkError`, also when only some of the records arrived."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, records)

    async def close(self) -> None:
        """End the thread after the write that it is in."""
        self._thread.submit(self._drop)
        self._thread.shutdown(wait=False)

    def _write(self, records: Sequence[Record]) -> None:
        try:
            if self._client is None:
                self._client = self._connect(self._settings)
                for statement in statements(self._settings):
                    self._client.command(statement)
            for name, columns, rows in (
                ("events", EVENT_COLUMNS, [_event_row(record) for record in records if isinstance(record, Event)]),
                ("findings", FINDING_COLUMNS, [_finding_row(record) for record in records if isinstance(record, Finding)]),
                ("hours", HOUR_COLUMNS, [_hour_row(record) for record in records if isinstance(record, Hour)]),
            ):
                if rows:
                    self._client.insert(f"{PREFIX}{name}", rows, column_names=columns, database=self._settings.database)
        except failures() as error:
            self._drop()
            raise SinkError(f"ClickHouse at {self._settings.url}: {reason_of(error)}") from error

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(*failures()):
                client.close()


def _event_row(event: Event) -> tuple[Any, ...]:
    """In the order of `EVENT_COLUMNS`."""
    time_us = to_us(event.time_s)
    return (
        event.id, time_us, max(to_us(event.last_s), time_us), min(event.n, _MAX_INTEGER), event.kind, event.node, event.tenant,
        event.policy, event.client, event.transport, event.qname, event.qtype, event.listed, event.rule, event.feed,
        event.category, event.action, event.others, event.monitored, event.threat, event.reason, event.case, event.merged,
    )  # fmt: skip


def _finding_row(finding: Finding) -> tuple[Any, ...]:
    """In the order of `FINDING_COLUMNS`."""
    score = finding.score if math.isfinite(finding.score) else 0.0
    return (
        finding.id, to_us(finding.time_s), finding.node, finding.tenant, finding.kind, finding.subject, finding.client, score,
        min(finding.n, _MAX_INTEGER), finding.text, to_us(finding.first_s), to_us(finding.last_s), finding.details,
    )  # fmt: skip


def _hour_row(hour: Hour) -> tuple[Any, ...]:
    """In the order of `HOUR_COLUMNS`."""
    return (
        hour.id, to_us(hour.start_s), to_us(hour.end_s), hour.node, hour.tenant, hour.queries, hour.answered, hour.servfail,
        hour.dropped, hour.blocked, hour.monitored, hour.events, hour.merged, hour.lost, hour.unaccounted,
    )  # fmt: skip
