"""Queries over UDP: connected sockets on unpredictable ports, each used for a while and then closed (RFC 5452, 9.2)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol

from pdns.upstream.exchange import Attempt, Events
from pdns.upstream.kernel import UdpKernel
from pdns.upstream.local_errors import is_local, source_address
from pdns.upstream.randomness import Randomness
from pdns.upstream.server import UpstreamServer
from pdns.upstream.timers import Timers

MAX_SOCKETS = 128  # that take queries; while there are fewer, each query gets a new one
MAX_RETIRED = 384  # that only wait for answers
MAX_QUERIES = 64  # on one socket
MAX_AGE_S = 30.0
MAX_IDLE_S = 5.0
_SWEEP_S = 1.0
_LOOK_INTERVAL_S = 0.1
_BIND_TRIES = 64


class UdpSocket(Protocol):
    """One socket: connected, so that the kernel drops what other addresses send to its port."""

    server: UpstreamServer
    live: int  # queries on it that somebody waits for
    used: int  # queries that it has sent
    opened_s: float
    last_used_s: float

    def send(self, attempt: Attempt, now: float) -> bool:
        """Send the query of `attempt` under a fresh id. False when the system would not."""

    def waiting(self) -> list[Attempt]:
        """What somebody waits for."""

    def find(self, query_id: int) -> Attempt | None: ...
    def settle(self, attempt: Attempt) -> None: ...
    def release(self, attempt: Attempt) -> None: ...
    def overdue(self, attempt: Attempt) -> None: ...
    def close(self) -> None: ...


class UdpPool:
    """The sockets of one upstream."""

    def __init__(
        self,
        server: UpstreamServer,
        loop: asyncio.AbstractEventLoop,
        timers: Timers,
        random: Randomness,
        events: Events,
        max_open: int,
        kernel: UdpKernel,
    ) -> None:
        self.server = server
        self.loop = loop
        self.events = events
        self.random = random
        self.last_error = ""  # why the system last did not send
        self._max_open = max_open
        self._source = ""  # our address, for this upstream
        self._looked_s = -1.0
        address = server.address
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        resolved = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM, flags=numeric)[0]
        self._family, self._sockaddr = resolved[0], resolved[4]
        self._wildcard = "::" if self._family == socket.AF_INET6 else "0.0.0.0"  # noqa: S104  # connect() narrows it at once
        self._timers = timers
        self.sockets: list[UdpSocket] = []  # that take queries
        self._retired: dict[UdpSocket, None] = {}  # oldest first
        self._sweeping = False
        self.socket_set = kernel.socket_set(server, loop, events) if kernel.socket_set is not None else None
        self._make: Callable[[UdpPool, socket.socket, float], UdpSocket] = kernel.socket

    def send(self, attempt: Attempt, now: float) -> bool:
        """Send the query of `attempt` under a fresh id from a random socket. False when the system would not."""
        for _ in range(2):
            try:
                channel = self.pick(now)
            except OSError as error:
                self.last_error = error.strerror or str(error)
                return False
            if channel.send(attempt, now):
                self.sent(channel)
                return True
            self.discard(channel, now)  # which leaves room for a new one
        return False

    def sent(self, channel: UdpSocket) -> None:
        """`channel`, which was picked, has sent what it was picked for."""
        if channel.used >= MAX_QUERIES and channel in self.sockets:
            self._retire(channel)

    def is_local(self, error_number: int) -> bool:
        """Whether an error of a socket is of this machine."""
        return is_local(error_number)

    def discard(self, channel: UdpSocket, now: float) -> None:
        """The system does not let `channel` send: close it, and ask anew what waits there."""
        attempts = self._abandon(channel)
        self._looked_s = -1.0
        self.has_moved(now)
        self.events.abandoned(attempts)

    def has_moved(self, now: float) -> bool:
        """Whether the system has begun to use another address of ours. If so, all sockets were closed, as nothing comes there any
        more, and what waited was asked anew.
        """
        if now < self._looked_s + _LOOK_INTERVAL_S:
            return False
        self._looked_s = now
        source = source_address(self._family, self._sockaddr)
        if not source or source == self._source:
            return False
        before, self._source = self._source, source
        if not before:
            return False
        attempts = [attempt for channel in (*self.sockets, *self._retired) for attempt in self._abandon(channel)]
        self.events.abandoned(attempts)
        return True

    def _abandon(self, channel: UdpSocket) -> list[Attempt]:
        """Close `channel`. Gives what somebody still waits for there."""
        if channel in self.sockets:
            self.sockets.remove(channel)
        self._retired.pop(channel, None)
        waiting = channel.waiting()
        channel.close()
        return waiting

    def close(self) -> None:
        for channel in (*self.sockets, *self._retired):
            channel.close()
        self.sockets.clear()
        self._retired.clear()
        if self.socket_set is not None:
            self.socket_set.close()

    @property
    def has_enough(self) -> bool:
        """Whether the next query goes to any of `sockets`, each as likely as the next, and not to a new one."""
        return len(self.sockets) >= MAX_SOCKETS

    @property
    def open_sockets(self) -> int:
        return len(self.sockets) + len(self._retired)

    def drained(self, channel: UdpSocket) -> None:
        """No query waits on `channel` any more, and it takes no new ones."""
        if channel in self._retired:
            del self._retired[channel]
            channel.close()

    def pick(self, now: float) -> UdpSocket:
        """A socket for the next query. Raises `OSError` when the system gives none."""
        sockets = self.sockets
        if not self.has_enough and (len(sockets) + len(self._retired) < self._max_open or not sockets):
            try:
                channel = self._open(now)
            except OSError:
                if not sockets:
                    raise
            else:
                sockets.append(channel)
                if not self._sweeping:
                    self._sweeping = True
                    self.has_moved(now)
                    self._timers.at(now + _SWEEP_S, self._sweep, None)
                return channel
        return sockets[self.random.below(len(sockets))]

    def _open(self, now: float) -> UdpSocket:
        sock = socket.socket(self._family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._bind(sock)
            sock.connect(self._sockaddr)
            return self._make(self, sock, now)
        except OSError:
            sock.close()
            raise

    def _bind(self, sock: socket.socket) -> None:
        # not left to the kernel: its choice among 28,000 ephemeral ports has been predicted before
        for _ in range(_BIND_TRIES):
            try:
                sock.bind((self._wildcard, self.random.port()))
            except OSError:
                continue  # taken
            return
        raise OSError("no free UDP port")

    def _retire(self, channel: UdpSocket) -> None:
        self.sockets.remove(channel)
        if channel.live == 0:
            channel.close()
            return
        self._retired[channel] = None
        if len(self._retired) > MAX_RETIRED or self.open_sockets > self._max_open:
            # its queries have waited longest, and were asked again elsewhere or will be
            oldest = next(iter(self._retired))
            del self._retired[oldest]
            oldest.close()

    def _sweep(self, _argument: None, now: float) -> None:
        self.has_moved(now)
        for channel in [one for one in self.sockets if now - one.opened_s > MAX_AGE_S or now - one.last_used_s > MAX_IDLE_S]:
            self._retire(channel)
        self._sweeping = bool(self.sockets)
        if self._sweeping:
            self._timers.at(now + _SWEEP_S, self._sweep, None)
