"""The spool keeps every record that it took, in order, through crashes and damage, within its bound."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.event_store.event import Record
from pdns.events.spool import LEAST_BYTES, Spool
from pdns.events.spool_segments import MAX_RECORD_BYTES, SpoolPosition, encode_record, queries_of
from tests.unit.events.records import event, hostile, records

BOUND = LEAST_BYTES


@contextmanager
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path).resolve() / "spool"


@contextmanager
def process(path: Path) -> Iterator[Spool]:
    """A spool that is left without a close, as after a kill."""
    spool = Spool(path, BOUND)
    yield spool
    spool._roll()


def all_of(spool: Spool, position: SpoolPosition | None = None, most: int = 7) -> list[Record]:
    """Everything from `position` on, as a sink reads it."""
    found: list[Record] = []
    position = spool.oldest if position is None else position
    while True:
        read, position, _ = spool.read(position, most)
        found += read
        if not read:
            assert position == spool.end
            return found


@given(st.lists(st.lists(records, max_size=5), max_size=8), st.integers(1, 4))
def test_what_is_appended_is_read(batches: list[list[Record]], most: int) -> None:
    """Records of every kind come back as they were, in order, also for a process that starts again after each batch."""
    with directory() as path:
        for number, batch in enumerate(batches):
            with process(path) as spool:
                spool.append(batch)
            assert all_of(Spool(path, BOUND), most=most) == [record for earlier in batches[: number + 1] for record in earlier]


@given(st.data())
def test_whole_records_before_a_damage_survive(data: st.DataObject) -> None:
    """Cut a segment at any byte or flip any: the records before that place are read, reading never fails, and goes on after."""
    with directory() as path:
        written = [[event(number) for number in range(at, at + 4)] for at in (0, 4, 8)]
        for batch in written:
            with process(path) as spool:
                spool.append(batch)
        segments = sorted(path.iterdir())
        index = data.draw(st.integers(0, 2))
        raw = bytearray(segments[index].read_bytes())
        at = data.draw(st.integers(0, len(raw) - 1))
        if data.draw(st.booleans()):
            del raw[at:]
        else:
            raw[at] ^= data.draw(st.integers(1, 255))
        segments[index].write_bytes(raw)
        ends = [8]  # of the records in the segment, after its magic number
        for record in written[index]:
            ends.append(ends[-1] + len(encode_record(record)))
        whole = sum(end <= at for end in ends[1:])
        with process(path) as spool:
            spool.append([event(99)])
            found = all_of(spool)
        others = [record for number, batch in enumerate(written) if number != index for record in batch]
        assert [record for record in found if record not in written[index]] == [*others, event(99)]
        kept = [record for record in found if record in written[index]]
        assert kept[:whole] == written[index][:whole]
        assert kept == [record for record in written[index] if record in kept]


@given(st.lists(st.tuples(st.integers(0, 150), st.integers(0, 30)), max_size=12))
def test_any_order_of_writing_reading_and_crashing(steps: list[tuple[int, int]]) -> None:
    """A reader that keeps its position reads each record once, whatever was appended, read and restarted in between."""
    with directory() as path:
        spool = Spool(path, BOUND)
        written: list[Record] = []
        found: list[Record] = []
        position = spool.oldest
        for count, most in steps:
            batch: list[Record] = [event(len(written) + at) for at in range(count)]
            spool.append(batch)
            written += batch
            if most:
                read, position, damaged = spool.read(position, most)
                found += read
                assert not damaged
                spool.release(position)
            else:
                spool._roll()
                spool = Spool(path, BOUND)
                position = spool.checked(position)
        spool._roll()
        assert found + all_of(spool, position, 100) == written


def test_the_bound_holds_and_losses_are_exact(tmp_path: Path) -> None:
    """The oldest segment goes first. A reader that asks beforehand knows exactly which records it lost."""
    lost: list[Record] = []
    spool = Spool(tmp_path / "spool", BOUND)
    position = spool.oldest

    def count(segment: int) -> None:
        nonlocal position
        lost.extend(spool.rest_of(position, segment))
        position = max(position, SpoolPosition(segment + 1, 0))

    spool.before_drop = count
    written: list[Record] = []
    for number in range(0, 20_000, 50):
        batch: list[Record] = [event(number + at, n=number % 7) for at in range(50)]
        spool.append(batch)
        written += batch
        on_disk = sum(file.stat().st_size for file in (tmp_path / "spool").iterdir())
        assert on_disk == spool.size_bytes <= BOUND
    kept = all_of(spool, position, 1000)
    assert lost + kept == written
    assert len(kept) > 1500
    assert sum(map(queries_of, lost)) + sum(map(queries_of, kept)) == sum(map(queries_of, written))


@pytest.mark.parametrize("taken", [0, 5, 40])
def test_a_full_disk(taken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that the disk does not take are counted, no part of them is read, and writing goes on when there is room."""
    spool = Spool(tmp_path / "spool", BOUND)
    spool.append([event(1)])
    real, left = os.pwrite, taken

    def full(fd: int, data: bytes, offset: int) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = real(fd, data[:left], offset)
        left -= count
        return count

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        spool.append([event(2, n=4), event(3, n=5)])
        left = 20
        fresh = Spool(tmp_path / "spool", BOUND)  # a process that starts on the full disk
        fresh.append([event(4)])
    assert (spool.lost_records, spool.lost_queries) == ({"disk": 2}, {"disk": 9})
    assert fresh.lost_records == {"disk": 1}
    spool.append([event(5)])
    assert all_of(spool) == [event(1), event(5)]
    fresh = Spool(tmp_path / "spool", BOUND)
    fresh.append([event(6)])
    assert all_of(fresh) == [event(1), event(5), event(6)]


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """Where there is no directory to write to, records are counted as lost; nothing is raised."""
    spool = Spool(tmp_path / "no" / "spool", BOUND)
    spool.append([event(1, n=2)])
    assert spool.lost_queries == {"disk": 2}
    assert all_of(spool) == []
    (tmp_path / "no").mkdir()
    (tmp_path / "no" / "spool").mkdir()
    spool.append([event(2)])
    assert all_of(spool) == [event(2)]


def test_records_that_are_too_long(tmp_path: Path) -> None:
    """A record above the limit is counted as lost, the others are kept."""
    spool = Spool(tmp_path / "spool", BOUND)
    spool.append([event(1), event(2, reason="x" * MAX_RECORD_BYTES, n=6), event(3)])
    assert all_of(spool) == [event(1), event(3)]
    assert (spool.lost_records, spool.lost_queries) == ({"too_long": 1}, {"too_long": 6})


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    """A file that is no segment stays; a link in the place of one is not followed, and replaced by none of its records."""
    path = tmp_path / "spool"
    spool = Spool(path, BOUND)
    spool.append(hostile())
    (tmp_path / "elsewhere.seg").write_bytes((path / f"{1:016}.seg").read_bytes())
    (path / f"{2:016}.seg").symlink_to(tmp_path / "elsewhere.seg")
    (path / "notes").write_text("x")
    fresh = Spool(path, BOUND)
    fresh.append([event(1)])
    assert all_of(fresh) == [*hostile(), event(1)]
    assert (path / "notes").read_text() == "x"
    assert (path / f"{3:016}.seg").stat().st_mode & 0o777 == 0o640


def test_positions_of_another_spool(tmp_path: Path) -> None:
    """A position beyond the spool, which was removed since, leads to the oldest record; one past a cut segment, to its end."""
    spool = Spool(tmp_path / "spool", BOUND)
    spool.append([event(1)])
    assert spool.checked(SpoolPosition(9, 100)) == spool.oldest
    assert spool.checked(SpoolPosition(1, 10**9)) == spool.end
    assert spool.checked(SpoolPosition()) == spool.oldest


def test_what_all_have_read_is_removed(tmp_path: Path) -> None:
    """Segments that are read go at once, the one that is written after an hour, and positions stay valid."""
    now_s = 0.0
    spool = Spool(tmp_path / "spool", BOUND, clock=lambda: now_s)
    for number in range(1000):
        spool.append([event(number)])
    assert len(list((tmp_path / "spool").iterdir())) > 1
    position = spool.end
    spool.release(position)
    assert len(list((tmp_path / "spool").iterdir())) == 1
    now_s = 4000.0
    spool.release(position)
    assert list((tmp_path / "spool").iterdir()) == []
    assert spool.size_bytes == 0
    spool.append([event(7)])
    assert all_of(spool, position) == [event(7)]
    assert all_of(spool, spool.checked(position)) == [event(7)]
