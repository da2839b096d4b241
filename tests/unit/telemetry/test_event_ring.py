"""The layout of events in shared memory, and what the supervisor makes of them."""

from __future__ import annotations

import os
import struct

import pytest

from pdns.core.client_identity import ADDRESS, ClientView
from pdns.reference.event_writer import ReferenceEventWriter
from pdns.telemetry.block_labels import BlockLabels, labels_of
from pdns.telemetry.event_ring import CAPACITY, EventRing, event_of, name_hash
from pdns.telemetry.ring import HEADER_BYTES, RingReader
from pdns.telemetry.stats import Stats
from pdns.telemetry.worker_memory import WorkerMemory
from pdns.wire import protocol as p
from pdns.wire.transport import Transport

FULL = ClientView(ADDRESS)
X = b"\1x\0"


def writer_of(memory: WorkerMemory) -> ReferenceEventWriter:
    writer = ReferenceEventWriter(EventRing.attach(os.dup(memory.event_ring.fd)), b"key")
    writer.configure(lambda _: FULL)
    return writer


def test_the_layout_is_as_described() -> None:
    """The offsets of the description are those of the memory."""
    memory = WorkerMemory()
    writer_of(memory).note(b"k", "t", "192.0.2.7", Transport.TCP, b"\1a\1x\0", p.AAAA, X, b"text", (7, 9), 61.5)
    at = memory.event_ring.records_at
    data = memory.event_ring.memory[at : at + memory.event_ring.record_bytes]
    assert struct.unpack_from("=QI", data) == (0, 1)
    assert struct.unpack_from("=dd16sH8B", data, 16) == (
        61.5, 61.5, bytes(10) + b"\xff\xff\xc0\0\2\7", p.AAAA, 1, 2, ADDRESS, 128, 2, 5, 3, 4
    )  # fmt: skip
    assert struct.unpack_from("=2I", data, 60) == (7, 9)
    assert data[68:80] == b"\1a\1x\0\1x\0text"
    assert struct.unpack_from("=Q", memory.event_ring.memory, HEADER_BYTES) == (1,)  # worker
    assert (memory.event_ring.noted, memory.event_ring.monitored) == (1, 0)
    assert name_hash(X) == 0xF1228C123DF21CFA
    memory.close()


@pytest.mark.parametrize(
    "name", [b"\0", b"\4evil\4test\0", b"\x3f" + b"x" * 63 + b"\0", (b"\x3f" + b"x" * 63) * 3 + b"\x3d" + b"y" * 61 + b"\0"]
)
def test_events_carry_names_and_labels(name: bytes) -> None:
    """Both names, whole, and the labels of all series that the query was counted in."""
    memory = WorkerMemory()
    stats, writer = Stats(memory.counters), writer_of(memory)
    slots = stats.blocked("leeds", ("urlhaus", "malware", "sinkhole", ("other",)), (("trial", "ads"),))
    writer.note(b"k", "leeds", "192.0.2.7", Transport.UDP, name, p.A, name, b"x" * 200, slots, 10.0)
    monitored = stats.blocked("leeds", None, (("trial", "ads"), ("second", "ads")))
    writer.note(b"l", "leeds", "192.0.2.7", Transport.UDP, name, p.A, b"", b"", monitored, 10.0)
    reader = RingReader(memory.event_ring, 0)
    first, second = (event_of(record) for _, record in reader.take())
    assert (first.qname, first.listed, first.text) == (name, name, b"x" * 200)
    assert labels_of(first, memory.counters) == BlockLabels("leeds", "urlhaus", "malware", "sinkhole", ("other",), ("trial",))
    assert (second.is_blocked, second.listed) == (False, b"")
    assert labels_of(second, memory.counters) == BlockLabels("leeds", "trial", "ads", "", (), ("trial", "second"))
    assert [(event.listed, labels.feed) for event, labels in memory.take()] == [(name, "urlhaus")]
    memory.close()


def test_events_of_a_full_counter_memory_have_no_labels() -> None:
    """They are left out rather than given to a wrong feed."""
    memory = WorkerMemory()
    writer_of(memory).note(b"k", "t", "::1", Transport.UDP, X, p.A, X, b"", (memory.counters.slots,), 1.0)
    assert memory.take() == []
    memory.close()


def test_a_record_that_no_worker_writes_is_an_error() -> None:
    """Sizes that leave the record, an unknown transport: `ValueError`, whatever the bytes."""
    memory = WorkerMemory()
    record = memory.event_ring.read_at(0)
    assert event_of(record).qname == b""
    for at, values in ((50, b"\x63"), (54, b"\x1e"), (54, b"\x1d\xff\xff\xff")):
        damaged = bytearray(record)
        damaged[at : at + len(values)] = values
        with pytest.raises(ValueError, match="not an event"):
            event_of(bytes(damaged))
    memory.close()


@pytest.mark.parametrize("damage", [b"", b"x" * 64, struct.pack("=8sIIQ", b"pdnssee1", 4, 16, 0).ljust(128)])
def test_what_is_no_ring_is_refused(damage: bytes) -> None:
    """Too short, or of an earlier version: an error, and no descriptor is left open."""
    fd = os.memfd_create("x")
    os.write(fd, damage)
    with pytest.raises(ValueError, match="not a ring"):
        EventRing.attach(fd)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_memory_is_used_only_as_needed() -> None:
    """A worker that blocks little pays for little: a page for each name that is asked again, and the ring as it fills."""
    memory = WorkerMemory()
    writer = writer_of(memory)
    for name in (b"\1a\0", b"\1b\0"):
        for _ in range(3):
            writer.note(name, "t", "::1", Transport.UDP, name, p.A, name, b"", (1,), 1.0)
    used_bytes = 512 * os.fstat(memory.event_ring.fd).st_blocks
    assert 0 < used_bytes < 64 * 1024
    assert os.fstat(memory.event_ring.fd).st_size < 16 * 1024**2
    assert memory.event_ring.capacity == CAPACITY
    memory.close()
