"""What becomes of a program when the terminal that it was started from is closed."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.running_pdns import ROOT, RunningPdns, is_running

WITHIN_S = 60.0


class OnTerminal:
    """A program in a session of its own on a terminal of its own, as in a window of its own."""

    def __init__(self, terminal: int, process: subprocess.Popen[bytes]) -> None:
        self._terminal = terminal
        self.process = process
        self.output = ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        """What of its output matches `pattern`."""
        deadline_s = time.monotonic() + WITHIN_S
        while (found := re.search(pattern, self.output)) is None:
            assert time.monotonic() < deadline_s, self.output
            if not select.select([self._terminal], [], [], 1.0)[0]:
                continue
            self.output += os.read(self._terminal, 65536).decode(errors="replace").replace("\r\n", "\n")
        return found

    def close(self) -> None:
        """Close the window."""
        if self._terminal >= 0:
            os.close(self._terminal)
            self._terminal = -1


@contextmanager
def on_terminal(*command: str, directory: Path, ignore: bool = False) -> Iterator[OnTerminal]:
    """Run `command`; `ignore`: with SIGHUP ignored, as nohup has it."""
    terminal, end = pty.openpty()

    def prepare() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignore else signal.SIG_DFL)  # these tests may run under nohup themselves
        os.login_tty(end)

    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(directory), "NO_COLOR": "1", "COLUMNS": "200"}
    process = subprocess.Popen(command, preexec_fn=prepare, pass_fds=[end], cwd=ROOT, env=environment)  # noqa: PLW1509 (no threads)
    os.close(end)
    window = OnTerminal(terminal, process)
    try:
        yield window
    finally:
        window.close()
        if process.poll() is None:
            process.kill()
        process.wait()


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.05)


def children(process: int) -> list[int]:
    """The processes whose parent is `process`."""
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if f"\nPPid:\t{process}\n" in text:
            found.append(int(status.parent.name))
    return found


def serving(directory: Path) -> tuple[str, ...]:
    config = RunningPdns(directory).config_path
    return sys.executable, "-m", "pdns", "serve", "-c", str(config)


def test_a_closed_terminal_ends_the_resolver(tmp_path: Path) -> None:
    """SIGHUP means reload while the terminal is there; once it is closed the resolver and its processes end, in good order."""
    with on_terminal(*serving(tmp_path), directory=tmp_path) as window:
        window.wait_for(r"configured by .*\n")
        window.process.send_signal(signal.SIGHUP)
        window.wait_for(r"pdns.toml is live")
        processes = children(window.process.pid)
        assert len(processes) == 4
        window.close()
        assert window.process.wait(WITHIN_S) == 0
        eventually(lambda: not any(map(is_running, processes)), "its children are still there")


def test_under_nohup_a_closed_terminal_changes_nothing(tmp_path: Path) -> None:
    """With SIGHUP ignored from the start, as nohup has it, the resolver outlives its terminal, and still reloads."""
    with on_terminal(*serving(tmp_path), directory=tmp_path, ignore=True) as window:
        window.wait_for(r"configured by .*\n")
        window.close()
        with pytest.raises(subprocess.TimeoutExpired):
            window.process.wait(3)
        window.process.send_signal(signal.SIGTERM)
        assert window.process.wait(WITHIN_S) == 0


def test_a_closed_terminal_ends_the_demo(tmp_path: Path) -> None:
    """The demo takes its resolver and its files with it when its terminal is closed."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with on_terminal(sys.executable, "-m", "pdns", "demo", "--seconds", "120", directory=temporary) as window:
        window.wait_for("was ready after")
        (resolver,) = children(window.process.pid)
        window.close()
        window.process.wait(WITHIN_S)
        eventually(lambda: not is_running(resolver), "the resolver is still there")
        assert list(temporary.iterdir()) == []


def test_the_resolver_of_a_killed_demo_ends(tmp_path: Path) -> None:
    """A demo that is killed leaves no resolver behind."""
    with on_terminal(sys.executable, "-m", "pdns", "demo", "--seconds", "120", directory=tmp_path) as window:
        window.wait_for("was ready after")
        (resolver,) = children(window.process.pid)
        processes = [resolver, *children(resolver)]
        window.process.kill()
        eventually(lambda: not any(map(is_running, processes)), "processes of the demo are still there")
