"""The file sink: whole lines, rotation, and each record once, after a crash too."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdns.errors import SinkError
from pdns.event_store.event import Record
from pdns.events.delivery import Delivery
from pdns.events.sink import SinkEntry
from pdns.events.sinks.file import FileSink
from pdns.events.sinks.formats import format_of
from pdns.events.spool import LEAST_BYTES, Spool
from tests.unit.events.delivering import FakeClock, run, settle
from tests.unit.events.records import EVENT, FINDING, event, hostile

MOST = 10**9


class DyingSink(FileSink):
    """Its process dies after the first write, before it knows of it."""

    written: asyncio.Event

    async def write(self, records: Sequence[Record]) -> None:
        await super().write(records)
        self.written.set()
        await asyncio.Event().wait()


def sink_at(path: Path, max_bytes: int = MOST, max_files: int = 5, now_s: float | None = None) -> FileSink:
    line = format_of("ocsf")
    return (
        FileSink(path, line, max_bytes, max_files) if now_s is None else FileSink(path, line, max_bytes, max_files, lambda: now_s)
    )


def write(sink: FileSink, *batches: Sequence[Record]) -> None:
    async def work() -> None:
        for batch in batches:
            await sink.write(batch)
        await sink.close()

    asyncio.run(work())


def spool_up(directory: Path, records: Sequence[Record]) -> None:
    """Put records into the spool, in a process of its own."""
    spool = Spool(directory / "spool", LEAST_BYTES)
    spool.append(records)
    spool.close()


def ids(*paths: Path) -> list[int]:
    """The ids in files, in order."""
    return [int(json.loads(line)["metadata"]["uid"]) for path in paths for line in path.read_bytes().splitlines()]


def rotated(path: Path) -> list[Path]:
    return sorted(found for found in path.parent.iterdir() if found != path)


def test_a_line_for_each_record(tmp_path: Path) -> None:
    """Lines are appended; the file is for its owner and group; hostile texts make no line of their own."""
    path = tmp_path / "events.jsonl"
    path.write_text('{"metadata":{"uid":"0"}}\n')
    path.chmod(0o600)
    write(sink_at(path), [event(1), FINDING], hostile())
    assert ids(path) == [0, 1, FINDING.id, *(record.id for record in hostile())]
    assert path.stat().st_mode & 0o777 == 0o600
    write(sink_at(tmp_path / "other"), [EVENT])
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o640


def test_rotation_by_size(tmp_path: Path) -> None:
    """A file that would grow too long is renamed first; so many are kept, and the newest have the highest numbers."""
    path = tmp_path / "events.jsonl"
    (tmp_path / "events.jsonl.bak").write_text("mine")
    write(sink_at(path, max_bytes=4096, max_files=3), *([event(number)] for number in range(20)))
    kept = [found for found in rotated(path) if found.suffix != ".bak"]
    assert len(kept) == 3
    assert [found.name.rpartition("-")[2] for found in kept] == ["000007", "000008", "000009"]
    assert ids(*kept, path) == list(range(12, 20))
    assert all(found.stat().st_size <= 4096 for found in kept)
    assert (tmp_path / "events.jsonl.bak").read_text() == "mine"


def test_rotation_by_day(tmp_path: Path) -> None:
    """The first write of a day (UTC) begins a file; the one before is named after its own day."""
    path = tmp_path / "events.jsonl"
    write(sink_at(path), [event(1)])
    os.utime(path, (EVENT.time_s, EVENT.time_s))  # 2026-09-21
    write(sink_at(path, now_s=EVENT.time_s + 60), [event(2)])
    assert rotated(path) == []
    os.utime(path, (EVENT.time_s, EVENT.time_s))
    write(sink_at(path, now_s=EVENT.time_s + 86400), [event(3)])
    (old,) = rotated(path)
    assert old.name == "events.jsonl.20260921-000001"
    assert (ids(old), ids(path)) == ([1, 2], [3])


@given(st.data())
def test_each_record_once_after_any_crash(data: st.DataObject) -> None:
    """A process that dies between writing and keeping its position, with any part of the lines on the disk, repeats nothing."""
    max_bytes = data.draw(st.sampled_from([MOST, 5000]))
    first, second = data.draw(st.integers(0, 6)), data.draw(st.integers(0, 6))
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name).resolve()
        path = directory / "out" / "events.jsonl"
        path.parent.mkdir()

        async def deliver(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
            await delivery.configure([SinkEntry("f", sink_at(path, max_bytes, 99), most_records=2)], tasks.create_task)
            await settle(delivery)

        async def die(delivery: Delivery, tasks: asyncio.TaskGroup) -> None:
            sink = DyingSink(path, format_of("ocsf"), max_bytes, 99)
            sink.written = asyncio.Event()
            await delivery.configure([SinkEntry("f", sink, most_records=2)], tasks.create_task)
            await sink.written.wait()
            for _, task in delivery._running.values():
                task.cancel()
            delivery._running.clear()  # nothing more is kept
            sink._thread.close()

        path.touch()
        spooled: list[Record] = [event(number) for number in range(first + second)]
        spool_up(directory, spooled[:first])
        run(deliver, directory, FakeClock())
        spool_up(directory, spooled[first:])
        if second:
            before = path.stat()
            run(die, directory, FakeClock())
            after = path.stat()
            least = before.st_size if before.st_ino == after.st_ino else 0
            os.truncate(path, data.draw(st.integers(least, after.st_size)))
        run(deliver, directory, FakeClock())
        assert ids(*rotated(path), path) == list(range(first + second))


def test_a_mark_of_a_file_that_is_gone(tmp_path: Path) -> None:
    """What another program has moved away is not looked for, and nothing of a new file is removed but an incomplete line."""
    path = tmp_path / "events.jsonl"
    sink = sink_at(path)
    write(sink, [event(1)])
    mark = sink.mark()
    path.rename(tmp_path / "events.jsonl.1")
    write(sink_at(path), [event(2)])
    with path.open("ab") as file:
        file.write(b'{"incomplete')
    again = sink_at(path)

    async def work() -> None:
        await again.resume(mark)
        await again.write([event(3)])
        await again.close()

    asyncio.run(work())
    assert ids(path) == [2, 3]
    assert ids(tmp_path / "events.jsonl.1") == [1]


def test_a_file_that_is_moved_while_we_write(tmp_path: Path) -> None:
    """After a rename by another program, the next record is in a new file."""
    path = tmp_path / "events.jsonl"
    sink = sink_at(path)

    async def work() -> None:
        await sink.write([event(1)])
        path.rename(tmp_path / "old")
        await sink.write([event(2)])
        await sink.close()

    asyncio.run(work())
    assert (ids(tmp_path / "old"), ids(path)) == ([1], [2])


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk took of a write that failed is removed before the next attempt."""
    path = tmp_path / "events.jsonl"
    real, left = os.pwrite, 10

    def full(fd: int, data: bytes, offset: int) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = real(fd, data[:left], offset)
        left -= count
        return count

    async def work() -> None:
        sink = sink_at(path)
        await sink.write([event(1)])
        mark = sink.mark()
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", full)
            with pytest.raises(SinkError, match="No space left"):
                await sink.write([event(2)])
        assert path.stat().st_size > int(mark.split(":")[1])
        await sink.resume(mark)
        await sink.write([event(2)])
        await sink.close()

    asyncio.run(work())
    assert ids(path) == [1, 2]


def test_what_is_not_a_file(tmp_path: Path) -> None:
    """A directory or a link in the place of the file is an error, and stays as it is."""
    (tmp_path / "target").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for path in (tmp_path, tmp_path / "link", tmp_path / "missing" / "file"):
        with pytest.raises(SinkError):
            write(sink_at(path), [EVENT])
    assert (tmp_path / "target").read_text() == "mine"
    assert (tmp_path / "link").is_symlink()
