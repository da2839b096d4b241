"""`pdns top` as its users have it: on a terminal (a real pty), in a pipe, and with a server that goes away."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.fakes.upstream import answer
from tests.integration.running_pdns import ROOT, RunningPdns, UpstreamThread, feed
from tests.integration.test_status_page import TENANTS

_PATIENCE_S = 60.0
_STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
RESTORED = b"\x1b[?25h\x1b[?1049l"


class OnTerminal:
    """`pdns top` on a terminal of its own."""

    def __init__(self, config: Path, columns: int = 80, rows: int = 24, **environment: str) -> None:
        self.pid, self.terminal = pty.fork()
        if not self.pid:
            os.environ.update({"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **environment})
            os.execv(sys.executable, [sys.executable, "-m", "pdns", "top", "-c", str(config)])
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.terminal)
        self.sent = b""
        self.code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self.terminal, keys.encode())

    def lines(self) -> list[str]:
        """The last whole picture."""
        pictures = [picture for picture in self.sent.decode(errors="replace").split("\x1b[H")[1:] if picture.endswith("\x1b[J")]
        return [_STYLES.sub("", line) for line in re.split(r"\r+\n", pictures[-1])] if pictures else []

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Read what it draws until `condition()` holds."""
        until_s = time.monotonic() + _PATIENCE_S
        while not condition():
            assert time.monotonic() < until_s, self.lines() or self.sent
            if select.select([self.terminal], [], [], 0.1)[0]:
                with contextlib.suppress(OSError):
                    self.sent += os.read(self.terminal, 65536)

    def shows(self, *texts: str) -> None:
        """Wait until all these texts are on the screen."""
        self.wait_for(lambda: all(text in "\n".join(self.lines()) for text in texts))

    def ended(self) -> int:
        """The exit code; negative for a signal. The terminal is as it was."""

        def has_ended() -> bool:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.code = os.waitstatus_to_exitcode(status)
            return bool(found)

        self.wait_for(has_ended)
        with contextlib.suppress(OSError):
            while select.select([self.terminal], [], [], 0.1)[0]:
                self.sent += os.read(self.terminal, 65536)
        assert self.sent.endswith(RESTORED)
        assert termios.tcgetattr(self.terminal)[3] == self.before[3]
        assert self.code is not None
        return self.code


@pytest.fixture(scope="module")
def pdns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPdns]:
    directory = tmp_path_factory.mktemp("top")
    with UpstreamThread(answer()) as upstream:
        config = {
            "upstream": {"servers": [upstream.address]}, "feed": [feed(directory, "urlhaus", "bad.example")], "tenant": TENANTS,
        }  # fmt: skip
        with RunningPdns(directory, config) as running:
            running.ask("www.bad.example")
            with_port(running)
            yield running


def with_port(pdns: RunningPdns) -> Path:
    """Its configuration, with the port that the kernel has chosen."""
    text = pdns.config_path.read_text()
    path = config_of(pdns)
    path.write_text(re.sub(r'(\[metrics\]\nlisten = )"[^"]*"', rf'\1"127.0.0.1:{pdns.metrics_port}"', text))
    return path


def config_of(pdns: RunningPdns) -> Path:
    """Where `with_port` writes it."""
    return pdns.directory / "shown.toml"


def run(pdns: RunningPdns, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pdns", "top", "-c", str(config_of(pdns)), *arguments],
        capture_output=True, text=True, timeout=_PATIENCE_S, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip


def test_on_a_terminal(pdns: RunningPdns) -> None:
    """It draws every second, follows the keys and the size of the terminal, and leaves it as it was."""
    with OnTerminal(config_of(pdns)) as top:
        top.shows("ready", "queries", "1 Blocked", "q quit")
        assert len(top.lines()) == 24
        assert all(len(line) <= 80 for line in top.lines())
        assert termios.tcgetattr(top.terminal)[3] & termios.ECHO == 0
        top.press("5")
        top.shows("leeds", "york", "queries/s▼")
        top.press("/york\r")
        top.wait_for(lambda: not any("leeds" in line for line in top.lines()))
        top.press("2")
        top.shows("urlhaus", "entries")
        top.resize(50, 12)
        os.kill(top.pid, signal.SIGWINCH)
        top.wait_for(lambda: len(top.lines()) == 12)
        assert all(len(line) <= 50 for line in top.lines())
        top.press("?")
        top.shows("this help")
        top.press("xq")
        assert top.ended() == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 0)])
def test_signals_restore_the_terminal(pdns: RunningPdns, number: signal.Signals, code: int) -> None:
    """The second screen, the cursor and the echo are as before, whatever ends it."""
    with OnTerminal(config_of(pdns)) as top:
        top.shows("q quit")
        os.kill(top.pid, number)
        assert top.ended() == code


def test_suspended_and_continued(pdns: RunningPdns) -> None:
    """Ctrl-Z gives the terminal back; it draws again when it continues."""
    with OnTerminal(config_of(pdns)) as top:
        top.shows("q quit")
        top.press("\x1a")
        top.wait_for(lambda: top.sent.endswith(RESTORED))
        os.waitpid(top.pid, os.WUNTRACED)
        top.sent = b""
        os.kill(top.pid, signal.SIGCONT)
        top.shows("q quit")
        top.press("q")
        assert top.ended() == 0


def test_without_colours(pdns: RunningPdns) -> None:
    """NO_COLOR: no colour is sent, the rest is the same."""
    with OnTerminal(config_of(pdns), NO_COLOR="1") as top:
        top.shows("ready")
        assert re.search(rb"\x1b\[[0-9;]*3[0-7]m", top.sent) is None
        top.press("q")
        assert top.ended() == 0


def test_in_a_pipe(pdns: RunningPdns) -> None:
    """One picture as plain text; with `--json` what the server said; no control characters."""
    for arguments in ((), ("--once",)):
        said = run(pdns, *arguments, LC_ALL="C.UTF-8")
        assert (said.returncode, said.stderr) == (0, "")
        assert "\x1b" not in said.stdout
        for text in ("Blocked", "Feeds", "urlhaus", "Tenants", "leeds", "worker0"):
            assert text in said.stdout
    assert json.loads(run(pdns, "--json").stdout)["names_shown"] is True
    with OnTerminal(config_of(pdns), TERM="dumb") as top:
        top.wait_for(lambda: b"Tenants" in top.sent and b"york" in top.sent)
        assert b"\x1b" not in top.sent
        os.waitpid(top.pid, 0)
        top.code = 0


def test_a_server_that_goes_away(tmp_path: Path) -> None:
    """The last numbers stay, with since when; without a server from the start there is an error that says what to look at."""
    with RunningPdns(tmp_path) as running:
        with OnTerminal(with_port(running), 120) as top:
            top.shows("ready")
            assert running.stop() == 0
            top.shows("connection lost since", "ready")
            top.press("q")
            assert top.ended() == 0
        said = run(running)
        assert said.returncode == 1
        assert f"127.0.0.1:{running.metrics_port}" in said.stderr
        assert "is the server running" in said.stderr
