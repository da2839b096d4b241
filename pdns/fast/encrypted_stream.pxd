"""One encrypted connection: its session, its socket, and what it holds."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t

from pdns.fast.clients cimport ADDRESS_BYTES, Known
from pdns.fast.handshakes cimport Handshake
from pdns.fast.tls cimport TlsContext

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        void *ptr
    cdef struct epoll_event:
        uint32_t events
        epoll_data_t data
    enum:
        EPOLLIN
        EPOLLOUT

cdef enum State:
    HEADER  # a PROXY header is awaited
    FRESH  # nothing has come
    SHAKING  # its handshake is with the thread
    SHAKES  # its handshake waits for the client
    OPEN
    LEAVING  # all is said; the client is to close
    GONE

cdef enum Sent:
    ALL_SENT
    SOME_WAITS
    SEND_FAILED


cdef struct Totals:  # of all connections
    Py_ssize_t held_bytes
    Py_ssize_t unsent_bytes


cdef class EncryptedStream:
    cdef object set  # the `EncryptedSet` that it is one of, which has what follows
    cdef bint polled_alone  # by the loop itself
    cdef int epoll
    cdef Totals *totals
    cdef TlsContext context
    cdef Handshake job  # with its SSL
    cdef State state
    cdef readonly int fd
    cdef int transport_number
    cdef readonly object transport
    cdef public object key  # what its client is known by
    cdef uint8_t client_at[ADDRESS_BYTES]
    cdef readonly uint16_t port
    cdef Known known
    cdef uint32_t epoch  # of `known`
    cdef readonly object credential
    cdef bint admits_by_name
    cdef object session  # of HTTP/2; None: DNS behind lengths
    cdef bytes path  # of DNS over HTTPS

    cdef uint32_t polled
    cdef uint8_t *held  # what came and is not taken up yet
    cdef Py_ssize_t held_bytes
    cdef uint8_t *unsent
    cdef Py_ssize_t unsent_at, unsent_bytes, unsent_room
    cdef int asked  # queries without an answer yet
    cdef double began_s, active_s, stalled_s  # stalled since; 0: it is not
    cdef bint has_asked, was_busy, active, dirty, waits, held_up, has_ready, has_unread, finishing, at_end, doomed

    cdef void wait_for(self, uint32_t wanted) noexcept  # EPOLLIN, EPOLLOUT; 0: not at all
    cdef bint keep(self, const uint8_t *at, Py_ssize_t size) noexcept  # False: no memory, or too much is held
    cdef bint holds_message(self) noexcept
    cdef bint keep_unsent(self, const uint8_t *at, Py_ssize_t size) noexcept  # False: no memory, or too much waits
    cdef Sent write(self, const uint8_t *at, Py_ssize_t size) noexcept  # what does not go waits
    cdef Sent send_unsent(self) noexcept
    cdef bint say_goodbye(self) noexcept  # and say no more; False: the client has closed already
    cdef bint has_closed(self) noexcept  # the client, once it was said goodbye; what it says is dropped
    cdef void reset_on_close(self) noexcept
    cdef void close(self) noexcept
