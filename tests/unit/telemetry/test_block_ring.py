"""The ring in which workers say which listed names they met, and what the supervisor makes of it."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pdns.telemetry.block_ring import CAPACITY, BlockRing, BlockRingReader, BlockRingWriter, name_hash
from pdns.telemetry.blocked_domains import BlockedDomains
from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import OTHER, Stats
from pdns.telemetry.worker_memory import WorkerMemory


@pytest.fixture
def ring() -> Iterator[BlockRing]:
    memory = BlockRing.create(8)
    yield memory
    memory.close()


@pytest.fixture
def end(ring: BlockRing) -> Iterator[BlockRing]:
    """The same memory, as its writer has it."""
    memory = BlockRing.attach(os.dup(ring.fd))
    yield memory
    memory.close()


def test_events_arrive_once_and_in_order(ring: BlockRing, end: BlockRing) -> None:
    """What is written is read, once, across the end of the ring."""
    reader = BlockRingReader(ring)
    written = [(1000 + n, n) for n in range(30)]
    read = []
    for at in range(0, 30, 5):
        for event in written[at : at + 5]:
            end.write(*event)
        read += reader.read()
    assert read == written
    assert (reader.read(), reader.lost) == ([], 0)


def test_who_is_too_slow_loses_the_oldest_and_knows_how_many(ring: BlockRing, end: BlockRing) -> None:
    """A writer that is ahead by more than the ring holds costs its oldest events; the others are whole, and those are counted."""
    reader = BlockRingReader(ring)
    for n in range(20):
        end.write(n, n)
    assert reader.read() == [(n, n) for n in range(13, 20)]
    assert reader.lost == 13
    end.write(99, 1)
    assert (reader.read(), reader.lost) == ([(99, 1)], 13)


def test_a_replacement_goes_on_where_the_one_before_was(ring: BlockRing, end: BlockRing) -> None:
    """Whoever writes next adds to what is there; nothing is read twice."""
    reader = BlockRingReader(ring)
    end.write(1, 1)
    again = BlockRing.attach(os.dup(ring.fd))
    again.write(2, 2)
    assert reader.read() == [(1, 1), (2, 2)]
    again.close()


def test_the_layout_is_as_described(ring: BlockRing, end: BlockRing) -> None:
    """Offsets and sizes, for whoever writes the same ring in another language."""
    for n in range(9):
        end.write(2**63 + n, 2**31 + n, n, b"\1x\0"[-n:] * (n > 0))
    data = os.pread(ring.fd, 64 + 8 * 272, 0)
    assert struct.unpack_from("=8sIIQ", data) == (b"pdnssee1", 8, 272, 9)
    assert struct.unpack_from("=QIIB3s", data, 64) == (2**63 + 8, 2**31 + 8, 8, 3, b"\1x\0")
    assert struct.unpack_from("=QIIB1s", data, 64 + 272) == (2**63 + 1, 2**31 + 1, 1, 1, b"\0")
    assert name_hash(b"\1x\0") == 0xF1228C123DF21CFA


def test_the_ring_of_an_earlier_version() -> None:
    """Its events have no name; a worker of this version writes what there is room for."""
    fd = os.memfd_create("x")
    os.write(fd, struct.pack("=8sIIQ", b"pdnssee1", 4, 16, 0).ljust(64 + 4 * 16, b"\0"))
    ring = BlockRing.attach(fd)
    reader = BlockRingReader(ring)
    stats = Stats(Counters.create(64), BlockRingWriter(ring))
    for n in range(3):
        stats.blocked("t", "f", "malware", "sinkhole", bytes((1, 97 + n, 0)), 0.0)
    assert [(event.listed_hash, event.listed) for event in reader.take()] == [
        (name_hash(bytes((1, 97 + n, 0))), b"") for n in range(3)
    ]
    ring.close()


@pytest.mark.parametrize(
    "name", [b"\0", b"\4evil\4test\0", b"\x3f" + b"x" * 63 + b"\0", (b"\x3f" + b"x" * 63) * 3 + b"\x3d" + b"y" * 61 + b"\0"]
)
def test_events_carry_the_name_and_the_feed(name: bytes) -> None:
    """The listed name, whole, and the series that says which feed decided."""
    memory = WorkerMemory()
    stats = Stats(memory.counters, BlockRingWriter(BlockRing.attach(os.dup(memory.block_ring.fd))))
    stats.blocked("leeds", "urlhaus", "malware", "sinkhole", name, 10.0)
    stats.sighted("leeds", name, 10.0)  # of an unknown feed
    met = []
    assert memory.drain(BlockedDomains(), 10.0, lambda *event: met.append(event)) == [name_hash(name)] * 2
    assert met == [("leeds", "urlhaus", name)]
    memory.close()


def test_a_writer_repeats_itself_once_a_minute(ring: BlockRing, end: BlockRing) -> None:
    """The same name of the same tenant is one event a minute; another tenant, another name, another minute are others."""
    reader = BlockRingReader(ring)
    writer = BlockRingWriter(end)
    for now in (0.0, 59.9, 60.0, 61.0):
        for series, name in ((1, b"\1x\0"), (1, b"\1x\0"), (2, b"\1x\0")):
            writer.saw(series, name, now)
    x = name_hash(b"\1x\0")
    assert reader.read() == [(x, 1), (x, 2), (x, 1), (x, 2)]


@pytest.mark.parametrize("damage", [b"", b"x" * 64, struct.pack("=8sIIQ", b"pdnssee1", 1000, 16, 0).ljust(128)])
def test_what_is_no_ring_is_refused(damage: bytes) -> None:
    """Too short, of another kind, or shorter than it says: an error, and no descriptor is left open."""
    fd = os.memfd_create("x")
    os.write(fd, damage)
    with pytest.raises(ValueError, match="not a block ring"):
        BlockRing.attach(fd)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_names_are_counted_once_whoever_met_them() -> None:
    """Two workers, three tenants, one name met by all of them: one for each tenant, one over all."""
    blocked = BlockedDomains()
    memories = [WorkerMemory(), WorkerMemory()]
    for memory, tenants in zip(memories, (("a", "b"), ("b", "c")), strict=True):
        stats = Stats(memory.counters, BlockRingWriter(BlockRing.attach(os.dup(memory.block_ring.fd))))
        for tenant in tenants:
            stats.blocked(tenant, "f", "malware", "sinkhole", b"\4evil\4test\0", 10.0)
    stats.blocked("c", "f", "malware", "sinkhole", b"\5other\4test\0", 10.0)
    for memory in memories:
        memory.drain(blocked, 10.0)
    assert {(tenant, names) for tenant, window, names in blocked.totals(10.0) if window == "1h"} == {("a", 1), ("b", 1), ("c", 2)}
    assert dict(blocked.totals_overall(10.0)) == {"1h": 2, "24h": 2, "7d": 2}
    assert dict(blocked.totals_overall(10.0 + 3600))["1h"] == 0
    for memory in memories:
        memory.close()


def test_a_series_without_a_name_is_of_other() -> None:
    """When the counter memory is full, the names are still counted, under the label for all the rest."""
    memory = WorkerMemory()
    end = BlockRing.attach(os.dup(memory.block_ring.fd))
    end.write(5, memory.counters.slots)
    blocked = BlockedDomains()
    memory.drain(blocked, 0.0)
    assert [tenant for tenant, _, _ in blocked.totals(0.0)] == [OTHER] * 3
    end.close()
    memory.close()


def test_a_writer_in_another_process_is_never_misread() -> None:
    """While another process writes as fast as it can, events are read whole, and none is missing but those counted."""
    code = """if True:
        import sys
        from pdns.telemetry.block_ring import BlockRing
        ring = BlockRing.attach(int(sys.argv[1]))
        for n in range(400_000):
            ring.write(n * 0x9E3779B97F4A7C15 & 2**64 - 1, n & 2**32 - 1)
    """
    ring = BlockRing.create(CAPACITY)
    reader = BlockRingReader(ring)
    read = 0
    with subprocess.Popen([sys.executable, "-c", code, str(ring.fd)], pass_fds=[ring.fd]) as writer:
        while writer.poll() is None or read + reader.lost < 400_000:
            for listed, series in reader.read():
                assert listed == series * 0x9E3779B97F4A7C15 & 2**64 - 1
                read += 1
            assert writer.poll() in (None, 0)
    assert read + reader.lost == 400_000
    assert read > 0
    ring.close()
