"""The file descriptors of this process: for tests that nothing was leaked, and for faults."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import stat


def open_fds(*, collect: bool = True) -> set[int]:
    """Those that are open once garbage is collected. The one that reads the list is not among them.

    Without `collect` it takes no time, for tests that something waits for.
    """
    if collect:
        gc.collect()  # what an earlier test left to the collector must not be closed between two calls
    found = set()
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 (a Path each would be garbage)
        try:
            os.fstat(int(name))
        except OSError:
            continue
        found.add(int(name))
    return found


def spoil_sockets_to(port: int) -> None:
    """Put something that cannot send in the place of every UDP socket of this process that is connected to `port`."""
    null = os.open("/dev/null", os.O_RDWR)
    for number in open_fds(collect=False):
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            continue
        with socket.socket(fileno=os.dup(number)) as sock, contextlib.suppress(OSError):  # it may be connected to nothing
            if sock.type == socket.SOCK_DGRAM and sock.getpeername()[1] == port:
                os.dup2(null, number)
    os.close(null)
