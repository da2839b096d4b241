"""Errors that are our machine's and no upstream's, and the source address that the system uses."""

from __future__ import annotations

import errno
import socket
from typing import Any

# What routers and hosts on the way report (ICMP, RST). Any other error of a socket is of this machine.
_FROM_THE_NETWORK = frozenset(
    (errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENOPROTOOPT, errno.ETIMEDOUT, errno.EPIPE)
)


def is_local(error_number: int | None) -> bool:
    """Whether an error of a socket is this machine's: no descriptor, no route, the source address gone, a firewall rule."""
    return error_number is not None and error_number not in _FROM_THE_NETWORK


def source_address(family: int, sockaddr: Any) -> str:
    """The address of ours from which the system would send to `sockaddr`, without sending; "" while it knows no way there."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect(sockaddr)
            return str(sock.getsockname()[0])
    except OSError:
        return ""
