"""DNS over UDP by the batch. What other kernels may do with a query that came in a datagram, and its listener."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from pdns.fast.batch cimport BATCH, Inbox, Outbox, Peer
from pdns.fast.cache_record cimport SOURCE_COUNT
from pdns.fast.clients cimport ADDRESS_BYTES
from pdns.fast.fast_path cimport PendingQuery, FastPath, ParsedPacket
from pdns.fast.proxy_header cimport Balancers

cdef enum:
    MOST_ANSWER_BYTES = 4096  # the largest max_udp_answer_bytes
    MOST_SPARE = 256  # datagrams that are kept for queries to come


cdef class Datagram(PendingQuery):
    cdef Peer _peer  # where the answer goes
    cdef UdpListener _listener
    cdef readonly double started_s

    cdef int send_known(self, int source, double now) except -1


cdef class CleanQueries:
    """Queries of one batch whose names no feed lists: an upstream is to be asked. They are places in what their listener has read,
    and good until it reads the next batch."""
    cdef UdpListener listener
    cdef int count
    cdef int places[BATCH]  # of `_heard`, `_peers` and `_addresses` of the listener
    cdef double started_s

    cdef Datagram datagram(self, int number)  # the same, to keep


cdef class UdpListener:
    cdef object _sock, _service, _loop, _stats, _bugs, _own_host
    cdef FastPath _fast_path
    cdef Inbox _inbox
    cdef Outbox _outbox
    cdef Peer _peers[BATCH]
    cdef uint8_t _addresses[BATCH][ADDRESS_BYTES]  # of the clients
    cdef Balancers _balancers  # None: there are none
    cdef ParsedPacket _heard[BATCH]
    cdef uint64_t _answered[SOURCE_COUNT]  # of the batch
    cdef list _undecided  # of the batch, as `Datagram`
    cdef list _spare  # that were answered, for queries to come
    cdef CleanQueries _clean
    cdef int _fd
    cdef uint16_t _own_port
    cdef bint _reading, _collecting, _flush_planned

    cdef int _parse_batch(self, int count, int *sound) except -1
    cdef int _answer(self, int count) except -1
    cdef int _take_all(self, int count, double now, int *unknown) except -1
    cdef int _look_at(self, const int *unknown, int count, double now) except -1
    cdef Datagram _datagram(self, int at, Py_ssize_t decide, double started_s)
    cdef int answered(self, Datagram datagram) except -1
    cdef int _pass_on(self, int count) except -1
    cdef bint _is_sound(self, int at, Peer *peer) except -1
    cdef bint _unwrap(self, int at, uint8_t *client) except -1
    cdef int _queue(self, bytes wire, Peer *peer) except -1
    cdef uint8_t *_room(self, Py_ssize_t size)
    cdef int _send(self, Py_ssize_t size, Peer *peer) except -1
    cpdef _flush(self)
