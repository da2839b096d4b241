"""All sinks together: reconfiguration, what a full spool costs whom, the end of the process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pdns.errors import SinkError
from pdns.event_store.event import Record
from pdns.events.cursors import CursorFiles, SinkCursor
from pdns.events.delivery import CURSORS, Delivery
from pdns.events.sink import SinkEntry
from pdns.events.spool import LEAST_BYTES, Spool
from pdns.events.spool_segments import queries_of
from tests.unit.events.delivering import FakeClock, FakeSink, run, settle, until
from tests.unit.events.records import event


async def refuse() -> None:
    raise SinkError("refused")


def test_what_a_full_spool_costs(tmp_path: Path) -> None:
    """What a sink that is away loses is counted exactly, in records and queries; the others lose nothing."""
    away, there = FakeSink(refuse), FakeSink()
    written: list[Record] = [event(number, n=number % 5) for number in range(20_000)]

    async def work(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        only = frozenset(("north",))
        await delivery.configure([SinkEntry("away", away, tenants=only), SinkEntry("there", there)], tasks.create_task)
        for at in range(0, len(written), 100):
            delivery.append([*written[at : at + 100], event(at + 10**6, tenant="south")])
            await settle(delivery, "there")
            delivery.release()
        assert delivery.spool.size_bytes <= LEAST_BYTES
        away.before = None
        await settle(delivery)
        state = delivery.states()[0]
        missing = [record for record in written if record.id not in away.kept]
        assert state.lost == len(missing) > 10_000
        assert state.lost_queries == sum(map(queries_of, missing))
        assert state.written == len(written) - len(missing)
        assert missing[0].id == 100  # the batch in memory was not lost
        assert delivery.states()[1].lost == 0

    run(work, tmp_path, FakeClock())
    assert len(there.kept) == 20_200
    assert sum(map(len, away.calls)) == len(away.kept)


def test_a_kill_while_records_are_in_memory_only(tmp_path: Path) -> None:
    """Records that only memory had, because the spool had no room any more, count as lost after a kill."""

    async def work(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        await delivery.configure([SinkEntry("away", FakeSink(refuse), most_records=10)], tasks.create_task)
        for at in range(0, 10_000, 100):
            delivery.append([event(number) for number in range(at, at + 100)])
            await asyncio.sleep(0)
        (state,) = delivery.states()
        stored = CursorFiles(tmp_path / CURSORS).load("away")
        assert stored is not None
        assert (stored.lost, stored.at_risk, stored.at_risk_queries) == (state.lost, 10, 30)
        for _, task in delivery._running.values():
            task.cancel()
        delivery._running.clear()  # as after a kill: nothing is stored at the end

    run(work, tmp_path, FakeClock())
    sink = FakeSink()

    async def again(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        await delivery.configure([SinkEntry("away", sink)], tasks.create_task)
        await settle(delivery)
        (state,) = delivery.states()
        assert state.lost + state.written == 10_000
        assert state.lost_queries + 3 * len(sink.kept) == 30_000

    run(again, tmp_path, FakeClock())


def test_sinks_come_and_go(tmp_path: Path) -> None:
    """A new sink starts at the oldest record, one with other settings goes on where it was, a removed one is forgotten."""
    first, second, third = FakeSink(), FakeSink(), FakeSink()

    async def work(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        await delivery.configure([SinkEntry("a", first, settings=1)], tasks.create_task)
        delivery.append([event(1)])
        await settle(delivery)
        running = delivery._running["a"]
        await delivery.configure([SinkEntry("a", FakeSink(), settings=1), SinkEntry("b", second)], tasks.create_task)
        assert delivery._running["a"] is running
        delivery.append([event(2)])
        await settle(delivery)
        assert not first.closed
        await delivery.configure([SinkEntry("a", third, settings=2)], tasks.create_task)
        assert (first.closed, second.closed) == (True, True)
        delivery.append([event(3)])
        await settle(delivery)
        assert sorted(path.name for path in (tmp_path / CURSORS).iterdir()) == ["a.json"]

    run(work, tmp_path, FakeClock())
    assert [sorted(sink.kept) for sink in (first, second, third)] == [[1, 2], [1, 2], [3]]


def test_the_end_gives_sinks_a_moment(tmp_path: Path) -> None:
    """At the end, sinks that lingered get what is left; one that is away keeps its place, and does not hold up the end."""
    lingering, away, hanging = FakeSink(), FakeSink(refuse), FakeSink(asyncio.Event().wait)  # type: ignore[arg-type]

    async def work(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        entries = [SinkEntry("l", lingering, linger_s=50), SinkEntry("a", away), SinkEntry("h", hanging)]
        await delivery.configure(entries, tasks.create_task)
        delivery.append([event(1)])
        await settle(delivery, "l")
        delivery.append([event(2)])
        async with asyncio.timeout(20):
            await delivery.stop(0.3)

    run(work, tmp_path)  # by the real clock
    assert sorted(lingering.kept) == [1, 2]
    cursor = CursorFiles(tmp_path / CURSORS).load("a")
    assert cursor is not None
    assert (cursor.offset, cursor.written) == (0, 0)
    sink = FakeSink()

    async def again(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        await delivery.configure([SinkEntry("a", sink), SinkEntry("l", lingering)], tasks.create_task)
        await settle(delivery)

    run(again, tmp_path)
    assert sorted(sink.kept) == [1, 2]
    assert lingering.calls == [[event(1)], [event(2)]]


def test_a_spool_that_was_removed(tmp_path: Path) -> None:
    """Positions of a spool that is gone are given up at once, so that nothing of the new one is skipped later."""
    cursors = CursorFiles(tmp_path / CURSORS)
    cursors.store("a", SinkCursor(segment=3, offset=10**6, written=5), synced=False)
    sink = FakeSink(refuse)

    async def work(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        await delivery.configure([SinkEntry("a", sink)], tasks.create_task)
        stored = cursors.load("a")
        assert stored is not None
        assert (stored.segment, stored.offset, stored.written) == (1, 0, 5)

    run(work, tmp_path, FakeClock())


def test_the_loop_of_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` syncs, releases what all sinks have, and writes the states."""
    sink = FakeSink()

    async def work(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        await delivery.configure([SinkEntry("a", sink)], tasks.create_task)
        looping = tasks.create_task(delivery.run())
        for at in range(0, 3000, 500):
            delivery.append([event(number) for number in range(at, at + 500)])
            await settle(delivery)
        await until(lambda: len(list((tmp_path / "spool").iterdir())) == 1 and (tmp_path / "sinks.json").exists())
        looping.cancel()

    run(work, tmp_path, FakeClock())
    assert len(sink.kept) == 3000


def test_without_sinks_the_spool_is_kept(tmp_path: Path) -> None:
    """Records wait for the first sink."""
    sink = FakeSink()

    async def work(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        delivery.append([event(1)])
        delivery.release()
        await delivery.configure([SinkEntry("a", sink)], tasks.create_task)
        await settle(delivery)

    run(work, tmp_path, FakeClock())
    assert sorted(sink.kept) == [1]


def test_a_spool_of_an_earlier_process(tmp_path: Path) -> None:
    """What an earlier process spooled is delivered without a new record."""
    spool = Spool(tmp_path / "spool", LEAST_BYTES)
    spool.append([event(1)])
    spool.close()
    sink = FakeSink()

    async def work(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        await delivery.configure([SinkEntry("a", sink)], tasks.create_task)
        await settle(delivery)

    run(work, tmp_path, FakeClock())
    assert sorted(sink.kept) == [1]
