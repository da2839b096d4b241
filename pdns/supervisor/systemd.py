"""Notifications to systemd (sd_notify(3)). Without systemd nothing happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final

_PINGS_EACH_TIME: Final = 4  # within WatchdogSec=
REMEDY_S: Final = 30.0  # within which the supervisor replaces workers that hang or do not start


def notify(state: str) -> None:
    """Notify the service manager, if there is one: "READY=1", "STOPPING=1", "STATUS=..."."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.setblocking(False)
        sock.sendto(state.encode(), "\0" + path[1:] if path.startswith("@") else path)


@contextlib.contextmanager
def reloading(*, started: bool) -> Iterator[None]:
    """Report a reload while the block runs. Nothing is reported before the service has `started`, because the end of a reload
    would report it as started.
    """
    if started:
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        yield
    finally:
        if started:
            notify("READY=1")


def watchdog_s() -> float:
    """The time within which systemd expects a ping from this process (sd_watchdog_enabled(3)); 0.0: it expects none."""
    pid, usec = os.environ.get("WATCHDOG_PID", ""), os.environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 if usec.isdecimal() and pid in ("", str(os.getpid())) else 0.0


async def ping_watchdog(unhealthy: Callable[[], list[str]]) -> None:
    """Ping until cancelled, while the loop runs. If `unhealthy` has had a reason for longer than the supervisor itself needs to
    replace the workers, pings stop until it has none; then systemd restarts the service.
    """
    if not (expected_s := watchdog_s()):
        return
    clock = asyncio.get_running_loop().time
    healthy_s = clock()
    while True:
        now = clock()
        if not unhealthy():
            healthy_s = now
        if now - healthy_s <= REMEDY_S:
            notify("WATCHDOG=1")
        await asyncio.sleep(expected_s / _PINGS_EACH_TIME)
