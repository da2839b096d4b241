"""The file descriptors of this process: for tests that nothing was leaked, and for faults."""

from __future__ import annotations

import gc
import os
import socket


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
        try:
            with socket.socket(fileno=os.dup(number)) as sock:
                mine = sock.type == socket.SOCK_DGRAM and sock.getpeername()[1] == port
        except OSError:
            continue
        if mine:
            os.dup2(null, number)
    os.close(null)
