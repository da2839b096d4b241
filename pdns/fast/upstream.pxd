"""Upstream sockets by the batch: the compiled twin of `pdns.reference.upstream_socket`.

All sockets of one upstream hang in one epoll descriptor, and the loop watches only that one. A socket waits for the answer to an
`Attempt` of the forwarder or to a `Flight` of the fast forwarding.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from pdns.fast.batch cimport Inbox, Outbox
from pdns.fast.in_flight cimport Flight
from pdns.fast.stats cimport BUCKETS_AT_MOST

cdef enum:
    MOST_QUERIES = 64  # on one socket
    MOST_IN_A_ROW = 8  # queries of one batch on one socket
    MOST_QUERY_BYTES = 320
    RANDOM_WORDS = 512


cdef class ReplyHandler:  # what takes the answers to questions in flight
    cdef int take(self, Flight flight, UdpSocket socket, const uint8_t *wire, Py_ssize_t size, double now) except -1
    cdef int taken(self, SocketSet socket_set, double now) except -1  # after each batch
    cdef punt(self, Flight flight, UdpSocket socket)  # the Attempt to go on with


cdef class UdpSocket:
    cdef readonly object server
    cdef readonly int live  # how many somebody waits for
    cdef readonly int used
    cdef readonly double opened_s
    cdef readonly double last_used_s
    cdef readonly SocketSet socket_set
    cdef object _pool
    cdef object _sock
    cdef int _fd
    cdef int _count
    cdef uint16_t _ids[MOST_QUERIES]
    cdef list _carried  # by the same places

    cdef int place_of(self, uint16_t query_id) noexcept nogil
    cdef uint16_t add(self, what, double now)
    cdef int forget(self, int place) except -1
    cdef int waiter_gone(self) except -1
    cdef int landed(self, Flight flight) except -1
    cdef int shed(self, Flight flight) except -1
    cdef int punt(self, Flight flight) except -1
    cdef int punt_due(self, double now) except -1


cdef class SocketSet:
    cdef object _loop, _epoll
    cdef object events
    cdef readonly object server
    cdef bint trusts_ad  # of the server
    cdef dict _sockets  # by descriptor
    cdef int _fd
    cdef Inbox _inbox
    cdef uint64_t _random[RANDOM_WORDS]
    cdef int _random_at
    cdef readonly int in_fast_forward  # questions in flight
    cdef public long long tick  # the last for which somebody will come to look for overdue questions
    cdef ReplyHandler carrier
    cdef object forwarder
    cdef Outbox outbox
    cdef bint joins  # the system cuts one message into datagrams
    # of the answers of a batch, in the forwarding kernel
    cdef uint64_t answers
    cdef double took_s
    cdef bint case_kept, saw_opt
    # where they are counted
    cdef bint has_slots
    cdef uint32_t ok_slot
    cdef uint32_t histogram[BUCKETS_AT_MOST + 1]

    cdef uint64_t draw(self) except? 0
    cdef Py_ssize_t below(self, Py_ssize_t bound) except -1
    cdef int _receive(self, UdpSocket socket, double now) except -1
