"""The form of log lines."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

CODE = """if True:
    import logging
    from pdns.logs import log_to_stderr
    log_to_stderr("worker", "info")
    log_to_stderr("worker", "{level}")
    logging.getLogger("pdns.x").debug("details")
    logging.getLogger("pdns.x").warning("two\\nlines")
"""


def lines(level: str, environment: dict[str, str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(level=level)], env=environment, capture_output=True, text=True, check=True
    )
    return done.stderr.splitlines()


@pytest.mark.parametrize(("level", "count"), [("debug", 3), ("info", 2), ("error", 0)])
def test_level(level: str, count: int) -> None:
    """The last call decides from which level on, and nothing is said twice."""
    assert len(lines(level, {})) == count


def test_for_people() -> None:
    """Time in UTC, level, process, text."""
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warning worker: two", lines("info", {})[0])


def test_for_the_journal() -> None:
    """The journal has the time; it gets the priority, on every line."""
    assert lines("debug", {"JOURNAL_STREAM": "8:1"}) == ["<7>worker: details", "<4>worker: two", "<4>lines"]
