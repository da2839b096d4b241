"""Pointers, killed at every step."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from feeds.fleet import trust
from feeds.fleet.object_store import ObjectStore, open_store
from feeds.fleet.pointer import FencedError, PointerWriter
from feeds.fleet.published import PublisherFiles
from feeds.fleet.signing import PublisherKeys
from feeds.fleet.stored import ObjectStoreError
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


def rotated(fleet: Fleet) -> None:
    """Replace the online key, and remove the old one."""
    old = list(fleet.keys.glob("online-*.pem"))
    trust.rotate(fleet.keys, "online", now_s=steady_s())
    (root_key,) = fleet.keys.glob("root-*.pem")
    trust.sign(fleet.keys, root_key)
    for path in old:
        path.unlink()


def test_root_metadata_comes_in_any_order(tmp_path: Path) -> None:
    """`root.json` is copied before its numbered copy, or the store has lost that: nodes follow all the same."""
    fleet = Fleet(tmp_path)
    reader = fleet.reader()

    async def run() -> None:
        process = Process(fleet)
        await process.start()
        await process.write(b"one")
        assert reader.target("urgent.json") == b"one"
        rotated(fleet)
        second = (fleet.keys / "2.root.json").read_bytes()
        (fleet.keys / "2.root.json").unlink()
        process.keys = PublisherKeys(fleet.keys)
        await process.write(b"two")
        (fleet.keys / "2.root.json").write_bytes(second)
        assert reader.target("urgent.json") == b"two"
        (fleet.store / "metadata" / "2.root.json").unlink()
        process = Process(fleet)
        await process.start()
        await process.write(b"three")
        assert fleet.reader("new").target("urgent.json") == b"three"

    asyncio.run(run())


def test_a_version_of_the_root_metadata_is_missing(tmp_path: Path) -> None:
    """Nodes could not follow: nothing is published, and the message names the file."""
    fleet = Fleet(tmp_path)

    async def run() -> None:
        process = Process(fleet)
        await process.start()
        await process.write(b"one")
        rotated(fleet)
        rotated(fleet)
        (fleet.keys / "2.root.json").unlink()
        process.keys = PublisherKeys(fleet.keys)
        with pytest.raises(ObjectStoreError, match=r"no 2\.root\.json"):
            await process.write(b"two")
        assert fleet.reader().target("urgent.json") == b"one"

    asyncio.run(run())


def test_new_machine_and_new_key(tmp_path: Path) -> None:
    """The machine is lost and its key was replaced: a new one says what it found, and goes on after a take-over."""
    fleet = Fleet(tmp_path)
    reader = fleet.reader()

    async def run() -> None:
        lost = Process(fleet, "lost")
        await lost.start()
        for content in (b"one", b"two", b"three"):
            await lost.write(content)
        assert reader.sequence() == 3
        (fleet.store / "metadata" / "1.snapshot.json").unlink()  # it was old
        rotated(fleet)
        new = Process(fleet, "new")
        with pytest.raises(ObjectStoreError, match="take-over"):
            await new.start()
        await new.writer.take_over(new.keys, steady_s())
        await new.write(b"four")
        assert (reader.target("urgent.json"), reader.sequence()) == (b"four", 4)
        assert new.record.last_release >= 3

    asyncio.run(run())
