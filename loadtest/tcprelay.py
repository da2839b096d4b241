"""An upstream over TCP: each query of a connection goes to a UDP server at the same address, and its answer comes back.

Some peers forward over TCP what they were asked over TCP or TLS. It is for warming up, not for being quick.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from loadtest.loopback import Address

_BACKLOG = 128
_ANSWER_TIMEOUT_S = 2.0


@contextlib.contextmanager
def beside(server: Address) -> Iterator[None]:
    """Listens on TCP where `server` does on UDP, until leaving. Raises `OSError` when that port is taken."""
    with socket.create_server(server, backlog=_BACKLOG) as listener:
        threading.Thread(target=_accept, args=(listener, server), daemon=True).start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts


def _accept(listener: socket.socket, server: Address) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_relay, args=(connection, server), daemon=True).start()


def _relay(connection: socket.socket, server: Address) -> None:
    with connection, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, connection.makefile("rb") as reader:
        udp.connect(server)
        udp.settimeout(_ANSWER_TIMEOUT_S)
        with contextlib.suppress(OSError):
            while len(head := reader.read(2)) == 2:
                udp.send(reader.read(int.from_bytes(head)))
                answer = udp.recv(65535)
                connection.sendall(len(answer).to_bytes(2) + answer)
