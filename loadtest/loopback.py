"""Addresses on this machine: the only ones that anything here sends to."""

from __future__ import annotations

import ipaddress
import socket
from typing import NamedTuple

_RECEIVE_BUFFER_BYTES = 4 << 20


class Address(NamedTuple):
    """A loopback address and a port. `str()` gives `127.0.0.1:53` or `[::1]:53`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def loopback(host: str, port: int) -> Address:
    """The checked address. Raises `ValueError` for any host that is not in 127.0.0.0/8 or ::1."""
    if not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"{host} is not a loopback address: this program is for servers on this machine")
    if not 1 <= port <= 65535:
        raise ValueError(f"{port} is not a port")
    return Address(host, port)


def udp_socket(host: str = "127.0.0.1") -> socket.socket:
    """A UDP socket bound to a port of the kernel's choice, with room for a burst of queries."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    sock.bind((host, 0))
    return sock


def free_port() -> int:
    """A port of 127.0.0.1 that was free for UDP and TCP a moment ago, for programs that cannot take a socket."""
    for _ in range(20):
        with udp_socket() as udp, socket.socket() as tcp:
            port: int = udp.getsockname()[1]
            try:
                tcp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free for both UDP and TCP")
