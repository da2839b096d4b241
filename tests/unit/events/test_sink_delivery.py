"""Delivery: each sink gets every record once and in order, through outages, hangs, restarts and losses, and alone."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.errors import SinkError
from pdns.event_store.event import Record
from pdns.events.cursors import CursorFiles
from pdns.events.delivery import Delivery
from pdns.events.sink import SinkEntry
from pdns.events.sink_delivery import FIRST_RETRY_S, MOST_RETRY_S, retry_delay_s
from pdns.events.spool import LEAST_BYTES, Spool
from pdns.state.sink_states import read_states
from tests.unit.events.delivering import FakeClock, FakeSink, run, settle, until
from tests.unit.events.records import EVENT, FINDING, HOUR, event


def test_records_arrive_once_and_in_order(tmp_path: Path) -> None:
    """Two sinks get all they want, in batches; one that failed gets the same records again, and the other does not wait."""
    failures = iter([True, True, True, *[False] * 1000])

    async def fail() -> None:
        if next(failures):
            raise SinkError("not now")

    slow, quick = FakeSink(fail), FakeSink()
    written: list[Record] = [event(number) for number in range(1200)]

    async def work(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        await delivery.configure([SinkEntry("slow", slow), SinkEntry("quick", quick, most_records=100)], tasks.create_task)
        for at in range(0, 1200, 300):
            delivery.append(written[at : at + 300])
        await settle(delivery, "quick")
        assert not slow.calls
        await settle(delivery)
        first, second = delivery.states()
        assert (first.name, first.written, first.errors, first.up) == ("quick", 1200, 0, True)
        assert (second.name, second.written, second.errors, second.up, second.last_error) == ("slow", 1200, 3, True, "not now")

    run(work, tmp_path, FakeClock())
    for sink in (slow, quick):
        assert [record for call in sink.calls for record in call] == written
        assert sink.closed
    assert max(map(len, slow.calls)) == 500
    assert max(map(len, quick.calls)) == 100


def test_kinds_and_tenants(tmp_path: Path) -> None:
    """A sink gets the kinds and tenants that it is configured for."""
    everything: list[Record] = [EVENT, event(1, kind="monitored"), event(2, tenant="south"), FINDING, HOUR]
    sinks = {name: FakeSink() for name in ("all", "findings", "south", "blocked", "nothing")}

    async def work(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        entries = [
            SinkEntry("all", sinks["all"]),
            SinkEntry("findings", sinks["findings"], kinds=frozenset(("findings", "hours"))),
            SinkEntry("south", sinks["south"], tenants=frozenset(("south",))),
            SinkEntry("blocked", sinks["blocked"], kinds=frozenset(("blocked",))),
            SinkEntry("nothing", sinks["nothing"], tenants=frozenset(("east",))),
        ]
        await delivery.configure(entries, tasks.create_task)
        delivery.append(everything)
        await settle(delivery)
        assert {delivery.kept for delivery, _ in delivery._running.values()} == {delivery.spool.end}

    run(work, tmp_path, FakeClock())
    got = {name: list(sink.kept.values()) for name, sink in sinks.items()}
    south = event(2, tenant="south")
    assert got == {
        "all": everything, "findings": [FINDING, HOUR], "south": [south], "blocked": [EVENT, south], "nothing": [],
    }  # fmt: skip


def test_an_outage_of_an_hour(tmp_path: Path) -> None:
    """A sink is away for an hour under load, by the clock: it is asked ever more rarely, then gets all records, each once."""
    clock = FakeClock()
    attempts: list[float] = []

    async def away() -> None:
        attempts.append(clock.now_s)
        if clock.now_s < 3600:
            raise SinkError("connection refused")

    sink = FakeSink(away)

    async def work(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        await delivery.configure([SinkEntry("siem", sink)], tasks.create_task)
        number = 0
        while clock.now_s < 3700:
            delivery.append([event(number + at) for at in range(10)])
            number += 10
            before_s = clock.now_s
            await until(lambda: clock.now_s >= before_s + 20)  # noqa: B023 (it is awaited here)
        await settle(delivery)
        (state,) = delivery.states()
        assert (state.written, state.lost, state.lag_s, state.up) == (number, 0, 0.0, True)
        assert sorted(sink.kept) == list(range(number))
        assert sum(map(len, sink.calls)) == number > 1500

    async def driven(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        ticking = tasks.create_task(tick())
        await work(delivery, tasks)
        ticking.cancel()

    async def tick() -> None:
        while True:
            await clock.sleep(0.25)

    run(driven, tmp_path, clock)
    gaps = [after - before for before, after in pairwise(attempts) if after < 3600]
    assert 60 < len(gaps) < 150
    assert max(gaps) <= MOST_RETRY_S + 1


def test_lag_and_state_while_away(tmp_path: Path) -> None:
    """While a sink is away, its state says since when, why, and how far behind it is; the file says the same."""

    async def away() -> None:
        raise SinkError("refused\x1b[2J")

    async def work(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        clock = delivery._clock
        await delivery.configure([SinkEntry("siem", FakeSink(away))], tasks.create_task)
        delivery.append([event(0), event(1)])
        await until(lambda: clock.monotonic_s() >= 100)
        (state,) = delivery.states()
        assert (state.up, state.written, state.last_error) == (False, 0, "refused?[2J")
        assert state.lag_s == pytest.approx(clock.wall_s() - event(0).last_s, abs=0.1)
        assert state.errors > 3
        delivery.write_states()
        assert read_states(tmp_path).sinks == (state,)

    run(work, tmp_path, FakeClock())


def test_a_sink_that_hangs(tmp_path: Path) -> None:
    """A sink that does not answer is given up after its timeout and asked again; others have long been served."""
    hangs = iter([True, False, False])

    async def hang() -> None:
        if next(hangs):
            await asyncio.Event().wait()

    sinks = {"hanging": FakeSink(hang), "other": FakeSink()}

    async def work(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        await delivery.configure([SinkEntry(name, sink, timeout_s=0.2) for name, sink in sinks.items()], tasks.create_task)
        delivery.append([event(1)])
        await settle(delivery, "other")
        assert sinks["other"].calls
        await settle(delivery)
        assert delivery.states()[0].last_error == "no answer within 0.2 s"
        delivery.append([event(2)])
        await settle(delivery)

    run(work, tmp_path, FakeClock())
    assert [sink.calls for sink in sinks.values()] == [[[event(1)], [event(2)]]] * 2


def test_a_fault_in_a_sink(tmp_path: Path) -> None:
    """An exception that no sink should raise is logged and tried again, as any failure."""
    faults = iter([True, False])

    async def fault() -> None:
        if next(faults):
            raise KeyError("bug")

    sink = FakeSink(fault)

    async def work(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
        await delivery.configure([SinkEntry("faulty", sink)], tasks.create_task)
        delivery.append([EVENT])
        await settle(delivery)

    run(work, tmp_path, FakeClock())
    assert sink.calls == [[EVENT]]


@given(st.integers(0, 2**32))
def test_kills_and_failures_lose_and_repeat_nothing(seed: int) -> None:
    """A process that is killed anywhere, with a sink that fails at random: a sink that knows ids has each record once."""
    import tempfile  # noqa: PLC0415

    chance = random.Random(seed)
    sink = FakeSink()
    written: list[Record] = []

    async def sometimes() -> None:
        await asyncio.sleep(0)
        if chance.random() < 0.4:
            raise SinkError("not now")

    sink.before = sometimes

    async def life(directory: Path) -> None:
        async with asyncio.TaskGroup() as tasks:
            spool = Spool(directory / "spool", LEAST_BYTES)
            delivery = Delivery(spool, directory, FakeClock())
            await delivery.configure([SinkEntry("db", sink, most_records=chance.randint(1, 9))], tasks.create_task)
            for _ in range(chance.randint(0, 30)):
                batch: list[Record] = [event(len(written) + at) for at in range(chance.randint(0, 4))]
                written.extend(batch)
                delivery.append(batch)
                await asyncio.sleep(0)
            if chance.random() < 0.3:
                await delivery.stop()
            for _, task in delivery._running.values():
                task.cancel()  # and no cursor is stored any more, as after a kill
            spool._roll()

    with tempfile.TemporaryDirectory() as path:
        for _ in range(4):
            asyncio.run(life(Path(path).resolve()))
        sink.before = None
        run(lambda delivery, tasks: _last(delivery, tasks, sink), Path(path).resolve(), FakeClock())
    assert list(sink.kept.values()) == written


async def _last(delivery: Delivery, tasks: asyncio.TaskGroup, sink: FakeSink) -> None:
    await delivery.configure([SinkEntry("db", sink)], tasks.create_task)
    await settle(delivery)


def test_the_delay_grows_up_to_a_minute() -> None:
    """Delays double from half a second to a minute, less a random half."""
    assert [retry_delay_s(failures, 0.0) for failures in (1, 2, 3, 7, 8, 1000)] == [0.5, 1.0, 2.0, 32.0, 60.0, 60.0]
    assert retry_delay_s(1, 1.0) == FIRST_RETRY_S / 2


def test_cursors_that_are_damaged(tmp_path: Path) -> None:
    """A damaged cursor is as none: the sink starts at the oldest record, and says so in the log."""
    cursors = CursorFiles(tmp_path / "cursors")
    (tmp_path / "cursors" / "a.json").write_bytes(b'{"segment":1,"checksum":"' + b"0" * 64 + b'"}')
    assert cursors.load("a") is None
    assert cursors.load("b") is None
