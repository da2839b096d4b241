"""From the rings of workers to the spool: what was counted is recorded, once, whatever dies."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdns.config.policy_schema import Tenant
from pdns.config.schema import Config
from pdns.core.block_answer import BlockAnswers, ede_text, told_by
from pdns.core.client_identity import views_of
from pdns.core.policy import Policy
from pdns.event_store.event import ALL_TENANTS, Event, Hour, Record
from pdns.events.collect import EventCollector
from pdns.events.spool import Spool
from pdns.reference.event_writer import ReferenceEventWriter
from pdns.telemetry.counters import Counters
from pdns.telemetry.event_ring import EventRing
from pdns.telemetry.stats import Stats
from pdns.telemetry.worker_memory import WorkerMemory
from pdns.wire import protocol as p
from pdns.wire.names import from_text
from pdns.wire.transport import Transport

HOUR = 1_800_000_000.0
CONFIG = Config(tenant=(Tenant(name="leeds", networks=("10.1.0.0/16",), policy="schools", events_clients="full"),))


class BusyWorker:
    """Counts and notes blocked queries as a worker does."""

    def __init__(self, memory: WorkerMemory) -> None:
        self.memory = memory
        self._stats = Stats(Counters.attach(os.dup(memory.counters.fd), writable=True))
        self._writer = ReferenceEventWriter(EventRing.attach(os.dup(memory.event_ring.fd)), b"key")
        self._writer.configure(views_of(CONFIG))

    def block(self, name: str, now: float, *, tenant: str = "leeds", counted: bool = True, noted: bool = True) -> None:
        wire = from_text(name)
        slots = self._stats.blocked(tenant, ("urlhaus", "malware", "sinkhole", ()), ())
        if not counted:
            self._stats.values[slots[0]] -= 1
        self._stats.query(tenant, Transport.UDP, p.A)
        self._stats.response(tenant, "blocked", p.NOERROR, 0.0)
        if noted:
            text = f"malware: {name} is listed by urlhaus (case K7M3-QXP2)".encode()
            self._writer.note(wire, tenant, "10.1.2.3", Transport.UDP, wire, p.A, wire, text, slots, now)

    def monitor(self, name: str, now: float) -> None:
        wire, slots = from_text(name), self._stats.blocked("leeds", None, (("trial", "ads"),))
        self._writer.note(wire, "leeds", "10.1.2.3", Transport.UDP, wire, p.A, b"", b"", slots, now)

    def flush(self, now: float) -> None:
        self._writer.flush(now)


class Bench:
    """A collector and the spool behind it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.counters = Counters.create(256)
        self.begin()

    def begin(self) -> None:
        self.spool = Spool(self._directory / "spool", 1 << 24)
        self.collector = EventCollector(CONFIG, "node1", self._directory, self.spool, self.spool.append, self.counters)

    def read_from(self, memory: WorkerMemory, *, anew: bool = False) -> None:
        ring = EventRing.attach(os.dup(memory.event_ring.fd), writable=False)
        self.collector.read_from(ring, Counters.attach(os.dup(memory.counters.fd), writable=False), anew=anew)

    def records(self) -> list[Record]:
        return self.spool.read(self.spool.oldest, 100_000).records

    def events(self) -> list[Event]:
        return [record for record in self.records() if isinstance(record, Event)]

    def hours(self) -> list[Hour]:
        return [record for record in self.records() if isinstance(record, Hour)]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def worker() -> Iterator[BusyWorker]:
    memory = WorkerMemory()
    yield BusyWorker(memory)
    memory.close()


def test_an_event_says_who_what_and_why(bench: Bench, worker: BusyWorker) -> None:
    """Names in presentation format, times since the epoch, the policy of the tenant, the case of the answer."""
    bench.read_from(worker.memory)
    worker.block('quo"te\\010x.evil.test', 100.5)
    bench.collector.turn(HOUR, 101.0)
    (event,) = bench.events()
    assert (event.tenant, event.policy, event.client, event.transport) == ("leeds", "schools", "10.1.2.3", "udp")
    assert (event.qname, event.qtype) == ('quo\\"te\\010x.evil.test', p.A)
    assert from_text(event.qname) == b'\x08quo"te\nx\x04evil\x04test\0'
    assert (event.feed, event.category, event.action, event.case) == ("urlhaus", "malware", "sinkhole", "K7M3-QXP2")
    assert (event.time_s, event.n, event.node, event.kind, event.merged) == (HOUR - 0.5, 1, "node1", "blocked", False)


def test_counts_and_events_agree_every_hour(bench: Bench, worker: BusyWorker) -> None:
    """Blocked + monitored = events + merged + lost + unaccounted, with repeats that still wait, and for each tenant."""
    bench.read_from(worker.memory)
    for now in range(5):
        worker.block("evil.test", float(now))
    worker.monitor("odd.test", 1.0)
    bench.collector.turn(HOUR, 5.0)
    bench.collector.turn(HOUR + 3600.0, 3605.0)
    worker.flush(3700.0)
    worker.block("evil.test", 3701.0, tenant="default", noted=False)
    bench.collector.turn(HOUR + 7200.0, 7205.0)
    tenant, first, *_, last = bench.hours()
    assert (tenant.tenant, tenant.queries, tenant.answered, tenant.blocked, tenant.events) == ("leeds", 5, 5, 5, 2)
    assert (first.tenant, first.blocked, first.monitored) == (ALL_TENANTS, 5, 1)
    assert (first.events, first.merged, first.lost, first.unaccounted) == (2, 4, 0, 0)
    assert (last.blocked, last.events, last.merged, last.lost, last.unaccounted) == (1, 0, 0, 0, 1)
    assert bench.counters.value("events_unaccounted_total") == 1
    assert sum(event.n for event in bench.events()) == 6


def test_what_was_overwritten_is_counted(bench: Bench, worker: BusyWorker) -> None:
    """A collector that comes too late knows how many queries it has lost, to the last one."""
    bench.read_from(worker.memory)
    total = worker.memory.event_ring.capacity + 1000
    for number in range(total):
        worker.block(f"n{number}.test", 1.0)
    bench.collector.turn(HOUR, 2.0)
    bench.collector.end_hour(HOUR + 1.0)
    *_, whole = bench.hours()
    assert whole.blocked == total
    assert whole.lost == bench.counters.value("events_lost_total", "overwritten") == total - len(bench.events()) > 0
    assert whole.unaccounted == 0


def test_nothing_is_lost_or_twice_after_a_crash(bench: Bench, worker: BusyWorker) -> None:
    """A process that dies after it has written to the spool, and before it has noted its place, reads again and knows it."""
    bench.read_from(worker.memory)
    worker.block("one.test", 1.0)
    bench.collector.turn(HOUR, 2.0)
    worker.block("two.test", 2.0)
    worker.block("one.test", 2.5)
    bench.collector.turn(HOUR + 0.5, 2.5)  # within a second of the last note: the place is not written
    bench.begin()
    bench.read_from(worker.memory)
    worker.block("three.test", 3.0)
    bench.collector.turn(HOUR + 1.0, 3.0)
    bench.collector.end_hour(HOUR + 2.0)
    assert [event.qname for event in bench.events()] == ["one.test", "two.test", "three.test"]
    *_, whole = bench.hours()
    assert (whole.blocked, whole.events, whole.merged, whole.unaccounted) == (4, 3, 1, 0)


def test_a_worker_that_is_gone_for_good(bench: Bench, worker: BusyWorker) -> None:
    """What it had noted is read to the end; repeats that it could not write are counted as lost."""
    bench.read_from(worker.memory)
    for name in ("one.test", "one.test", "two.test"):
        worker.block(name, 1.0)
    bench.collector.forget(worker.memory.event_ring.id, HOUR, 2.0)
    bench.collector.end_hour(HOUR + 1.0)
    assert [event.qname for event in bench.events()] == ["one.test", "two.test"]
    *_, whole = bench.hours()
    assert (whole.blocked, whole.events, whole.merged, whole.lost, whole.unaccounted) == (3, 2, 0, 1, 0)


def test_a_clock_that_is_set_back_ends_the_hour(bench: Bench, worker: BusyWorker) -> None:
    """Rows never end before they begin."""
    bench.read_from(worker.memory)
    worker.block("one.test", 1.0)
    bench.collector.turn(HOUR + 10.0, 2.0)
    bench.collector.turn(HOUR - 5000.0, 3.0)
    for hour in bench.hours():
        assert hour.end_s >= hour.start_s
    assert sum(hour.blocked for hour in bench.hours() if hour.tenant == ALL_TENANTS) == 1


@pytest.mark.parametrize("reason", ["", "ticket 7 (by Ann)", "a" * 150])
@pytest.mark.parametrize("rule", ["", "*.evil.test", "192.0.2.0/24", ".".join(["x" * 60] * 4)])
def test_the_text_of_an_answer_is_understood(rule: str, reason: str) -> None:
    """Rule, reason and case of every text that blocked answers carry."""
    template = BlockAnswers(Policy(Config())).template(0, "urlhaus", "malware", (), (), p.A, reason)
    told = told_by(ede_text(template, from_text("evil.test"), rule).decode(), "urlhaus", "malware")
    assert told.rule in (rule or "evil.test", "")
    assert told.rule or len(rule) > 100
    assert reason.startswith(told.reason)
    assert bool(told.reason) == bool(reason)
    assert len(told.case) == 9


def test_another_text_says_nothing() -> None:
    """Such as that of an upstream, or of another feed."""
    for text in ("", "blocked", "malware: x (case ABC)", "ads: x is listed by urlhaus (case K7M3-QXP2)"):
        assert told_by(text, "urlhaus", "malware") == ("", "", "")


def test_a_worker_that_is_gone_is_not_read_again(bench: Bench, worker: BusyWorker) -> None:
    """When its end was not confirmed because this process died, its memory comes again: nothing is recorded or counted twice."""
    bench.read_from(worker.memory)
    worker.block("evil.test", 1.0)
    bench.collector.forget(worker.memory.event_ring.id, HOUR, 2.0)
    bench.begin()
    bench.read_from(worker.memory)
    bench.collector.turn(HOUR + 0.7, 2.5)
    bench.collector.forget(worker.memory.event_ring.id, HOUR + 1.0, 3.0)
    bench.collector.end_hour(HOUR + 2.0)
    assert len(bench.events()) == 1
    assert (bench.hours()[-1].blocked, bench.hours()[-1].events, bench.hours()[-1].unaccounted) == (1, 1, 0)


def test_what_was_lost_before_a_kill_stays_counted(bench: Bench, worker: BusyWorker) -> None:
    """Records that were overwritten before the hour was looked at, when the process dies in between."""
    bench.read_from(worker.memory)
    capacity = worker.memory.event_ring.capacity
    for number in range(capacity + 5):
        worker.block(f"n{number}.test", 1.0)
    bench.collector.turn(HOUR, 2.0)
    bench.begin()
    bench.read_from(worker.memory)
    bench.collector.end_hour(HOUR + 2.0)
    whole = bench.hours()[-1]
    assert (whole.blocked, whole.events, whole.lost, whole.unaccounted) == (capacity + 5, capacity - 1, 6, 0)


def test_recording_can_begin_anew(bench: Bench, worker: BusyWorker) -> None:
    """What was noted before is neither recorded nor lost, and belongs to no hour."""
    bench.read_from(worker.memory)
    bench.collector.turn(HOUR, 0.5)
    bench.begin()
    for number in range(10):
        worker.block(f"n{number}.test", 1.0)
    bench.read_from(worker.memory, anew=True)
    worker.block("evil.test", 2.0)
    bench.begin()
    bench.read_from(worker.memory)
    bench.collector.turn(HOUR, 3.0)
    bench.collector.end_hour(HOUR + 2.0)
    assert [event.qname for event in bench.events()] == ["evil.test"]
    whole = bench.hours()[-1]
    assert (whole.queries, whole.blocked, whole.events, whole.lost, whole.unaccounted) == (1, 1, 1, 0, 0)


def test_the_spool_keeps_what_a_restart_compares_with(bench: Bench, worker: BusyWorker) -> None:
    """From the place that was written last; a full disk may keep a new one from being written."""
    bench.read_from(worker.memory)
    worker.block("evil.test", 1.0)
    before = bench.collector.needed
    bench.collector.turn(HOUR, 2.0)
    assert before < bench.collector.needed == bench.spool.end
    worker.block("worse.test", 2.0)
    bench.collector.turn(HOUR, 2.1)
    assert bench.collector.needed < bench.spool.end


def test_an_hour_ends_once(bench: Bench, worker: BusyWorker) -> None:
    """Also when the process dies right after it; what is counted later belongs to the next."""
    bench.read_from(worker.memory)
    worker.block("one.test", 1.0)
    bench.collector.turn(HOUR, 2.0)
    bench.collector.turn(HOUR + 3600.0, 2.1)
    bench.begin()
    bench.read_from(worker.memory)
    worker.block("two.test", 3.0)
    bench.collector.turn(HOUR + 3601.0, 3.0)
    bench.collector.end_hour(HOUR + 3602.0)
    whole = [hour for hour in bench.hours() if hour.tenant == ALL_TENANTS]
    assert len({hour.id for hour in whole}) == len(whole) == 2
    assert [hour.blocked for hour in whole] == [1, 1]
