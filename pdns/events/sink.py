"""What a sink is, and which records it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from pdns.event_store.event import Event, Finding, Record

ALL_KINDS: Final = frozenset(("blocked", "monitored", "findings", "hours"))


class Sink(Protocol):
    """A destination of records."""

    async def write(self, records: Sequence[Record]) -> None:
        """Take all of `records`, in this order. On return they are where they are kept, or the sink's documentation says what is.

        Raises `SinkError` if they were not taken. The same records are given again, so a sink that took some of them must ignore
        those, or its readers must recognise them by `Record.id`. May be cancelled at any await.
        """
        ...

    async def close(self) -> None:
        """Release everything. Nothing is written after that."""
        ...


@runtime_checkable
class MarkedSink(Protocol):
    """A sink that can return to an earlier state, and so has each record exactly once, also after a crash."""

    def mark(self) -> str:
        """The state after the last `write` or `resume`, which is stored together with the position in the spool."""
        ...

    async def resume(self, mark: str) -> None:
        """Return to the state of `mark`: what was written after it is removed. "": to that of now. Raises `SinkError`."""
        ...


@runtime_checkable
class RefusingSink(Protocol):
    """A sink that some records can never reach, whatever is tried."""

    def take_refused(self) -> list[Record]:
        """Those records of the last `write`, which did not raise. They count as lost."""
        ...


@dataclass(frozen=True)
class SinkEntry:
    """A sink, which records it gets, and how. Entries are equal if they have the same settings."""

    name: str
    sink: Sink = field(compare=False)
    settings: object = None  # what `sink` was made from
    kinds: frozenset[str] = ALL_KINDS
    findings: frozenset[str] = frozenset()  # kinds of findings; empty: all
    tenants: frozenset[str] = frozenset()  # empty: all
    most_records: int = 500  # of one `write`
    linger_s: float = 0.0  # between two writes, unless there are `most_records`
    timeout_s: float = 30.0  # of one `write`

    def wants(self, record: Record) -> bool:
        """Whether the sink gets this record."""
        if self.tenants and record.tenant not in self.tenants:
            return False
        if self.findings and isinstance(record, Finding) and record.kind not in self.findings:
            return False
        return kind_of(record) in self.kinds


def kind_of(record: Record) -> str:
    """One of `ALL_KINDS`."""
    if isinstance(record, Event):
        return record.kind
    return "findings" if isinstance(record, Finding) else "hours"


def time_of(record: Record) -> float:
    """When the last query of a record was, in seconds since the epoch."""
    if isinstance(record, Event):
        return record.last_s
    return record.time_s if isinstance(record, Finding) else record.end_s
