"""Accepts encrypted connections."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Final

from pdns.net.encrypted import EncryptedConnections

_ACCEPTS_PER_WAKE: Final = 4  # a handshake may begin with each
_SHORTAGE_PAUSE_S: Final = 0.1
_DEFER_S: Final = 1


class EncryptedListener:
    """Accepts connections on a listening socket (from `bind_tcp`), which it owns, for the section of that index."""

    def __init__(self, sock: socket.socket, section: int, connections: EncryptedConnections) -> None:
        self.section = section
        self._socket = sock
        self._connections = connections
        self._again: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept from now on; a connection that says nothing yet stays with the kernel for a while."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections have it from here
        with suppress(OSError):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, _DEFER_S)
        self._connections.loop.add_reader(self._socket.fileno(), self._acceptable)

    def close(self) -> None:
        """Accept no more. Connections stay; those in the queue of the kernel stay there while another process has the socket."""
        if self._socket.fileno() < 0:
            return
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._connections.loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _acceptable(self) -> None:
        for _ in range(_ACCEPTS_PER_WAKE):
            try:
                if not self._connections.accept(self._socket, self.section):
                    return
            except OSError:
                self._pause()
                return

    def _pause(self) -> None:
        """There is no descriptor, or no memory: make room, and accept again after a moment; without it the loop would spin."""
        self._connections.make_room()
        self._connections.loop.remove_reader(self._socket.fileno())
        self._again = self._connections.loop.call_later(_SHORTAGE_PAUSE_S, self.start)
