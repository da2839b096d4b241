"""Closes reports of mistakes: the only writer of `closed_reports.json`."""

from __future__ import annotations

from pathlib import Path

from pdns.clock import steady_s
from pdns.files import records
from pdns.state import reports
from pdns.state.reports import MistakeReport, ReportClosing, ReportClosings


def find_open(state_dir: Path, number: int) -> MistakeReport | None:
    """The open report of that number; None without one. Raises `OSError` and `DamagedError`."""
    return next((report for report in reports.open_reports(state_dir) if report.number == number), None)


def close_report(state_dir: Path, number: int, user: str, reason: str) -> None:
    """Record that a report is closed. Raises `OSError`."""
    path = reports.closed_path(state_dir)
    found = records.recover(path, reports.parse_closings, reports.MAX_BYTES)
    before = (found.value or ReportClosings()).closings[-(reports.MAX_CLOSED - 1) :]
    closing = ReportClosing(number=number, user=user, reason=reason, closed_s=steady_s())
    records.store(path, records.encode(ReportClosings(closings=(*before, closing))))
