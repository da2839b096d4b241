"""Reports of names that are blocked by mistake: what the block page received, and which of them were closed.

Two files, each with one writer. The page process writes `<state>/reports/reports.json`, the feeds process
`<state>/closed_reports.json`, after commands. A report is open until its number is in the second file. Times are seconds since
the epoch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from pdns.files import records

DIRECTORY: Final = "reports"  # the only directory that the page process may write
FILE_NAME: Final = "reports.json"
CLOSED_FILE: Final = "closed_reports.json"
MAX_BYTES: Final = 64 * 1024 * 1024
MAX_COMMENTS: Final = 5  # of one report: the first ones
MAX_COMMENT_CHARACTERS: Final = 500
MAX_CONTACT_CHARACTERS: Final = 200
MAX_CLOSED: Final = 4000  # more than a queue can hold: by then, the page process has removed the older ones


class ReportComment(msgspec.Struct, frozen=True, kw_only=True):
    """What one person wrote."""

    text: str
    contact: str = ""  # an e-mail address
    client: str = ""  # its address, where `log.clients` allows
    at_s: float


class MistakeReport(msgspec.Struct, frozen=True, kw_only=True):
    """A name that people of one tenant say is blocked by mistake."""

    number: int
    name: str
    tenant: str
    feed: str = ""  # "": no feed lists the name itself
    category: str = ""
    case: str = ""  # the case reference of the first report
    first_s: float
    last_s: float
    count: int = 1
    comments: tuple[ReportComment, ...] = ()


class MistakeReports(msgspec.Struct, frozen=True, kw_only=True):
    """The file of the page process. It may contain reports that were closed a moment ago."""

    reports: tuple[MistakeReport, ...] = ()
    next_number: int = 1  # numbers are not used twice
    version: int = 1


class ReportClosing(msgspec.Struct, frozen=True, kw_only=True):
    """Who closed a report, and why."""

    number: int
    user: str
    reason: str
    closed_s: float


class ReportClosings(msgspec.Struct, frozen=True, kw_only=True):
    """The file of the feeds process: the reports that were closed last, in that order."""

    closings: tuple[ReportClosing, ...] = ()
    version: int = 1

    @property
    def numbers(self) -> frozenset[int]:
        return frozenset(closing.number for closing in self.closings)


def reports_path(state_dir: Path) -> Path:
    return state_dir / DIRECTORY / FILE_NAME


def closed_path(state_dir: Path) -> Path:
    return state_dir / CLOSED_FILE


def parse_reports(raw: bytes) -> MistakeReports:
    """The content of the file. Raises `DamagedError`."""
    return records.decode(raw, MistakeReports)


def parse_closings(raw: bytes) -> ReportClosings:
    """The content of the file. Raises `DamagedError`."""
    return records.decode(raw, ReportClosings)


def read_closings(state_dir: Path) -> ReportClosings:
    """What was closed. Raises `OSError` and `DamagedError`."""
    return records.read(closed_path(state_dir), parse_closings, MAX_BYTES) or ReportClosings()


def open_reports(state_dir: Path) -> list[MistakeReport]:
    """The open reports, the oldest first. Raises `OSError` and `DamagedError`."""
    written = records.read(reports_path(state_dir), parse_reports, MAX_BYTES) or MistakeReports()
    closed = read_closings(state_dir).numbers
    return [report for report in written.reports if report.number not in closed]
