"""One UDP socket: datagrams in, datagrams out, from the address that the client has asked."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import Final, Protocol

from pdns.net.sockets import IP_PKTINFO
from pdns.net.udp import WILDCARDS
from pdns.quic.client import Address

_READS: Final = 64  # datagrams of one turn of the loop
_MOST_BYTES: Final = 4096  # no client sends longer ones: no path here is that wide
_ANCILLARY_BYTES: Final = 64
_MOST_LOCAL: Final = 256  # addresses of this machine that are remembered

Ancillary = tuple[int, int, bytes]


class DatagramTaker(Protocol):
    """Who gets the datagrams."""

    def arrived_at(self, endpoint: UdpEndpoint, datagram: bytes, address: Address, origin: DatagramOrigin) -> None: ...
    def all_arrived(self) -> None:
        """There are no more in this turn."""


class DatagramOrigin:
    """Where answers to a datagram leave from."""

    __slots__ = ("_ancillary", "_socket", "endpoint", "local")

    def __init__(self, endpoint: UdpEndpoint, sock: socket.socket, ancillary: Ancillary | None = None) -> None:
        self.endpoint, self._socket = endpoint, sock
        self._ancillary = [] if ancillary is None else [ancillary]
        self.local = b"" if ancillary is None else ancillary[2]

    def send(self, datagram: bytes, address: Address) -> None:
        """Send it, or lose it, as a network may."""
        with suppress(OSError):
            if self._ancillary:
                self._socket.sendmsg([datagram], self._ancillary, 0, address)
            else:
                self._socket.sendto(datagram, address)


class UdpEndpoint:
    """Owns its socket."""

    def __init__(self, name: str, sock: socket.socket, taker: DatagramTaker, loop: asyncio.AbstractEventLoop) -> None:
        """`name` is how processes call it."""
        sock.setblocking(False)
        self.name = name
        self._socket, self._taker, self._loop = sock, taker, loop
        self._is_wildcard = sock.getsockname()[0] in WILDCARDS
        self._origin = DatagramOrigin(self, sock)
        self._origins: dict[bytes, DatagramOrigin] = {}
        self._reading = False

    def start(self) -> None:
        """Read from now on."""
        if not self._reading:
            self._reading = True
            self._loop.add_reader(self._socket.fileno(), self._readable)

    def stop(self) -> None:
        """Read no more; what is sent still leaves from here."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._socket.fileno())

    def close(self) -> None:
        """Close the socket."""
        self.stop()
        self._socket.close()

    def origin(self, local: bytes) -> DatagramOrigin:
        """For answers from `local`, as `DatagramOrigin.local` has it."""
        if not local:
            return self._origin
        found = self._origins.get(local)
        if found is None:
            level, kind = (
                (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)
                if self._socket.family == socket.AF_INET6
                else (socket.IPPROTO_IP, IP_PKTINFO)
            )
            if len(self._origins) >= _MOST_LOCAL:
                self._origins.clear()
            found = self._origins[local] = DatagramOrigin(self, self._socket, (level, kind, local))
        return found

    def _readable(self) -> None:
        taker = self._taker
        for _ in range(_READS):
            try:
                if self._is_wildcard:
                    datagram, ancillary, _, address = self._socket.recvmsg(_MOST_BYTES, _ANCILLARY_BYTES)
                    origin = self.origin(_local(ancillary))
                else:
                    datagram, address = self._socket.recvfrom(_MOST_BYTES)
                    origin = self._origin
            except (BlockingIOError, InterruptedError):
                break
            except OSError:  # an ICMP error for what was sent
                continue
            taker.arrived_at(self, datagram, address, origin)
        taker.all_arrived()


def _local(ancillary: list[Ancillary]) -> bytes:
    """What to send with an answer, from what came with the datagram (ip(7), ipv6(7))."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
            return bytes(4) + data[4:8] + bytes(4)
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            is_link_local = data[0] == 0xFE and data[1] & 0xC0 == 0x80
            return data if is_link_local else data[:16] + bytes(4)
    return b""
