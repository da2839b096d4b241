"""A socket for queries over UDP: the specification of the `UdpSocket` in `pdns/fast/upstream.pyx`."""

# kernel: pdns/fast/upstream.pyx

from __future__ import annotations

import socket

from pdns.clock import boottime_s
from pdns.upstream.exchange import Attempt
from pdns.upstream.local_errors import is_local
from pdns.upstream.udp import UdpPool
from pdns.wire.message import build_query

_DATAGRAMS_PER_WAKE = 64
_RECEIVE_BYTES = 4096  # more than a query allows: what is too long must be seen to be


class ReferenceUdpSocket:
    """One socket: connected, so that the kernel drops what other addresses send to its port."""

    __slots__ = ("_events", "_outstanding", "_pool", "_socket", "last_used_s", "live", "opened_s", "server", "used")

    def __init__(self, pool: UdpPool, sock: socket.socket, now: float) -> None:
        self.server = pool.server
        self._outstanding: dict[int, Attempt] = {}  # by id; those given up stay, so that a late answer is known for one
        self.live = 0  # of them, how many somebody waits for
        self.used = 0
        self.opened_s = self.last_used_s = now
        self._pool = pool
        self._events = pool.events
        self._socket = sock
        pool.loop.add_reader(sock, self._readable)

    def send(self, attempt: Attempt, now: float) -> bool:
        u16 = self._pool.random.u16
        outstanding = self._outstanding
        while (query_id := u16()) in outstanding:
            pass
        assert attempt.exchange is not None
        question = attempt.exchange.question
        wire = build_query(query_id, attempt.question, do=question.do, cd=question.cd, edns=attempt.edns)
        try:
            self._socket.send(wire)
        except BlockingIOError:
            pass  # as good as lost on the way: it will be sent again
        except OSError as error:
            if is_local(error.errno):
                self._pool.last_error = error.strerror or str(error)
                return False
            # the ICMP error of an earlier query comes up here; this one was not sent
            self._report_unreachable()
            try:
                self._socket.send(wire)
            except OSError as another:
                self._pool.last_error = another.strerror or str(another)
                return False
        attempt.query_id = query_id
        attempt.channel = self
        outstanding[query_id] = attempt
        self.live += 1
        self.used += 1
        self.last_used_s = now
        return True

    def find(self, query_id: int) -> Attempt | None:
        return self._outstanding.get(query_id)

    def settle(self, attempt: Attempt) -> None:
        if self._outstanding.get(attempt.query_id) is not attempt:
            return  # it is settled
        del self._outstanding[attempt.query_id]
        if attempt.exchange is not None:  # else it was released before
            self.release(attempt)

    def release(self, attempt: Attempt) -> None:  # noqa: ARG002  # a connection needs it
        self.live -= 1
        if self.live == 0:
            self._pool.drained(self)

    def overdue(self, attempt: Attempt) -> None:
        """Datagrams get lost."""

    def waiting(self) -> list[Attempt]:
        """What somebody waits for."""
        return [attempt for attempt in self._outstanding.values() if attempt.exchange is not None]

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._pool.loop.remove_reader(self._socket)
            self._socket.close()

    def _readable(self) -> None:
        for count in range(_DATAGRAMS_PER_WAKE):
            try:
                wire = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                if count == 0:
                    self._listen_again()
                return
            except OSError as error:
                if is_local(error.errno):
                    self._pool.discard(self, boottime_s())
                    return
                self._listen_again()
                self._report_unreachable()
                if self._socket.fileno() < 0:
                    return
                continue
            self._events.arrived(self, wire)
            if self.live == 0:
                return  # most often: the only answer there was; the loop calls again if there is more

    def _listen_again(self) -> None:
        # libuv stops watching a descriptor after an error on it, and every later answer would go unheard
        self._pool.loop.remove_reader(self._socket)
        self._pool.loop.add_reader(self._socket, self._readable)

    def _report_unreachable(self) -> None:
        self._events.unreachable(self.waiting())
