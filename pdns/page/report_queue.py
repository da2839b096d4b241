"""The queue of reports, in memory and in `<state>/reports/reports.json`, whose only writer this is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from pdns.errors import PdnsError
from pdns.files import records
from pdns.files.records import DamagedError
from pdns.files.safe_files import appearance
from pdns.state import reports
from pdns.state.reports import MAX_COMMENTS, MistakeReport, MistakeReports


class QueueFullError(PdnsError):
    """There are as many open reports as the configuration allows."""


class Added(NamedTuple):
    """What became of a report. Not `new`: it was merged into an open one."""

    number: int
    new: bool


class ReportQueue:
    """The open reports. A report counts as accepted when it is on the disk."""

    def __init__(self, state_dir: Path, most: int) -> None:
        self.most = most
        self._state_dir = state_dir
        self._path = reports.reports_path(state_dir)
        found = records.recover(self._path, reports.parse_reports, reports.MAX_BYTES).value or MistakeReports()
        self._next = found.next_number
        self._open = {(report.tenant, report.name): report for report in found.reports}
        self._closed_version: tuple[int, ...] = (-1,)
        self._lock = asyncio.Lock()
        self.take_closings()

    def __len__(self) -> int:
        return len(self._open)

    def take_closings(self) -> None:
        """Remove the reports that were closed. Costs one stat() when there is nothing new. Never raises."""
        version = appearance(reports.closed_path(self._state_dir))
        if version == self._closed_version:
            return
        try:
            closed = reports.read_closings(self._state_dir).numbers
        except (OSError, DamagedError):
            return  # the feeds process mends the file
        self._closed_version = version
        self._next = max(self._next, max(closed, default=0) + 1)  # a number means one report, even where our file was lost
        self._open = {key: report for key, report in self._open.items() if report.number not in closed}

    async def add(self, report: MistakeReport) -> Added:
        """Add `report`, which gets its number, or merge it into the open one for the same name and tenant.

        Raises `QueueFullError`, and `OSError` when it cannot be written; nothing has changed then.
        """
        async with self._lock:
            self.take_closings()
            key = report.tenant, report.name
            before = self._open.get(key)
            if before is None and len(self._open) >= self.most:
                raise QueueFullError(f"{len(self._open):,} reports are open")
            added = replace(report, number=self._next) if before is None else _merged(before, report)
            following = max(self._next, added.number + 1)
            content = MistakeReports(reports=tuple({**self._open, key: added}.values()), next_number=following)
            await asyncio.to_thread(records.store, self._path, records.encode(content))
            self._open[key], self._next = added, following
            return Added(added.number, before is None)


def _merged(before: MistakeReport, report: MistakeReport) -> MistakeReport:
    comments = before.comments
    known = {(comment.text, comment.contact) for comment in comments}
    new = tuple(one for one in report.comments if (one.text, one.contact) not in known)
    return replace(
        before, count=before.count + 1, last_s=max(before.last_s, report.last_s), comments=(*comments, *new)[:MAX_COMMENTS]
    )
