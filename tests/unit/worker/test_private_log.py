"""Log lines about private addresses: how many, and what is counted."""

from __future__ import annotations

import pytest

from pdns.telemetry.counters import Counters
from pdns.telemetry.stats import Stats
from pdns.worker.private_log import LINES_PER_MINUTE, PrivateAnswerLog


def test_lines_are_bounded_and_every_answer_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Ten lines a minute, then how many were left out; the metric counts each."""
    counters = Counters.create(64)
    now = 0.0
    log = PrivateAnswerLog(Stats(counters), lambda: now)
    with caplog.at_level("INFO"):
        for number in range(LINES_PER_MINUTE + 3):
            log.saw(b"\3www\7example\0", bytes((10, 0, 0, number)))
        assert len(caplog.messages) == LINES_PER_MINUTE
        assert caplog.messages[0].startswith("www.example leads to the private address 10.0.0.0: answered with NODATA")
        now = 60.0
        log.saw(b"\3www\7example\0", bytes(15) + b"\1")
    assert caplog.messages[-2] == "private addresses in answers for public names: 3 more in that minute"
    assert "::1" in caplog.messages[-1]
    assert [value for name, _, value in counters.items() if name == "private_answers_blocked_total"] == [LINES_PER_MINUTE + 4]
