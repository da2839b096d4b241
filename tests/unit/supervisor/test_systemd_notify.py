"""What systemd is manager, and when."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdns.supervisor import systemd


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket of the service manager."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def _heard(sock: socket.socket) -> list[str]:
    found = []
    while True:
        try:
            found.append(sock.recv(4096).decode())
        except BlockingIOError:
            return found


def test_a_reload_has_a_begin_and_an_end(manager: socket.socket) -> None:
    """RELOADING=1 comes with the time that Type=notify-reload needs, READY=1 also after a failure; before the start neither."""
    with pytest.raises(ValueError, match="broken"), systemd.reloading(started=True):
        raise ValueError("broken")
    begin, end = _heard(manager)
    reloading, _, monotonic = begin.partition("\nMONOTONIC_USEC=")
    assert (reloading, end) == ("RELOADING=1", "READY=1")
    assert int(monotonic) > 0
    with systemd.reloading(started=False):
        pass
    assert _heard(manager) == []


def test_pings_only_while_workers_can_be_helped(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pings go on while the supervisor replaces its workers, stop when that takes too long, and come back with the workers."""
    monkeypatch.setenv("WATCHDOG_USEC", "40000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    reasons: list[str] = []

    async def pings_in(seconds: float) -> bool:
        _heard(manager)
        await asyncio.sleep(seconds)
        return bool(_heard(manager))

    async def scene() -> None:
        pinging = asyncio.ensure_future(systemd.ping_watchdog(lambda: reasons))
        assert await pings_in(0.2)
        reasons.append("worker0: no sign of life for 5 s")
        assert await pings_in(0.2), "there is time for remedies"
        monkeypatch.setattr(systemd, "REMEDY_S", 0.0)
        await asyncio.sleep(0.1)
        assert not await pings_in(0.2)
        reasons.clear()
        assert await pings_in(0.2)
        pinging.cancel()

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("usec", "pid", "expected"), [("", "", 0.0), ("30000000", "", 30.0), ("30000000", "1", 0.0), ("soon", "", 0.0)]
)
def test_whether_pings_are_expected(monkeypatch: pytest.MonkeyPatch, usec: str, pid: str, expected: float) -> None:
    """Only when the variables say so, and only of the process that they name."""
    monkeypatch.setenv("WATCHDOG_USEC", usec)
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert systemd.watchdog_s() == expected
