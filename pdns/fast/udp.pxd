"""DNS over UDP by the batch. What other kernels may do with a query that came in a datagram, and its listener."""

from libc.stdint cimport uint8_t, uint16_t

from pdns.fast.batch cimport BATCH, Inbox, Outbox, Peer
from pdns.fast.clients cimport ADDRESS_BYTES
from pdns.fast.fast_path cimport PendingQuery, FastPath, ParsedPacket
from pdns.fast.proxy_header cimport Balancers

cdef enum:
    MOST_ANSWER_BYTES = 4096  # the largest max_udp_answer_bytes


cdef class Datagram(PendingQuery):
    cdef Peer _peer  # where the answer goes
    cdef UdpListener _listener
    cdef readonly double started_s

    cdef int send_known(self, int source, double now) except -1


cdef class UdpListener:
    cdef object _sock, _service, _loop, _stats, _bugs, _own_host
    cdef FastPath _fast_path
    cdef Inbox _inbox
    cdef Outbox _outbox
    cdef Peer _peers[BATCH]
    cdef uint8_t _addresses[BATCH][ADDRESS_BYTES]  # of the clients
    cdef Balancers _balancers  # None: there are none
    cdef ParsedPacket _heard[BATCH]
    cdef int _fd
    cdef uint16_t _own_port
    cdef bint _reading, _collecting, _flush_planned

    cdef int _parse_batch(self, int count, int *sound) except -1
    cdef int _answer(self, int count) except -1
    cdef int _pass_on(self, int count) except -1
    cdef bint _is_sound(self, int at, Peer *peer) except -1
    cdef bint _unwrap(self, int at, uint8_t *client) except -1
    cdef int _queue(self, bytes wire, Peer *peer) except -1
    cdef uint8_t *_room(self, Py_ssize_t size)
    cdef int _send(self, Py_ssize_t size, Peer *peer) except -1
    cpdef _flush(self)
