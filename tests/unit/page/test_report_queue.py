"""The queue of reports: on the disk, bounded, with duplicates merged, and without what was closed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from feeds.report_closings import close_report, find_open
from pdns.page.report_queue import QueueFullError, ReportQueue
from pdns.state import reports
from pdns.state.reports import MAX_COMMENTS, MistakeReport, ReportComment


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / reports.DIRECTORY).mkdir()
    return tmp_path


def report(name: str, text: str = "needed", tenant: str = "default", at_s: float = 5.0) -> MistakeReport:
    comment = ReportComment(text=text, at_s=at_s)
    return MistakeReport(number=0, name=name, tenant=tenant, feed="f", first_s=at_s, last_s=at_s, comments=(comment,))


def add(queue: ReportQueue, *given: MistakeReport) -> list[tuple[int, bool]]:
    async def body() -> list[tuple[int, bool]]:
        return [((added := await queue.add(one)).number, added.new) for one in given]

    return asyncio.run(body())


def test_reports_get_numbers_and_stay(state: Path) -> None:
    """Each name and tenant has a report with a number, on the disk when `add` returns, also for the next process."""
    given = report("a.example"), report("b.example"), report("a.example", tenant="leeds")
    assert add(ReportQueue(state, 10), *given) == [(1, True), (2, True), (3, True)]
    assert [(one.number, one.name, one.tenant) for one in reports.open_reports(state)] == [
        (1, "a.example", "default"), (2, "b.example", "default"), (3, "a.example", "leeds"),
    ]  # fmt: skip
    assert add(ReportQueue(state, 10), report("c.example")) == [(4, True)]


def test_duplicates_are_counted(state: Path) -> None:
    """Another report for the same name and tenant raises the count; different comments are kept, the first few of them."""
    queue = ReportQueue(state, 10)
    assert add(queue, report("a.example"), report("a.example", at_s=9.0)) == [(1, True), (1, False)]
    add(queue, *(report("a.example", f"text {number}", at_s=9.0 + number) for number in range(10)))
    (found,) = reports.open_reports(state)
    assert (found.count, found.first_s, found.last_s) == (12, 5.0, 18.0)
    assert [comment.text for comment in found.comments] == ["needed", *(f"text {number}" for number in range(MAX_COMMENTS - 1))]


def test_the_queue_is_bounded(state: Path) -> None:
    """At the limit a new name is refused, and one more report for a known name is not."""
    queue = ReportQueue(state, 2)
    add(queue, report("a.example"), report("b.example"))
    with pytest.raises(QueueFullError, match="2 reports are open"):
        add(queue, report("c.example"))
    assert add(queue, report("b.example")) == [(2, False)]
    close_report(state, 1, "ann", "done")
    assert add(queue, report("c.example")) == [(3, True)]


def test_closed_reports_leave(state: Path) -> None:
    """What the feeds process closed is no longer open for readers at once, nor for the queue; a new report gets a new number."""
    queue = ReportQueue(state, 10)
    add(queue, report("a.example"), report("b.example"))
    assert find_open(state, 1) is not None
    close_report(state, 1, "ann", "a false positive")
    assert find_open(state, 1) is None
    assert [one.number for one in reports.open_reports(state)] == [2]
    assert len(queue) == 2
    queue.take_closings()
    assert len(queue) == 1
    assert add(queue, report("a.example")) == [(3, True)]
    (closing,) = reports.read_closings(state).closings
    assert (closing.number, closing.user, closing.reason) == (1, "ann", "a false positive")


def test_numbers_rise_even_where_the_file_was_lost(state: Path) -> None:
    """A number that was closed is not given to another report."""
    add(ReportQueue(state, 10), report("a.example"), report("b.example"))
    close_report(state, 2, "ann", "x")
    for path in (state / reports.DIRECTORY).iterdir():
        path.unlink()
    assert add(ReportQueue(state, 10), report("c.example")) == [(3, True)]


@pytest.mark.parametrize("content", [b"", b"{", b'{"reports":[{"number":"x"}]}', b"\xff" * 100])
def test_a_damaged_file_is_replaced_by_its_copy(state: Path, content: bytes) -> None:
    """The second copy takes the place of a damaged file, for readers and for the next process."""
    add(ReportQueue(state, 10), report("a.example"))
    reports.reports_path(state).write_bytes(content)
    assert [one.name for one in reports.open_reports(state)] == ["a.example"]
    assert add(ReportQueue(state, 10), report("b.example")) == [(2, True)]


def test_a_disk_that_refuses_changes_nothing(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A report that cannot be written is an error, and is not in the queue."""
    queue = ReportQueue(state, 10)
    add(queue, report("a.example"))
    directory = state / reports.DIRECTORY
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    with pytest.raises(OSError, match=reports.DIRECTORY):
        add(queue, report("b.example"))
    assert len(queue) == 1
    directory.mkdir()
    assert add(queue, report("b.example")) == [(2, True)]


def test_at_the_same_time(state: Path) -> None:
    """Reports that arrive together are all kept."""
    queue = ReportQueue(state, 100)

    async def body() -> None:
        await asyncio.gather(*(queue.add(report(f"n{number % 10}.example")) for number in range(50)))

    asyncio.run(body())
    assert sorted((one.number, one.count) for one in reports.open_reports(state)) == [(number, 5) for number in range(1, 11)]
