"""Upstream sockets by the batch. `upstream.pxd` has the shape."""

# specification: pdns/reference/upstream_socket.py:ReferenceUdpSocket

import logging
import os
import select
import socket as sockets

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pdns.fast.checks cimport must
from pdns.fast.clock cimport clock_s
from pdns.fast.wire cimport HEADER_BYTES, u16

from pdns.wire.message import build_query

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        int fd
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_wait(int epoll, epoll_event *events, int room, int timeout_ms)

cdef enum:
    SOCKETS_A_WAKE = 64
    RECEIVE_BYTES = 4096  # more than a query allows: what is too long must be seen to be

_UDP_SEGMENT = 103  # of linux/udp.h

cdef double _NEVER = float("inf")

_log = logging.getLogger("pdns.upstream")


cdef class ReplyHandler:

    cdef int take(self, Flight flight, UdpSocket socket, const uint8_t *wire, Py_ssize_t size, double now) except -1:
        raise NotImplementedError

    cdef int taken(self, SocketSet socket_set, double now) except -1:
        raise NotImplementedError

    cdef punt(self, Flight flight, UdpSocket socket):
        raise NotImplementedError


cdef class UdpSocket:
    """One socket: connected, so that the kernel drops what other addresses send to its port."""

    def __init__(self, pool, sock, double now):
        self.server, self._pool, self._sock, self.socket_set = pool.server, pool, sock, pool.socket_set
        self.opened_s = self.last_used_s = now
        self._carried = []
        self._fd = sock.fileno()
        self.socket_set._epoll.register(self._fd, select.EPOLLIN)
        self.socket_set._sockets[self._fd] = self

    def send(self, attempt, double now):
        cdef int place = self._count
        if self._fd < 0 or place >= MOST_QUERIES:
            return False
        question = attempt.exchange.question
        attempt.query_id = self.add(attempt, now)
        attempt.channel = self
        wire = build_query(attempt.query_id, attempt.question, do=question.do, cd=question.cd, edns=attempt.edns)
        try:
            self._sock.send(wire)
        except BlockingIOError:
            pass  # as good as lost on the way: it will be sent again
        except OSError as error:
            if self._pool.is_local(error.errno):
                return self._not_sent(attempt, error)
            # the ICMP error of an earlier query comes up here; this one was not sent
            self.report_unreachable(attempt)
            try:
                self._sock.send(wire)
            except OSError as another:
                return self._not_sent(attempt, another)
        return True

    def _not_sent(self, attempt, error):
        attempt.channel = None
        self.forget(self.place_of(attempt.query_id))
        self.live -= 1
        self.used -= 1
        self._pool.last_error = error.strerror
        return False

    def waiting(self):
        """What somebody waits for. Nothing of that is in the forwarding kernel any more."""
        self.punt_due(_NEVER)
        return [one for one in self._carried if type(one) is not Flight and one.exchange is not None]

    def find(self, uint16_t query_id):
        cdef int place = self.place_of(query_id)
        return self._carried[place] if place >= 0 and type(self._carried[place]) is not Flight else None

    def settle(self, attempt):
        cdef int place = self.place_of(attempt.query_id)
        if place < 0 or self._carried[place] is not attempt:
            return  # it is settled
        self.forget(place)
        if attempt.exchange is not None:
            self.release(attempt)

    def release(self, attempt):
        self.waiter_gone()

    def overdue(self, attempt):
        pass

    def close(self):
        if self._fd >= 0:
            self.punt_due(_NEVER)
            self.socket_set._sockets.pop(self._fd, None)
            self._fd = -1
            self._sock.close()

    def report_unreachable(self, but=None):
        """Report a network error. The kernel does not say which query caused it, so all that wait are named."""
        self.socket_set.events.unreachable([one for one in self.waiting() if one is not but])

    def failed(self, int error, double now):
        """The system reported `error`, which is of this machine or of the network."""
        if self._pool.is_local(error):
            self._pool.last_error = os.strerror(error)
            self._pool.discard(self, now)
        else:
            self.report_unreachable()

    # ---- for other kernels

    cdef int place_of(self, uint16_t query_id) noexcept nogil:
        cdef int place
        for place in range(self._count):
            if self._ids[place] == query_id:
                return place
        return -1

    cdef uint16_t add(self, what, double now):
        """The id under which `what` waits for its answer, from now on."""
        cdef uint16_t query_id = <uint16_t>self.socket_set.draw()
        while self.place_of(query_id) >= 0:
            query_id = <uint16_t>self.socket_set.draw()
        must(self._count < MOST_QUERIES)
        self._ids[self._count] = query_id
        self._carried.append(what)
        self._count += 1
        self.live += 1
        self.used += 1
        self.last_used_s = now
        return query_id

    cdef int waiter_gone(self) except -1:
        """Count one less that a client waits for; after the last one the pool may close this socket."""
        self.live -= 1
        if self.live == 0:
            self._pool.drained(self)
        return 0

    cdef int forget(self, int place) except -1:
        must(place >= 0)
        must(place < self._count)
        last = self._carried.pop()
        self._count -= 1
        if place < self._count:
            self._carried[place] = last
            self._ids[place] = self._ids[self._count]
        return 0

    cdef int landed(self, Flight flight) except -1:
        """`flight` was answered."""
        self.forget(self.place_of(flight.query_id))
        flight.socket = None
        if flight.shed:
            return 0
        self.socket_set.in_fast_forward -= 1
        return self.waiter_gone()

    cdef int shed(self, Flight flight) except -1:
        """No client waits for `flight` any more. A late answer to it is still recognised, and cached."""
        flight.shed = True
        flight.socket = None
        self.socket_set.in_fast_forward -= 1
        return self.waiter_gone()

    cdef int punt(self, Flight flight) except -1:
        """Let Python go on with `flight`, which waits here."""
        self._carried[self.place_of(flight.query_id)] = self.socket_set.carrier.punt(flight, self)
        flight.socket = None
        self.socket_set.in_fast_forward -= 1
        return 0

    cdef int punt_due(self, double now) except -1:
        """The same for every flight that was due before `now`."""
        for one in list(self._carried):
            if type(one) is Flight and (<Flight>one).due_s <= now and not (<Flight>one).shed:
                self.punt(one)
        return 0


cdef bint _knows_segments():
    """Whether the system knows UDP_SEGMENT. One that does not might send the whole message."""
    with sockets.socket(sockets.AF_INET, sockets.SOCK_DGRAM) as probe:
        try:
            probe.getsockopt(sockets.IPPROTO_UDP, _UDP_SEGMENT)
        except OSError:
            return False
    return True


cdef class SocketSet:
    """What the sockets of one upstream have in common. `events` as `pdns.upstream.exchange` has it."""

    def __init__(self, server, loop, events):
        self.server, self._loop, self.events = server, loop, events
        self.trusts_ad = server.trusts_ad
        self._sockets = {}
        self._inbox = Inbox(RECEIVE_BYTES, named=False)
        self.outbox = Outbox(MOST_QUERY_BYTES)
        self.joins = _knows_segments()
        self._random_at = RANDOM_WORDS
        self._epoll = select.epoll()
        self._fd = self._epoll.fileno()
        loop.add_reader(self._fd, self._readable)

    def close(self):
        """After all sockets."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._fd = -1
            self._epoll.close()

    def punt(self, double now):
        """Let Python go on with every flight in the forwarding kernel that was due before `now`."""
        if self.in_fast_forward:
            for socket in list(self._sockets.values()):
                (<UdpSocket>socket).punt_due(now)

    cdef uint64_t draw(self) except? 0:
        """64 unpredictable bits."""
        if self._random_at >= RANDOM_WORDS:
            drawn = os.urandom(sizeof(self._random))
            memcpy(self._random, <const char *>drawn, sizeof(self._random))
            self._random_at = 0
        self._random_at += 1
        return self._random[self._random_at - 1]

    cdef Py_ssize_t below(self, Py_ssize_t bound) except -1:
        """A number in 0..bound-1, for bounds far below 2**32."""
        return <Py_ssize_t>(((self.draw() >> 32) * <uint64_t>bound) >> 32)

    def _readable(self):
        cdef epoll_event events[SOCKETS_A_WAKE]
        cdef int count, at
        cdef double now
        count = epoll_wait(self._fd, events, SOCKETS_A_WAKE, 0)
        now = clock_s()
        try:
            for at in range(count):
                socket = self._sockets.get(events[at].data.fd)
                if socket is not None:
                    self._receive(socket, now)
        finally:
            if self.carrier is not None:
                self.carrier.taken(self, now)

    cdef int _receive(self, UdpSocket socket, double now) except -1:
        cdef int at, place, count = self._inbox.receive(socket._fd)
        cdef const uint8_t *wire
        cdef Py_ssize_t size
        if count < 0:
            if count != -EAGAIN:
                socket.failed(-count, now)
            return 0
        for at in range(count):
            if socket._fd < 0:
                return 0  # the answer before closed it
            wire, size = self._inbox.raw(at), self._inbox.size(at)
            place = socket.place_of(u16(wire)) if size >= HEADER_BYTES else -1
            if place >= 0 and type(socket._carried[place]) is Flight:
                try:
                    self.carrier.take(socket._carried[place], socket, wire, size, now)
                except Exception:
                    _log.exception("error while handling an answer of %s", socket.server.name)
            else:
                self.events.arrived(socket, PyBytes_FromStringAndSize(<const char *>wire, size))
        return 0
