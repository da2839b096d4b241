"""A TCP server that does nothing but answer: `python -m loadtest.tcpecho FD`. Each connection gets its first message back."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

from loadtest.loopback import Address

_BACKLOG: Final = 1024
_MOST_BYTES: Final = 4096
_PATIENCE_S: Final = 1.0
_REPOSITORY: Final = Path(__file__).resolve().parent.parent


@contextlib.contextmanager
def started() -> Iterator[Address]:
    """One in a process of its own, ended on leaving."""
    with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
        fd = listener.fileno()
        process = subprocess.Popen([sys.executable, "-m", "loadtest.tcpecho", str(fd)], pass_fds=[fd], cwd=_REPOSITORY)
        try:
            yield Address(*listener.getsockname())
        finally:
            process.kill()
            process.wait()


def serve(listener: socket.socket) -> NoReturn:
    """One connection after the other."""
    while True:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.settimeout(_PATIENCE_S)
            connection.sendall(connection.recv(_MOST_BYTES))


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
