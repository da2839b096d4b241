"""The feeds process, with a test at the supervisor's end of its channel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from pdns.config.schema import Config
from pdns.ipc.channel import Channel
from pdns.ipc.config_memfd import share_config
from pdns.ipc.messages import Configure
from pdns.state import feed_status
from pdns.state.feed_status import FeedsStatus

WITHIN_S = 120.0  # the feeds process comes last on a busy machine


class FeedsProcess:
    """`python -m feeds.refresh`, with the supervisor's end of the channel."""

    def __init__(self, config: Config) -> None:
        self.state_dir = Path(config.state.dir)
        self.channel, theirs = Channel.pair()
        self._generation = 0
        self._started_s = time.time()
        with theirs:
            command = [sys.executable, "-m", "feeds.refresh", str(theirs.fileno())]
            self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True)
        self.log: list[str] = []
        self._reader = threading.Thread(target=self._read_log)
        self._reader.start()
        self.configure(config)

    def configure(self, config: Config) -> None:
        self._generation += 1
        fd = share_config(config)
        try:
            assert self.channel.send(Configure(self._generation, "pdns.toml"), [fd])
        finally:
            os.close(fd)

    def ask(self) -> float:
        """`pdns feeds update`, without the waiting; returns the time before it."""
        asked_s = time.time()
        request = self.state_dir / "requests" / "update"
        request.parent.mkdir(exist_ok=True)
        request.touch()
        return asked_s

    def update(self) -> FeedsStatus:
        """Ask, and wait until every feed was tried."""
        asked_s = self.ask()
        return self.wait(lambda status: all(feed.last_attempt_s >= asked_s for feed in status.feeds.values()))

    def wait(self, settled: Callable[[FeedsStatus], bool]) -> FeedsStatus:
        """The first status of this process that is as wanted."""
        give_up = time.monotonic() + WITHIN_S
        while True:
            status = feed_status.read(self.state_dir)
            if status is not None and status.written_s > self._started_s and status.feeds and settled(status):
                return status
            assert self.process.poll() is None, "\n".join(self.log)
            assert time.monotonic() < give_up, (status, self.log)
            time.sleep(0.01)

    def first(self) -> FeedsStatus:
        """The status when every feed was tried by this process."""
        return self.wait(lambda status: all(sum(feed.results.values()) for feed in status.feeds.values()))

    def child(self) -> int:
        """The process that parses or compiles at the moment."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        give_up = time.monotonic() + WITHIN_S
        while not (pids := children.read_text().split()):
            assert time.monotonic() < give_up
            time.sleep(0.001)
        return int(pids[0])

    def end(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(by)
        return self.gone()

    def gone(self) -> int:
        code = self.process.wait(WITHIN_S)
        self._reader.join(WITHIN_S)
        self.channel.close()
        return code

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as pipe:
            self.log.extend(line.rstrip() for line in pipe)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.gone()
