"""Addresses on this machine: the only ones that anything here sends to."""

from __future__ import annotations

import ipaddress
import os
import random
import socket
from pathlib import Path
from typing import NamedTuple

_RECEIVE_BUFFER_BYTES = 4 << 20
_KERNEL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_FIRST_PORT = 10_000
_BLOCK = 16


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
    """A port that is free for UDP and TCP on all addresses, for programs that cannot take a socket.

    It belongs to this process until it ends: the kernel does not choose it for any socket, and no other process gets it here.
    """
    while True:
        if not _ports.free:
            _ports.take_block()
        port = _ports.free.pop()
        if _is_free(port):
            return port


class _Ports:
    """Ports below those that the kernel chooses from. A process takes them in blocks.

    An abstract Unix socket that is named after a block marks it as taken: its name is unique in a network namespace, and the
    kernel closes it with the process.
    """

    def __init__(self) -> None:
        self.free: list[int] = []
        self._marks: list[socket.socket] = []

    def take_block(self) -> None:
        end = int(_KERNEL_PORTS.read_text().split()[0])
        starts = list(range(_FIRST_PORT, end - _BLOCK, _BLOCK))
        random.shuffle(starts)  # so that a port that was used a moment ago is seldom used again
        for start in starts:
            mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                mark.bind(f"\0pdns-ports-{start}")
            except OSError:
                mark.close()
                continue
            self._marks.append(mark)
            self.free = list(range(start, start + _BLOCK))
            return
        raise OSError(f"no port between {_FIRST_PORT} and {end} is free; the kernel chooses from {_KERNEL_PORTS}")

    def forget(self) -> None:
        """In a child: the ports are those of the parent."""
        self.free = []


def _is_free(port: int) -> bool:
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
        ):
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            udp.bind(("0.0.0.0", port))  # bound for a moment, on every address
            tcp.bind(("0.0.0.0", port))
    except OSError:
        return False
    return True


_ports = _Ports()
os.register_at_fork(after_in_child=_ports.forget)
