"""A listening socket whose connections are accepted when the loop says so, with a pause while there is no descriptor for them."""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from typing import Final, Protocol

_SHORTAGE_PAUSE_S: Final = 0.1


class RoomMaker(Protocol):
    """The connections that an acceptor adds to."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop: ...

    def make_room(self) -> None:
        """Close one connection, if one may be closed for a new client."""


class Acceptor(ABC):
    """Owns a listening socket (from `bind_tcp`)."""

    def __init__(self, sock: socket.socket, connections: RoomMaker) -> None:
        self._socket = sock
        self._room = connections
        self._again: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept from now on."""
        self._room.loop.add_reader(self._socket.fileno(), self._acceptable)

    def close(self) -> None:
        """Accept no more. Connections stay; those in the queue of the kernel stay there while another process has the socket."""
        if self._socket.fileno() < 0:
            return
        if self._again is not None:
            self._again.cancel()
            self._again = None
        self._room.loop.remove_reader(self._socket.fileno())
        self._socket.close()

    @abstractmethod
    def _accept(self) -> None:
        """Accept some connections, or none. Raises `OSError` when there is no descriptor or no memory for one."""

    def _acceptable(self) -> None:
        try:
            self._accept()
        except OSError:  # make room, and accept again after a moment; without it the loop would spin
            self._room.make_room()
            self._room.loop.remove_reader(self._socket.fileno())
            self._again = self._room.loop.call_later(_SHORTAGE_PAUSE_S, self.start)
