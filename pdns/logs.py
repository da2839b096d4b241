"""Logging to standard error: one line for each event, in the form that the reader expects.

A reader that stops reading (a stuck log driver, a FIFO without a reader, a terminal after Ctrl-S) never blocks a process: a
thread writes from a bounded queue. Lines that do not fit are dropped and counted. O_NONBLOCK is not used, because other processes
share the open file.
"""

from __future__ import annotations

import io
import logging
import os
import select
import sys
import threading
import time
from functools import lru_cache
from queue import SimpleQueue
from typing import Final

MAX_WAITING_BYTES: Final = 256 * 1024
FLUSH_WITHIN_S: Final = 1.0  # at the end of a process
_ATOMIC_BYTES: Final = 4096  # PIPE_BUF: a writable pipe takes this much without blocking
_JOURNAL_PRIORITIES: Final = ((logging.ERROR, "<3>"), (logging.WARNING, "<4>"), (logging.INFO, "<6>"))


class LineWriter:
    """Writes to a descriptor, and never makes the caller wait. Any thread may call it, at any time."""

    def __init__(self, fd: int, max_waiting_bytes: int = MAX_WAITING_BYTES) -> None:
        self.threaded = True  # False while a thread would keep privileges that the process is about to drop
        self.dropped = 0  # lines that found no room, or that the descriptor refused
        self._fd = fd
        self._max_waiting_bytes = max_waiting_bytes
        self._queue: SimpleQueue[bytes] = SimpleQueue()
        self._lock = threading.RLock()  # re-entered when the garbage collector reports something; never held while writing
        self._waiting_bytes = 0
        self._reported = self._taken = 0
        self._thread: threading.Thread | None = None

    def write(self, line: bytes) -> None:
        """Queue `line` for writing, or drop it."""
        with self._lock:
            if self._waiting_bytes and self._waiting_bytes + len(line) > self._max_waiting_bytes:
                self.dropped += 1
            elif self._has_thread():
                self._waiting_bytes += len(line)
                self._queue.put(line)
            elif not self._write_now(line):
                self.dropped += 1

    def newly_dropped(self) -> int:
        """How many lines were dropped since the last call."""
        with self._lock:
            new, self._taken = self.dropped - self._taken, self.dropped
        return new

    def flush(self, within_s: float) -> None:
        """Return when everything is written, after `within_s` at the latest."""
        until_s = time.monotonic() + within_s
        while self._waiting_bytes and time.monotonic() < until_s:
            time.sleep(0.001)

    def _has_thread(self) -> bool:
        if self._thread is None:
            if not self.threaded:
                return False
            thread = threading.Thread(target=self._run, name="log", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no more threads: tried again with the next line
                return False
            self._thread = thread
        return True

    def _run(self) -> None:
        while True:
            line = self._queue.get()
            written = self._write_all(line)
            report = b""
            with self._lock:
                self._waiting_bytes -= len(line)
                self.dropped += not written
                if written and not self._waiting_bytes and self.dropped > self._reported:
                    report = self._report()
                    self._waiting_bytes += len(report)
            if report:
                self._write_all(report)
                with self._lock:
                    self._waiting_bytes -= len(report)

    def _report(self) -> bytes:
        lost, self._reported = self.dropped - self._reported, self.dropped
        record = logging.LogRecord(
            __name__, logging.WARNING, "", 0, "%d log lines were dropped: standard error was not read", (lost,), None
        )
        return _line(record, logging.getLogger().handlers)

    def _write_all(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:  # another process has set O_NONBLOCK
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()
            except OSError:  # the reader is gone, the disk is full
                return False
        return True

    def _write_now(self, data: bytes) -> bool:
        """Write as much as possible without waiting. Returns whether that was everything."""
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        for at in range(0, len(data), _ATOMIC_BYTES):
            if not poll.poll(0) or not self._write_all(data[at : at + _ATOMIC_BYTES]):
                return False
        return True


class _Handler(logging.Handler):
    """The root handler of a process."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = _line(record, [self])
        except Exception:  # noqa: BLE001 (as every handler of the standard library: it reports the fault)
            self.handleError(record)
        else:
            standard_error().write(line)

    def flush(self) -> None:  # `logging.shutdown` calls it
        standard_error().flush(FLUSH_WITHIN_S)


class _Stderr(io.TextIOBase):
    """`sys.stderr` of a process that logs: tracebacks and warnings go through the log queue."""

    def __init__(self) -> None:
        self._begun = ""

    def write(self, text: str, /) -> int:
        lines, newline, self._begun = (self._begun + text).rpartition("\n")
        if newline:
            standard_error().write((lines + newline).encode("utf-8", "backslashreplace"))
        return len(text)

    def flush(self) -> None:
        begun, self._begun = self._begun, ""
        if begun:
            standard_error().write(begun.encode("utf-8", "backslashreplace"))

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return 2

    def isatty(self) -> bool:
        return os.isatty(2)


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


@lru_cache(maxsize=1)
def standard_error() -> LineWriter:
    """The one writer of this process to descriptor 2."""
    return LineWriter(2)


def log_to_stderr(process: str, level: str) -> None:
    """Make this process log as `process` at `level` ("debug", "info", "warning", "error"). May be called again.

    `sys.stderr` uses the same queue from then on, so no `print`, warning or traceback can block.
    """
    handler = _Handler()
    handler.setFormatter(_Lines(process, journal="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in (("asyncio", "aiohttp") if level != "debug" else ()) + ("h2", "hpack", "quic"):  # these tell every header
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if not isinstance(sys.stderr, _Stderr):
        sys.stderr = _Stderr()


def print_once(text: str) -> None:
    """Print `text` on standard output without waiting for its reader."""
    LineWriter(1).write(text.encode("utf-8", "backslashreplace"))


def open_standard_descriptors() -> None:
    """Open descriptors 0, 1 and 2 on /dev/null if the parent closed them. Otherwise a socket or a file of ours would get one of
    these numbers, and log output would go there. Call this before anything is opened. Raises `OSError`.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: `fd`
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115 (it stays open)


def _line(record: logging.LogRecord, handlers: list[logging.Handler]) -> bytes:
    text = handlers[0].format(record) if handlers else record.getMessage()
    return f"{text}\n".encode("utf-8", "backslashreplace")
