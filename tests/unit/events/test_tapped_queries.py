"""Copies of queries: who gets which, what a crash and a collector that is away cost, and that nothing waits."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from pdns.config.load import from_tables
from pdns.config.schema import Config
from pdns.core.client_identity import NO_CLIENT
from pdns.events.frame_streams import CollectorAddress
from pdns.events.tap_delivery import MOST_WAITING
from pdns.events.tapped_queries import FILE_NAME, TappedQueries
from pdns.files import records
from pdns.state.overrides import FILE_NAME as OVERRIDES
from pdns.state.overrides import Overrides, Tapped
from pdns.telemetry.counters import Counters
from pdns.telemetry.ring import Ring
from pdns.telemetry.tap_ring import SAMPLED, TAPPED, encoded, map_tap_ring, new_tap_ring
from pdns.wire.transport import Transport
from tests.unit.events.collectors import capture, fields_of, frames_in
from tests.wire import query_wire

NOW_S = 1_000_000.0


class Worker:
    """What a worker has written."""

    def __init__(self, capacity: int = 1024) -> None:
        self.counters = Counters.create(64)
        self.slots = {tenant: self.counters.slot("queries_total", tenant, "udp", "A") for tenant in ("north", "south")}
        self.ring: Ring = map_tap_ring(new_tap_ring(capacity), writable=True)

    def write(self, tenant: str, flags: int, times: int = 1, at_s: float = 1.0) -> None:
        for _ in range(times):
            copied = encoded(at_s, self.slots[tenant], flags, Transport.UDP, NO_CLIENT, query_wire(f"{tenant}.example"))
            self.ring.write(copied)

    def read_by(self, taps: TappedQueries) -> None:
        taps.read_from(1, os.dup(self.ring.fd), os.dup(self.counters.fd))

    def close(self) -> None:
        self.ring.close()
        self.counters.close()


def config(tmp_path: Path, **sinks: dict[str, Any]) -> Config:
    sections = [{"name": name, "kind": "dnstap", "path": str(tmp_path / name), **keys} for name, keys in sinks.items()]
    tenants = [{"name": "north", "networks": ["192.0.2.0/25"]}, {"name": "south", "networks": ["192.0.2.128/25"]}]
    return from_tables({"upstream": {"servers": ["udp://127.0.0.1:9"]}, "sink": sections, "tenant": tenants}, "a test", tmp_path)


def tap(tmp_path: Path, sink: str, until_s: float = NOW_S + 1000) -> None:
    entry = Tapped(sink=sink, reason="", author="me", since_s=0.0, until_s=until_s)
    (tmp_path / OVERRIDES).write_bytes(records.encode(Overrides(tapped={"north": entry}, revision=1)))


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def extras(path: Path) -> list[dict[str, str]]:
    return [json.loads(fields_of(frame)[3]) for frame in frames_in(path.read_bytes())]


def test_each_sink_gets_its_part(tmp_path: Path) -> None:
    """The largest share decides what workers copy; others get theirs of it, and a tapped tenant goes where it is to go."""
    worker, counters = Worker(), Counters.create(64)

    async def work() -> None:
        taps = TappedQueries(tmp_path, tmp_path, counters, asyncio.get_running_loop().create_task)
        await taps.configure(config(tmp_path, half={"sample": 0.5}, tenth={"sample": 0.1, "tenants": ["south"]}, tap={}), "here")
        worker.read_by(taps)
        tap(tmp_path, "tap")
        worker.write("south", SAMPLED, 20)
        worker.write("north", SAMPLED, 20)
        worker.write("north", TAPPED, 7)
        worker.write("north", SAMPLED | TAPPED)
        worker.write("south", TAPPED, 3)  # its tap has ended
        worker.write("north", TAPPED, 2, at_s=NOW_S)  # after the end
        taps.turn(NOW_S, 1000.0)
        await taps.stop()
        again = TappedQueries(tmp_path, tmp_path, counters, asyncio.get_running_loop().create_task)  # after a crash
        await again.configure(config(tmp_path, half={"sample": 0.5}, tap={}), "here")
        worker.read_by(again)
        again.turn(NOW_S, 1000.0)
        worker.write("north", TAPPED)
        again.turn(NOW_S, 1000.0)
        await again.stop()
        again.forget(1)
        taps.forget(1)

    names = ("half", "tenth", "tap")
    with capture(CollectorAddress(path=str(tmp_path / "half")), tmp_path / "half.frames"):  # noqa: SIM117 (three programs)
        with capture(CollectorAddress(path=str(tmp_path / "tenth")), tmp_path / "tenth.frames"):
            with capture(CollectorAddress(path=str(tmp_path / "tap")), tmp_path / "tap.frames"):
                run(work())
    half, tenth, tapped = (extras(tmp_path / f"{name}.frames") for name in names)
    assert [extra["tenant"] for extra in half] == ["south"] * 20 + ["north"] * 21
    assert tenth == [{"tap": "sample", "tenant": "south"}] * 4
    assert tapped == [{"tap": "tenant", "tenant": "north"}] * 9
    sent = {labels[0]: value for family, labels, value in counters.items() if family == "tap_messages_total"}
    assert sent == {"half": 41, "tenth": 4, "tap": 9}
    assert not [value for family, _, value in counters.items() if family == "tap_dropped_total" and value]
    assert (tmp_path / FILE_NAME).exists()
    worker.close()
    counters.close()


def test_a_collector_that_is_away(tmp_path: Path) -> None:
    """Nothing waits for it: what finds no room, what fails and what was overwritten is dropped, and counted once."""
    worker, counters = Worker(), Counters.create(64)

    async def work() -> None:
        taps = TappedQueries(tmp_path, tmp_path, counters, asyncio.get_running_loop().create_task)
        await taps.configure(config(tmp_path, away={"sample": 1.0}), "here")
        worker.read_by(taps)
        written = 0
        while written < MOST_WAITING + 3000:
            worker.write("north", SAMPLED, 1000)
            written += 1000
            taps.turn(NOW_S, 0.0)
        began_s = time.monotonic()
        worker.write("north", SAMPLED, 5000)  # a ring of 1,024
        taps.turn(NOW_S, 0.0)
        assert time.monotonic() - began_s < 60
        assert counters.value("tap_dropped_total", "away") == 3000 + 5000
        await taps.stop()
        taps.forget(1)
        assert counters.value("tap_dropped_total", "away") == written + 5000
        assert not counters.value("tap_messages_total", "away")

    run(work())
    worker.close()
    counters.close()
