"""Counter memory: one writer, any number of readers, nothing lost with the writer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pdns.telemetry.counters import ABSENT, Counters


@pytest.fixture
def counters() -> Iterator[Counters]:
    memory = Counters.create()
    yield memory
    memory.close()


def reader(counters: Counters) -> Counters:
    return Counters.attach(os.dup(counters.fd), writable=False)


def test_what_is_written_is_read(counters: Counters) -> None:
    """A reader sees each series with its labels and value, also those made after it began to read."""
    other = reader(counters)
    counters.values[counters.slot("a_total", "x", "y")] += 5
    assert list(other.items()) == [("a_total", ("x", "y"), 5)]
    counters.values[counters.slot("b")] = 2**63
    assert list(other.items()) == [("a_total", ("x", "y"), 5), ("b", (), 2**63)]
    assert other.value("b") == 2**63
    assert other.value("c") is None
    other.close()


def test_a_slot_is_made_once(counters: Counters) -> None:
    """The same series has the same slot, another has another."""
    assert counters.slot("a", "x") == counters.slot("a", "x")
    assert counters.slot("a", "x") != counters.slot("a", "y")
    assert counters.slot("a", "x") != counters.slot("a", "x", "")


def test_a_replacement_goes_on_counting(counters: Counters) -> None:
    """A second process finds the series of the one before, killed in the middle, and adds to them."""
    code = """if True:
        import os, signal, sys
        from pdns.telemetry.counters import Counters
        counters = Counters.attach(int(sys.argv[1]), writable=True)
        counters.values[counters.slot("a_total", "x")] += 1
        counters.values[counters.slot("b_total", sys.argv[2])] += 1
        os.kill(os.getpid(), signal.SIGKILL)
    """
    for name in "123":
        subprocess.run([sys.executable, "-c", code, str(counters.fd), name], pass_fds=[counters.fd], check=False)
    assert list(counters.items()) == [
        ("a_total", ("x",), 3),
        ("b_total", ("1",), 1),
        ("b_total", ("2",), 1),
        ("b_total", ("3",), 1),
    ]


def test_full_memory_counts_what_it_drops() -> None:
    """Past the last slot there is one spare that is never read; existing series continue."""
    counters = Counters.create(slots=3)
    for name in "abcdef":
        counters.values[counters.slot(name)] += 1
    counters.values[counters.slot("a")] += 1
    assert list(counters.items()) == [("a", (), 2), ("b", (), 1), ("c", (), 1)]
    assert counters.dropped == 3
    counters.close()


def test_long_keys_are_cut_alike_everywhere(counters: Counters) -> None:
    """A key that is too long is cut, and the writer, its replacement and a reader agree on the series."""
    long = "é" * 300
    slot = counters.slot("a", long)
    assert counters.slot("a", long) == slot
    other = Counters.attach(os.dup(counters.fd), writable=True)
    assert other.slot("a", long) == slot
    assert len(list(other.items())) == 1
    other.close()


def test_a_separator_in_a_label_makes_no_second_label(counters: Counters) -> None:
    """A label that holds the separator stays one label."""
    counters.slot("a", "x\x1fy")
    assert [labels for _, labels, _ in counters.items()] == [("x?y",)]


def test_a_gauge_can_say_nothing(counters: Counters) -> None:
    """A forgotten gauge is not read until it is set again; others are not touched."""
    up, down = counters.slot("up", "a"), counters.slot("up", "b")
    counters.values[up] = counters.values[down] = 1
    counters.values[counters.slot("other")] = 7
    counters.forget("up")
    counters.values[down] = 0
    assert list(counters.items()) == [("up", ("b",), 0), ("other", (), 7)]
    assert counters.value("up", "a") is None
    assert counters.values[up] == ABSENT


def test_a_reader_cannot_write(counters: Counters) -> None:
    """Read-only memory stays so."""
    slot = counters.slot("a")
    other = reader(counters)
    with pytest.raises(TypeError):
        other.values[slot] = 1
    other.close()


@pytest.mark.parametrize("data", [b"", b"x" * 64, b"pdnsctr1" + bytes(56), b"pdnsctr0" + bytes(100_000)])
def test_other_memory_is_refused(data: bytes) -> None:
    """Memory that is not ours, or of another version, is a ValueError, and its descriptor is closed."""
    fd = os.memfd_create("x")
    os.write(fd, data)
    with pytest.raises(ValueError, match="counter memory"):
        Counters.attach(fd, writable=False)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_unused_slots_cost_nothing(counters: Counters) -> None:
    """The default memory takes pages as series are made, not before."""
    for n in range(100):
        counters.slot("a", str(n))
    stat = os.fstat(counters.fd)
    assert stat.st_size > 15_000_000
    assert stat.st_blocks * 512 < 100_000


def test_what_is_folded_in_is_added(counters: Counters) -> None:
    """Counts of another memory are added to those here, series by series, families that are left out apart; so are those that
    found no room.
    """
    other = Counters.create(slots=3)
    for _ in range(2):
        other.add(3, "a", "x")
        other.add(1, "b")
        other.add(7, "gauge")
        other.add(1, "no room")
    counters.add(10, "a", "x")
    counters.fold(other, but={"gauge"})
    assert list(counters.items()) == [("a", ("x",), 16), ("b", (), 2)]
    assert counters.dropped == 2
    other.close()


def test_a_slot_knows_its_name(counters: Counters) -> None:
    """A slot that was made by the writer has its family and labels for every reader; the spare one and unused ones have none."""
    slot = counters.slot("blocked_total", "coventry", "f")
    reader = Counters.attach(os.dup(counters.fd), writable=False)
    assert reader.name(slot) == ("blocked_total", "coventry", "f")
    assert reader.name(slot + 1) == reader.name(counters.slots) == ()
    reader.close()
