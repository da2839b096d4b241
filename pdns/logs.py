"""Where the processes log to: standard error, a line for each event, in the form that the reader at the other end likes."""

from __future__ import annotations

import logging
import os
import time
from typing import Final

_JOURNAL_PRIORITIES: Final = ((logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"))


class _Lines(logging.Formatter):
    """`2026-01-31T12:00:00.123Z warning worker: text`; under systemd only `<4>worker: text`, which the journal completes."""

    def __init__(self, process: str, *, journal: bool) -> None:
        super().__init__(f"{process}: %(message)s" if journal else f"%(asctime)s.%(msecs)03dZ %(level)s {process}: %(message)s")
        self.datefmt = "%Y-%m-%dT%H:%M:%S"
        self._journal = journal
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        record.level = record.levelname.lower()
        text = super().format(record)
        if not self._journal:
            return text
        priority = next((mark for level, mark in _JOURNAL_PRIORITIES if record.levelno >= level), "<7>")
        return "\n".join(priority + line for line in text.splitlines())


def log_to_stderr(process: str, level: str) -> None:
    """Make this process log as `process` from `level` ("debug", "info", "warning", "error") on. May be called again."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines(process, journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if level != "debug":
        for chatty in ("asyncio", "aiohttp"):
            logging.getLogger(chatty).setLevel(logging.WARNING)
