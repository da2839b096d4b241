"""From the rings of the workers to history and findings: restarts, kills, workers that go, a history that is switched off."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pdns.config.schema import Config
from pdns.event_store.event import ALL_TENANTS, Event, Finding, Hour
from pdns.events.asked import AskedNameFindings
from pdns.history.days import history_directory
from pdns.history.hunt import NameHunt, NoHistoryError, WantedName
from pdns.telemetry.asked_names import DAY_S, AskedNames, map_ring, new_ring
from pdns.telemetry.counters import Counters
from pdns.telemetry.names_key import read_or_make_key
from pdns.telemetry.ring import Ring
from pdns.wire.names import from_text
from tests.blocksets import make_blockset
from tests.unit.history.asked import NOON_S
from tests.unit.report.stored import store


class _NotingWorker:
    """What a worker has of a server with a history."""

    def __init__(self, state_dir: Path, capacity: int = 1024) -> None:
        self.ring: Ring = map_ring(new_ring(read_or_make_key(state_dir), capacity), writable=True)
        self.counters = Counters.create(64)
        slots: dict[str, int] = {}
        self._asked = AskedNames(self.ring, lambda tenant: slots.setdefault(tenant, self.counters.slot("queries_total", tenant)))
        self._asked.turn(int(NOON_S // DAY_S))

    def note(self, name: str, tenant: str = "north") -> None:
        self._asked.note(from_text(name), tenant)

    def give_to(self, findings: AskedNameFindings) -> None:
        findings.read_from(self.ring.id, os.dup(self.ring.fd), os.dup(self.counters.fd))


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[_NotingWorker]:
    made = _NotingWorker(tmp_path)
    yield made
    made.ring.close()
    made.counters.close()


def config_of(state_dir: Path, **history: Any) -> Config:
    return msgspec.convert({"state": {"dir": str(state_dir)}, "history": {"days": 30, **history}}, Config)


def begun(state_dir: Path, *workers: _NotingWorker) -> AskedNameFindings:
    findings = AskedNameFindings(config_of(state_dir), "ns1", NOON_S)
    for worker in workers:
        worker.give_to(findings)
    return findings


def found(state_dir: Path, *names: str) -> dict[str, list[str]]:
    """Name -> tenants."""
    try:
        hunt = NameHunt.of(state_dir, 30, int(NOON_S // DAY_S))
    except NoHistoryError:
        return {}
    report = hunt.find(WantedName(from_text(name)) for name in names)
    return {one.name: [asked.tenant for asked in one.tenants] for one in report.found}


def lost(state_dir: Path) -> int:
    return NameHunt.of(state_dir, 30, int(NOON_S // DAY_S)).find([]).lost


def test_what_workers_note_is_in_the_history(tmp_path: Path, worker: _NotingWorker) -> None:
    """By tenant, from two workers, also what was noted before this process was there."""
    other = _NotingWorker(tmp_path)
    worker.note("a.example")
    findings = begun(tmp_path, worker, other)
    worker.give_to(findings)  # sent again, as after a reload
    other.note("a.example", "south")
    worker.note("b.example")
    findings.collect(NOON_S)
    findings.stop(NOON_S)
    assert found(tmp_path, "a.example", "b.example", "c.example") == {"a.example": ["north", "south"], "b.example": ["north"]}
    assert lost(tmp_path) == 0


def test_a_kill_loses_nothing_that_is_still_in_the_ring(tmp_path: Path, worker: _NotingWorker) -> None:
    """A process that was killed had read some names and written none; the next one reads them again, and counts no loss."""
    for number in range(400):
        worker.note(f"n{number}.example")
    begun(tmp_path, worker).collect(NOON_S)
    for number in range(400, 1000):
        worker.note(f"n{number}.example")
    begun(tmp_path, worker).stop(NOON_S)
    names = [f"n{number}.example" for number in range(1000)]
    assert len(found(tmp_path, *names)) == 1000
    assert lost(tmp_path) == 0


def test_a_process_that_is_late_counts_what_it_lost(tmp_path: Path, worker: _NotingWorker) -> None:
    """A flood of names that are asked once: the ring keeps the last of them, and every hunt says how many are missing."""
    findings = begun(tmp_path, worker)
    for number in range(5000):
        worker.note(f"n{number}.example")
    findings.stop(NOON_S)
    names = [f"n{number}.example" for number in range(5000)]
    assert len(found(tmp_path, *names)) + lost(tmp_path) == 5000


def test_a_worker_that_is_gone_has_been_read(tmp_path: Path, worker: _NotingWorker) -> None:
    """What it noted last is in the history; a worker that was never known does no harm."""
    findings = begun(tmp_path, worker)
    worker.note("last.example")
    findings.forget(worker.ring.id)
    findings.forget(4711)
    worker.note("after.example")
    findings.stop(NOON_S)
    assert found(tmp_path, "last.example", "after.example") == {"last.example": ["north"]}


def test_a_name_is_hunted_for_when_it_is_listed(tmp_path: Path, worker: _NotingWorker) -> None:
    """The first blockset is where it begins; the next makes a finding, of names noted a moment ago too."""
    findings = begun(tmp_path, worker)
    findings.take_blockset(make_blockset({"one": "old.example"}), None)
    assert asyncio.run(findings.hunt(NOON_S)) == []
    worker.note("www.evil.example")
    findings.take_blockset(make_blockset({"one": "old.example evil.example"}), None)
    (finding,) = asyncio.run(findings.hunt(NOON_S))
    assert asyncio.run(findings.hunt(NOON_S)) == []
    assert (finding.kind, finding.tenant, finding.subject, finding.n) == ("retro", "north", "evil.example", 1)


def test_switched_off_and_on_again(tmp_path: Path, worker: _NotingWorker) -> None:
    """Nothing stays, and nothing is taken from workers that are late; then it begins anew."""
    findings = begun(tmp_path, worker)
    worker.note("a.example")
    findings.collect(NOON_S)
    findings.configure(config_of(tmp_path, days=0))
    assert not history_directory(tmp_path).exists()
    worker.give_to(findings)
    findings.collect(NOON_S)
    findings.stop(NOON_S)
    assert not history_directory(tmp_path).exists()
    findings.configure(config_of(tmp_path))
    worker.give_to(findings)
    worker.note("b.example")
    findings.stop(NOON_S)
    assert found(tmp_path, "b.example") == {"b.example": ["north"]}


def test_a_memory_of_another_version_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is said, and no descriptor stays open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    findings = begun(tmp_path)
    findings.read_from(1, Ring.make(b"evnt", 4, 64), os.dup(0))
    assert "not a ring of askd records" in caplog.text
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_weeks_before_a_start_are_known(tmp_path: Path) -> None:
    """Hours come from the store; one that comes again, live, counts once. A fall makes a finding, unless that is switched off."""
    (tmp_path / "events").mkdir()
    hour = int(NOON_S // 3600) - 1
    usual = [row for number in range(hour - 14 * 24, hour - 1) for row in hours_of(number, 900)]
    fallen = [row for number in (hour - 1, hour) for row in hours_of(number, 90)]
    store(tmp_path / "events" / "events.db", usual + fallen[:2])

    async def checked(**findings: bool) -> list[Finding]:
        config = msgspec.convert({"state": {"dir": str(tmp_path)}, "findings": findings, "tenant": [{"name": "north"}]}, Config)
        asked = AskedNameFindings(config, "ns1", NOON_S)
        await asyncio.to_thread(asked._learn, NOON_S)
        asked.see(fallen)
        return await asked.check((hour + 1) * 3600.0 + 180)

    (finding,) = asyncio.run(checked())
    assert (finding.kind, finding.tenant, finding.details["expected"], finding.details["queries"]) == (
        "bypass",
        "north",
        "900",
        "90",
    )
    assert asyncio.run(checked(bypass=False)) == []


def hours_of(number: int, queries: int) -> list[Hour]:
    """The rows of one hour."""
    start_s = number * 3600.0
    return [
        Hour(id=2 * number + at, start_s=start_s, end_s=start_s + 3600, node="ns1", tenant=tenant, queries=queries)
        for at, tenant in enumerate(("north", ALL_TENANTS))
    ]


def test_names_that_several_tenants_met_today(tmp_path: Path) -> None:
    """They come from the store; without a store there are none."""
    findings = AskedNameFindings(config_of(tmp_path), "ns1", NOON_S)
    assert asyncio.run(findings.check(NOON_S, with_shared=True)) == []
    (tmp_path / "events").mkdir(exist_ok=True)
    store(tmp_path / "events" / "events.db", [blocked(at, tenant) for at, tenant in enumerate(("a", "b", "c"))])
    (finding,) = asyncio.run(findings.check(NOON_S, with_shared=True))
    assert (finding.kind, finding.tenant, finding.subject, finding.n) == ("shared", ALL_TENANTS, "evil.example", 3)


def blocked(number: int, tenant: str) -> Event:
    return Event(
        id=number, time_s=NOON_S - 1, last_s=NOON_S - 1, n=1, kind="blocked", node="ns1", tenant=tenant, policy="default",
        client="", transport="udp", qname="evil.example", qtype=1, listed="evil.example", rule="evil.example", feed="one",
        category="malware", action="sinkhole",
    )  # fmt: skip
