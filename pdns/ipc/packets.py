"""Packets of a SOCK_SEQPACKET socket that does not block."""

from __future__ import annotations

import socket
from collections.abc import Iterator


def arrived(sock: socket.socket, max_bytes: int, most: int) -> Iterator[bytes]:
    """The packets that have arrived, at most so many; b"" as the last one when the other end has gone. A socket that was closed
    meanwhile has none.
    """
    for _ in range(most):
        if sock.fileno() < 0:
            return
        try:
            packet = sock.recv(max_bytes)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            packet = b""
        yield packet
        if not packet:
            return
