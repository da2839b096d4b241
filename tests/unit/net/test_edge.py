"""What the edges do alike."""

from __future__ import annotations

import pytest

from pdns.net.edge import BugLog


def test_a_bug_is_logged_at_once_and_then_once_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    """A packet that raises, sent over and over, fills no disk; how often it came is told with the next report."""
    now = 100.0
    bugs = BugLog(lambda: now, interval_s=10.0)
    error = RuntimeError("unexpected")
    for _ in range(1000):
        bugs.caught(error, "the service")
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[1] is error
    now = 110.0
    bugs.caught(error, "the service")
    assert [record.getMessage() for record in caplog.records] == [
        "bug in the service; 0 more since the last report",
        "bug in the service; 999 more since the last report",
    ]
