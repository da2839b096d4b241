"""Real syslog servers, each in a process of its own, that write what they receive to a file."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

PATIENCE_S = 60.0
_UNPACKED = Path(__file__).parents[2] / "build/syslog-ng"


class SyslogPorts(NamedTuple):
    tcp: int
    udp: int
    tls: int


class Received(NamedTuple):
    """One message, as the server understood it."""

    priority: str
    host: str
    data: str  # structured data
    text: str

    @property
    def id(self) -> int:
        return int(self.data.partition('id="')[2].partition('"')[0])


def free_ports() -> SyslogPorts:
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_STREAM)
    sockets = [socket.socket(socket.AF_INET, kind) for kind in kinds]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    ports = SyslogPorts(*(sock.getsockname()[1] for sock in sockets))
    for sock in sockets:
        sock.close()
    return ports


class SyslogServer:
    """A server in `directory`, which can be stopped and started again."""

    def __init__(self, directory: Path, ports: SyslogPorts) -> None:
        self.output = directory / "received"
        self.ports = ports
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def start(self) -> None:
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log, env=self.environment())
        process = self._process
        wait_until(lambda: process.poll() is not None or _listens(self.ports.tcp), self._said)
        assert process.poll() is None, self._said()

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(PATIENCE_S)
            self._process = None

    def received(self) -> list[Received]:
        """The messages so far. A server that writes a line break within a message makes this fail."""
        raw = self.output.read_bytes() if self.output.exists() else b""
        return [Received(*line.split("\t", 3)) for line in raw.decode().split("\n")[:-1]]

    def wait_for(self, count: int) -> list[Received]:
        wait_until(lambda: len(self.received()) >= count, self._said)
        return self.received()

    def _said(self) -> str:
        return (self._directory / "log").read_text()


class Rsyslog(SyslogServer):
    """rsyslog without queues: what it has read is in the file before it reads on."""

    def __init__(self, directory: Path, ports: SyslogPorts, certificate: tuple[Path, Path] | None = None) -> None:
        super().__init__(directory, ports)
        self.program = shutil.which("rsyslogd", path="/usr/sbin:/sbin:/usr/bin")
        if self.program is None:
            pytest.skip("no rsyslogd here")
        tls = ""
        if certificate is not None:
            tls = (
                f'global(defaultNetstreamDriverCAFile="{certificate[0]}" defaultNetstreamDriverCertFile="{certificate[0]}" '
                f'defaultNetstreamDriverKeyFile="{certificate[1]}")\n'
                f'input(type="imtcp" address="127.0.0.1" port="{ports.tls}" streamDriver.name="gtls" streamDriver.mode="1" '
                'streamDriver.authMode="anon")\n'
            )
        (directory / "rsyslog.conf").write_text(
            f'global(workDirectory="{directory}" maxMessageSize="64k")\n'
            'main_queue(queue.type="Direct")\nmodule(load="imtcp")\nmodule(load="imudp")\n'
            f'input(type="imtcp" address="127.0.0.1" port="{ports.tcp}")\n'
            f'input(type="imudp" address="127.0.0.1" port="{ports.udp}" rcvbufSize="4m")\n{tls}'
            'template(name="t" type="string" string="%pri%\\t%hostname%\\t%structured-data%\\t%msg%\\n")\n'
            f'action(type="omfile" file="{self.output}" template="t")\n'
        )

    def command(self) -> list[str]:
        return [self.program or "", "-n", "-f", str(self._directory / "rsyslog.conf"), "-i", str(self._directory / "pid")]


class SyslogNg(SyslogServer):
    """syslog-ng, installed or unpacked by tests/install-tools."""

    def __init__(self, directory: Path, ports: SyslogPorts) -> None:
        super().__init__(directory, ports)
        installed = shutil.which("syslog-ng", path="/usr/sbin:/sbin:/usr/bin")
        self._root = _UNPACKED if installed is None else Path("/")
        if not (self._root / "usr/sbin/syslog-ng").exists():
            pytest.skip("no syslog-ng here")
        (directory / "syslog-ng.conf").write_text(
            f"@version: {self._version()}\n"
            "options { keep-hostname(yes); log-msg-size(65536); };\n"
            f'source s {{ syslog(ip(127.0.0.1) port({ports.tcp}) transport("tcp")); }};\n'
            f'destination d {{ file("{self.output}" template("$PRI\\t$HOST\\t'
            'id=\\"${.SDATA.pdns@32473.id}\\"\\t$MSG\\n")); };\n'
            "log { source(s); destination(d); };\n"
        )

    def _version(self) -> str:
        return next((self._root / "usr/lib/syslog-ng").glob("[0-9]*")).name

    def environment(self) -> dict[str, str]:
        lib = self._root / "usr/lib"
        found = [lib / "syslog-ng", *lib.glob("*-linux-gnu"), *(self._root / "lib").glob("*-linux-gnu")]
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(map(str, found))}

    def command(self) -> list[str]:
        here = self._directory
        return [
            str(self._root / "usr/sbin/syslog-ng"), "-F", "--no-caps", "-f", str(here / "syslog-ng.conf"),
            "--persist-file", str(here / "persist"), "--pidfile", str(here / "pid"), "--control", str(here / "control"),
            "--module-path", str(self._root / "usr/lib/syslog-ng" / self._version()),
        ]  # fmt: skip


def wait_until(condition: Callable[[], bool], said: Callable[[], str] = lambda: "") -> None:
    """Wait until `condition` holds; a failure shows what the server said."""
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s, said()
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
