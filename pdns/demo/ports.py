"""Ports that are free for UDP and TCP alike."""

from __future__ import annotations

import socket

_TRIES = 50


def bind_udp_and_tcp(port: int = 0) -> tuple[socket.socket, socket.socket]:
    """Sockets bound to one port of 127.0.0.1, the kernel's choice when `port` is 0. Raises `OSError`."""
    for _ in range(_TRIES):
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind(("127.0.0.1", port))
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
            if port:
                raise
        else:
            return udp, tcp
    raise OSError("no port is free for both UDP and TCP")


def free_port() -> int:
    """A port of 127.0.0.1 that was free a moment ago for UDP and TCP."""
    udp, tcp = bind_udp_and_tcp()
    port: int = udp.getsockname()[1]
    udp.close()
    tcp.close()
    return port
