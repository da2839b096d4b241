"""A delivery with a clock that tests set, and sinks that do what tests say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from pdns.event_store.event import Record
from pdns.events.delivery import Delivery
from pdns.events.sink_delivery import DeliveryClock
from pdns.events.spool import LEAST_BYTES, Spool
from tests.unit.events.records import EVENT


class FakeClock(DeliveryClock):
    """Time passes only where something sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def wall_s(self) -> float:
        return EVENT.time_s + self.now_s

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds
        await asyncio.sleep(0)

    def random(self) -> float:
        return 0.5


class FakeSink:
    """A sink that keeps records by their id, as a database does, and does to each call what `before` says."""

    def __init__(self, before: Callable[[], Awaitable[None]] | None = None) -> None:
        self.calls: list[list[Record]] = []
        self.kept: dict[int, Record] = {}
        self.closed = False
        self.before = before

    async def write(self, records: Sequence[Record]) -> None:
        if self.before is not None:
            await self.before()
        self.calls.append(list(records))
        self.kept |= {record.id: record for record in records}

    async def close(self) -> None:
        self.closed = True


async def settle(delivery: Delivery, *names: str) -> None:
    """Wait until the sinks have everything."""
    waiting = [sink for name, (sink, _) in delivery._running.items() if not names or name in names]
    async with asyncio.timeout(60):
        for sink in waiting:
            await sink._idle.wait()


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until `condition` holds."""
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 (it is of other tasks)
            await asyncio.sleep(0)


def run(
    work: Callable[[Delivery, asyncio.TaskGroup], Awaitable[None]], directory: Path, clock: DeliveryClock | None = None
) -> None:
    """Do `work` with a delivery below `directory`, which is stopped afterwards."""

    async def whole() -> None:
        async with asyncio.TaskGroup() as tasks:
            delivery = Delivery(Spool(directory / "spool", LEAST_BYTES), directory, clock)
            await work(delivery, tasks)
            await delivery.stop()

    asyncio.run(whole())
