"""Datagrams from one quic process to the one before it, whose clients send them: two processes share the sockets for a while."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from pdns.ipc.packets import arrived
from pdns.quic.client import Address

_MOST_BYTES: Final = 8192
_READS: Final = 64

Taken = Callable[[str, bytes, Address, bytes], object]


class ForwardedDatagram(msgspec.Struct, frozen=True, array_like=True):
    """One datagram, and where it came from and to."""

    endpoint: str
    local: bytes
    address: tuple[str | int, ...]  # as the socket module has it
    datagram: bytes


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(ForwardedDatagram).decode


class DatagramLink:
    """One end of a SOCK_SEQPACKET socket. What does not fit is lost, as in a network."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        sock.setblocking(False)
        self.is_open = True
        self._socket, self._loop = sock, loop
        self._taken: Taken = lambda *_: None
        self._all_taken: Callable[[], object] = lambda: None

    def send(self, endpoint: str, local: bytes, address: Address, datagram: bytes) -> None:
        """Send one on."""
        try:
            self._socket.send(_encode(ForwardedDatagram(endpoint, local, address, datagram)), socket.MSG_NOSIGNAL)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.close()

    def read(self, taken: Taken, all_taken: Callable[[], object]) -> None:
        """Call `taken` for each, and `all_taken` after those of one turn."""
        self._taken, self._all_taken = taken, all_taken
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        """Close the socket."""
        if self.is_open:
            self.is_open = False
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _readable(self) -> None:
        for packet in arrived(self._socket, _MOST_BYTES, _READS):
            if not packet:
                self.close()
                break
            with suppress(msgspec.DecodeError):
                one = _decode(packet)
                self._taken(one.endpoint, one.local, one.address, one.datagram)
        self._all_taken()
