"""Records in shared memory: each arrives once, in order, and what is lost is counted to the last unit."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.telemetry.ring import HEADER_BYTES, PREFIX_BYTES, Ring, RingReader, weight_of

KIND, RECORD_BYTES = b"test", PREFIX_BYTES + 8


class Ends:
    """Both ends of a ring of eight records."""

    def __init__(self) -> None:
        fd = Ring.make(KIND, 8, RECORD_BYTES, 16)
        self.read = Ring(fd, KIND, RECORD_BYTES, 16, writable=False)
        self.write = Ring(os.dup(fd), KIND, RECORD_BYTES, 16, writable=True)

    def put(self, value: int, weight: int = 1) -> None:
        self.write.write(struct.pack("=Q", value), weight)

    def close(self) -> None:
        self.read.close()
        self.write.close()


def values(records: list[tuple[int, bytes]]) -> list[int]:
    return [struct.unpack_from("=Q", record, PREFIX_BYTES)[0] for _, record in records]


@pytest.fixture
def ends() -> Iterator[Ends]:
    both = Ends()
    yield both
    both.close()


def test_records_arrive_once_and_in_order(ends: Ends) -> None:
    """A reader gets what was written since its last call, with the numbers of the records; readers do not disturb each other."""
    first, second = RingReader(ends.read), RingReader(ends.read)
    ends.put(5)
    ends.put(6, 3)
    taken = first.take()
    assert values(taken) == [5, 6]
    assert [number for number, _ in taken] == [0, 1]
    assert [weight_of(record) for _, record in taken] == [1, 3]
    assert first.take() == []
    assert values(second.take(1)) == [5]
    assert values(second.take()) == [6]
    assert (ends.read.head, ends.read.weight) == (2, 4)


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 9)), max_size=30))
def test_what_is_lost_is_counted(batches: list[tuple[int, int]]) -> None:
    """Whatever the rhythm, the weights read and the weights lost are those written."""
    ends = Ends()
    try:
        reader, read = RingReader(ends.read), 0
        for count, weight in batches:
            for value in range(count):
                ends.put(value, weight)
            read += sum(weight_of(record) for _, record in reader.take())
        ends.put(0)
        read += sum(weight_of(record) for _, record in reader.take())
        assert read + reader.lost_weight == ends.read.weight == reader.weight
    finally:
        ends.close()


def test_a_reader_continues_where_another_was(ends: Ends) -> None:
    """A place is a number and the weight before it."""
    reader = RingReader(ends.read)
    ends.put(1, 4)
    reader.take()
    ends.put(2)
    assert values(RingReader(ends.read, reader.next, reader.weight).take()) == [2]


def test_the_layout_is_as_described(ends: Ends) -> None:
    """The numbers of the description are those of the memory."""
    ends.put(7, 2)
    memory = ends.read.memory
    assert struct.unpack_from("=8s4sIIIQQQ", memory) == (b"pdnsrng1", KIND, 8, RECORD_BYTES, 16, ends.read.id, 1, 2)
    assert struct.unpack_from("=QI4xQ", memory, HEADER_BYTES + 16) == (0, 2, 7)


def test_another_memory_is_refused(ends: Ends) -> None:
    """A ring of other records, or what is no ring at all, is never mistaken for this one."""
    fd = ends.read.fd
    with pytest.raises(ValueError, match="not a ring of oops records"):
        Ring(fd, b"oops", RECORD_BYTES, 16, writable=False)
    with pytest.raises(ValueError, match="not a ring of test records"):
        Ring(fd, KIND, RECORD_BYTES + 1, 16, writable=False)
    short = os.memfd_create("short")
    os.write(short, b"pdnsrng1")
    with pytest.raises(ValueError, match="too short"):
        Ring(short, KIND, RECORD_BYTES, writable=False)
    os.close(short)
