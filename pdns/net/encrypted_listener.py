"""Accepts encrypted connections."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

from pdns.net.acceptor import Acceptor
from pdns.net.encrypted import EncryptedConnections

_ACCEPTS_PER_WAKE: Final = 4  # a handshake may begin with each
_DEFER_S: Final = 1


class EncryptedListener(Acceptor):
    """Accepts connections on a listening socket (from `bind_tcp`), which it owns, for the section of that index."""

    def __init__(self, sock: socket.socket, section: int, connections: EncryptedConnections) -> None:
        super().__init__(sock, connections)
        self.section = section
        self._connections = connections

    def start(self) -> None:
        """Accept from now on; a connection that says nothing yet stays with the kernel for a while."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections have it from here
        with suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFER_S)
        super().start()

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_WAKE):
            if not self._connections.accept(self._socket, self.section):
                return
