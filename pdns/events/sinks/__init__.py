"""Sinks that the configuration names: `make_entry` makes one from its section."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from pdns.config.sink_schema import SinkSection
from pdns.errors import SinkError
from pdns.event_store.clickhouse import ClickHouseSink
from pdns.event_store.event import Record
from pdns.events.sink import ALL_KINDS, Sink, SinkEntry
from pdns.events.sinks.dnstap import DnstapSink
from pdns.events.sinks.file import FileSink
from pdns.events.sinks.syslog import SyslogSink
from pdns.events.sinks.webhook import WebhookSink

# What a sink gets where `records` is empty.
USUAL_RECORDS: Final = {
    "file": frozenset(("blocked", "monitored", "findings")),
    "syslog": frozenset(("blocked", "monitored", "findings")),
    "dnstap": frozenset(("blocked",)),
    "webhook": frozenset(("findings",)),
    "clickhouse": ALL_KINDS,
}
_MAKERS: Final[dict[str, Callable[[SinkSection], Sink]]] = {
    "file": FileSink.of,
    "syslog": SyslogSink.of,
    "dnstap": DnstapSink.of,
    "webhook": WebhookSink.of,
    "clickhouse": ClickHouseSink.of,
}
_MOST_RECORDS: Final = {"webhook": 20, "clickhouse": 10_000}
_LINGER_S: Final = {"syslog": 1.0, "dnstap": 1.0, "clickhouse": 1.0}
_SLACK_S: Final = 5.0  # a sink gives up by itself first, with a better message


class MissingSink:
    """A sink that cannot be made here: every attempt fails and says why."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    async def write(self, records: Sequence[Record]) -> None:
        raise SinkError(f"{len(records)} records are waiting: {self._reason}")

    async def close(self) -> None:
        """Nothing is open."""


def make_sink(section: SinkSection) -> Sink:
    """The sink of a section of a settled configuration. Opens nothing, and never raises `SinkError` or `ImportError`."""
    try:
        return _MAKERS[section.kind](section)
    except (SinkError, ImportError) as exc:
        return MissingSink(str(exc))


def make_entry(section: SinkSection) -> SinkEntry:
    """The sink of a section, with the records that it gets."""
    return SinkEntry(
        name=section.name,
        sink=make_sink(section),
        settings=section,
        kinds=frozenset(section.records) or USUAL_RECORDS[section.kind],
        findings=frozenset(section.findings),
        tenants=frozenset(section.tenants),
        most_records=_MOST_RECORDS.get(section.kind, 500),
        linger_s=_LINGER_S.get(section.kind, 0.0),
        timeout_s=section.timeout_s + _SLACK_S,
    )
