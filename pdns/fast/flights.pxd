"""Questions on their way upstream, and who waits for each: the compiled twin of `pdns.core.flights`."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from pdns.fast.udp cimport Datagram
from pdns.fast.wire cimport MAX_QUESTION_BYTES


cdef class Flight:
    cdef readonly bytes key
    cdef public object forward  # None in the lane, which needs no more of it than the key
    cdef public bint stale_given
    cdef public double started_s
    cdef object _first  # who waits, while it is only one: a Datagram, or what Python joined
    cdef dict _waiters  # by place, when there are more
    # What the lane knows of the query that it sent.
    cdef uint64_t stamp  # of the rules by which the question may be asked
    cdef double sent_s
    cdef double due_s
    cdef uint16_t query_id
    cdef bint exact  # its case is part of what must match
    cdef uint16_t section_bytes
    cdef uint8_t section[MAX_QUESTION_BYTES]  # the question as sent

    cdef bint has_only_datagrams(self) noexcept


cdef class Flights:
    cdef dict _flights
    cdef dict _per_client
    cdef Py_ssize_t _max_flights
    cdef Py_ssize_t _max_per_client
    cdef bytes _last_client  # most queries come after one of the same client

    cdef Flight of(self, bytes key)
    cdef bint has_room(self, Datagram query) except -1
    cdef Flight begin(self, bytes key, double now)
    cdef bint wait(self, Flight flight, Datagram query) except -1
    cdef list leave(self, Flight flight)
    cdef list end(self, Flight flight)
    cdef bytes _client_of(self, waiter)
    cdef bint _join(self, Flight flight, int port, waiter) except -1
    cdef int _count(self, waiter) except -1
