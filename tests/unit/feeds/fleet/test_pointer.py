"""Pointers, killed at every step."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from feeds.fleet.object_store import ObjectStore, open_store
from feeds.fleet.pointer import FencedError, PointerWriter
from feeds.fleet.published import PublisherFiles
from feeds.fleet.signing import PublisherKeys
from pdns.clock import steady_s
from tests.unit.feeds.fleet.publishing import Fleet

STEPS = 4  # writes of a pointer: the changed target, snapshot, targets, timestamp


class KilledError(BaseException):
    pass


class KillingStore:
    """Ends its caller before, or after, a number of writes."""

    def __init__(self, store: ObjectStore, before: int, *, after: bool) -> None:
        self._store, self._left, self._after = store, before, after
        self.get = store.get

    async def put(self, path: str, data: bytes, *, create: bool = False) -> None:
        self._left -= 1
        if self._left < 0 and not self._after:
            raise KilledError
        await self._store.put(path, data, create=create)
        if self._left < 0:
            raise KilledError


class Process:
    """A publisher of pointers, started from what is on the disk."""

    def __init__(self, fleet: Fleet, state: str = "state") -> None:
        files = PublisherFiles(fleet.directory / state)
        (fleet.directory / state).mkdir(exist_ok=True)
        files.prepare()
        self.record, self.keys = files.load(), PublisherKeys(fleet.keys)
        self.store = open_store(fleet.store.as_uri())
        self.files = files
        self.writer = PointerWriter(self.store, files, self.record)

    async def start(self) -> None:
        await self.writer.take_up(self.keys, steady_s())

    async def write(self, content: bytes) -> None:
        await self.writer.write(self.keys, {"urgent.json": content}, steady_s(), 3600.0)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(STEPS))
def test_killed_at_a_step(tmp_path: Path, step: int, after: bool) -> None:
    """Readers always find a whole state, the old or the new one; the next process goes on, and nothing is fenced."""
    fleet = Fleet(tmp_path)
    reader = fleet.reader()

    async def run() -> None:
        process = Process(fleet)
        await process.start()
        await process.write(b"one")
        assert (reader.target("urgent.json"), reader.sequence()) == (b"one", 1)
        process.writer = PointerWriter(KillingStore(process.store, step, after=after), process.files, process.record)  # type: ignore[arg-type]
        with pytest.raises(KilledError):
            await process.write(b"two")
        assert reader.target("urgent.json") == (b"two" if step == STEPS - 1 and after else b"one")
        following = Process(fleet)
        await following.start()
        assert reader.target("urgent.json") == b"two"
        await following.write(b"three")
        assert (reader.target("urgent.json"), reader.sequence()) == (b"three", 3)

    asyncio.run(run())


def test_two_writers_at_a_time(tmp_path: Path) -> None:
    """Of two that write the same number one succeeds, and readers have its content; the other stops."""
    fleet = Fleet(tmp_path)
    reader = fleet.reader()

    async def run() -> None:
        first = Process(fleet, "one")
        await first.start()
        await first.write(b"zero")
        second = Process(fleet, "two")
        await second.start()
        results = await asyncio.gather(first.write(b"first"), second.write(b"second"), return_exceptions=True)
        fenced = [isinstance(result, FencedError) for result in results]
        assert sorted(fenced) == [False, True]
        assert reader.target("urgent.json") == (b"second" if fenced[0] else b"first")
        loser, winner = (first, second) if fenced[0] else (second, first)
        assert loser.record.fenced
        await loser.writer.take_over(loser.keys, steady_s())
        await loser.write(b"again")
        assert reader.target("urgent.json") == b"again"
        with pytest.raises(FencedError):
            await winner.write(b"late")
        assert reader.target("urgent.json") == b"again"

    asyncio.run(run())


def test_replayed_pointer(tmp_path: Path) -> None:
    """Someone who may write to the store and has no key puts back an old pointer, or junk: the publisher writes over it."""
    fleet = Fleet(tmp_path)
    reader = fleet.reader()

    async def run() -> None:
        process = Process(fleet)
        await process.start()
        path = fleet.store / "metadata" / "timestamp.json"
        await process.write(b"one")
        old = path.read_bytes()
        await process.write(b"two")
        for junk in (old, b"<html></html>"):
            path.write_bytes(junk)
            await process.write(b"three")
            assert reader.target("urgent.json") == b"three"

    asyncio.run(run())
