"""DNS over UDP (RFC 1035, 4.2.1): datagrams in, datagrams out, each answer from the address that was asked.

The specification of the `UdpListener` in `pdns/fast/udp.pyx`.
"""

# kernel: pdns/fast/batch.pyx
# kernel: pdns/fast/udp.pyx

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, Final

from pdns.errors import WireError
from pdns.net.balancers import Balancers
from pdns.net.edge import BugLog, EdgeStats, MessageHandler
from pdns.net.sockets import IP_PKTINFO, kernel_drops
from pdns.net.udp import MAX_QUERY_BYTES, WILDCARDS, junk_reason
from pdns.wire.proxy_header import parse_header
from pdns.wire.transport import Transport

_UDP: Final = Transport.UDP
_READ_BYTES: Final = MAX_QUERY_BYTES + 1
_DATAGRAMS_PER_WAKE: Final = 64  # then other connections and timers have their turn
_ANCILLARY_BYTES: Final = 64  # room for one in_pktinfo or in6_pktinfo
_BUFFER_FULL: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})

_Source = tuple[tuple[int, int, bytes], ...]  # ancillary data for `sendmsg`: the address to send from


class ReferenceUdpListener:
    """Hands every datagram of a bound socket to `service`, and sends its replies, however late.

    Owns `sock` (from `bind_udp`). No datagram, no reply and no error of the network can stop it.
    Counted as dropped: `udp_source_port_zero`, `udp_own_address`, `udp_not_unicast`, `udp_too_long`, `udp_receive_error` for
    what came in; `pdns.wire.proxy_header.REASONS` for what a load balancer sent; `udp_send_buffer_full` and `udp_send_error` for
    what could not go out.
    """

    def __init__(self, sock: socket.socket, service: MessageHandler, loop: asyncio.AbstractEventLoop, stats: EdgeStats) -> None:
        self._sock = sock
        self._service = service
        self._loop = loop
        self._stats = stats
        self._bugs = BugLog(loop.time)
        self._own_host, self._own_port = sock.getsockname()[:2]
        self._v6 = sock.family == socket.AF_INET6
        self._wildcard = self._own_host in WILDCARDS
        self._balancers = Balancers()
        self._send_to = self._send  # a bound method costs less made once
        self._send_from_to = self._send_from
        self._reading = False
        self.resume()

    def resume(self) -> None:
        """Read, from the start or after `pause`."""
        if not self._reading and self._sock.fileno() >= 0:
            self._reading = True
            self._loop.add_reader(self._sock.fileno(), self._read_wildcard if self._wildcard else self._read)

    def pause(self) -> None:
        """Read no more. Replies still go out, and what arrives waits in the kernel for whoever reads next."""
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._sock.fileno())

    def read_now(self) -> None:
        """Take what has arrived, as much as in one turn of the loop: the last thing before `pause` or `close`."""
        if self._sock.fileno() >= 0:
            (self._read_wildcard if self._wildcard else self._read)()

    def trust(self, networks: Sequence[str]) -> None:
        """Peers in `networks`, and no others, send a PROXY protocol header before each message from now on. The service gets the
        client that the header names, with the port of the peer: that is where the answer goes.
        """
        self._balancers = Balancers(networks)

    def close(self) -> None:
        """Stop reading and close the socket. Later replies are lost silently."""
        self.pause()
        self._sock.close()

    @property
    def kernel_drops(self) -> int:
        """How many datagrams the kernel has thrown away because they were not read in time, ever."""
        return kernel_drops(self._sock)

    def _read(self) -> None:
        receive = self._sock.recvfrom
        on_message = self._service.on_message
        send = self._send_to
        own_port = self._own_port
        for _ in range(_DATAGRAMS_PER_WAKE):
            try:
                wire, peer = receive(_READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self._stats.dropped("udp_receive_error")
                return
            client, port = peer[0], peer[1]
            if (not port or port == own_port or len(wire) > MAX_QUERY_BYTES) and self._is_junk(wire, client, port):
                continue
            if client in self._balancers:
                unwrapped = self._unwrap(wire, client)
                if unwrapped is None:
                    continue
                wire, client = unwrapped
            try:
                on_message(wire, client, port, _UDP, partial(send, peer))
            except Exception as error:  # noqa: BLE001 (the next datagram is somebody else's)
                self._bugs.caught(error, "the answer to a datagram")

    def _read_wildcard(self) -> None:
        receive = self._sock.recvmsg
        on_message = self._service.on_message
        send = self._send_from_to
        own_port = self._own_port
        source_of = _source_v6 if self._v6 else _source_v4
        for _ in range(_DATAGRAMS_PER_WAKE):
            try:
                wire, ancillary, _flags, peer = receive(_READ_BYTES, _ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self._stats.dropped("udp_receive_error")
                return
            client, port = peer[0], peer[1]
            if (not port or port == own_port or len(wire) > MAX_QUERY_BYTES) and self._is_junk(wire, client, port):
                continue
            source = source_of(ancillary[0][2]) if ancillary else ()
            if source is None:
                self._stats.dropped("udp_not_unicast")
                continue
            if client in self._balancers:
                unwrapped = self._unwrap(wire, client)
                if unwrapped is None:
                    continue
                wire, client = unwrapped
            try:
                on_message(wire, client, port, _UDP, partial(send, peer, source))
            except Exception as error:  # noqa: BLE001 (as above)
                self._bugs.caught(error, "the answer to a datagram")

    def _is_junk(self, wire: bytes, client: str, port: int) -> bool:
        if not (reason := junk_reason(len(wire), client, port, self._own_host)):
            return False
        self._stats.dropped(reason)
        return True

    def _unwrap(self, wire: bytes, balancer: str) -> tuple[bytes, str] | None:
        """The message behind the header, and its client; None when there is no sound header."""
        try:
            header = parse_header(wire)
        except WireError as error:
            self._stats.dropped(error.reason)
            return None
        return wire[header.size :], header.client or balancer

    def _send(self, peer: Any, wire: bytes) -> None:
        try:
            self._sock.sendto(wire, peer)
        except OSError as error:
            self._not_sent(error)

    def _send_from(self, peer: Any, source: _Source, wire: bytes) -> None:
        try:
            self._sock.sendmsg((wire,), source, 0, peer)
        except OSError as error:
            self._not_sent(error)

    def _not_sent(self, error: OSError) -> None:
        if self._sock.fileno() >= 0:
            self._stats.dropped("udp_send_buffer_full" if error.errno in _BUFFER_FULL else "udp_send_error")


@lru_cache(maxsize=256)
def _source_v4(pktinfo: bytes) -> _Source | None:
    """What `sendmsg` needs to send from the address that was asked; None when a whole network was (ip(7), in_pktinfo).

    The interface is left to the routing table.
    """
    local = pktinfo[4:8]
    if local != pktinfo[8:12]:
        return None
    return ((socket.IPPROTO_IP, IP_PKTINFO, b"\0\0\0\0" + local + b"\0\0\0\0"),)


@lru_cache(maxsize=256)
def _source_v6(pktinfo: bytes) -> _Source | None:
    """As `_source_v4` (RFC 3542, 6.1). A link-local address means something only together with its interface."""
    if pktinfo[0] == 0xFF:
        return None
    if pktinfo[0] != 0xFE or pktinfo[1] & 0xC0 != 0x80:
        pktinfo = pktinfo[:16] + b"\0\0\0\0"
    return ((socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, pktinfo),)
