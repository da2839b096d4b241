"""Encrypted connections of clients, of one worker: their sockets, their handshakes, and how they end.

All of them are polled with one descriptor, of which the event loop has one reader.
"""

from libc.stdint cimport uint32_t

from pdns.fast.encrypted_stream cimport EncryptedStream, Totals, epoll_event
from pdns.fast.handshakes cimport HandshakeThread

cdef enum:
    EVENTS = 64


cdef class EncryptedSockets:
    cdef object _table, _loop, _stats, _bugs
    cdef HandshakeThread *_thread
    cdef int _epoll
    cdef epoll_event _events[EVENTS]
    cdef int _event_at, _event_count
    cdef EncryptedStream _alone  # polled by the loop itself; None: there is none
    cdef EncryptedStream _last
    cdef int _run  # of wake-ups that were for `_last` alone, or for others than `_alone`
    cdef bytes _name  # that a client asked for last; None: none did
    cdef object _named  # its credential
    cdef list _gone
    cdef set _streams
    cdef Totals _totals
    cdef bint _is_draining, _is_awake
    cdef int _shaking  # handshakes that are with the thread
    cdef double _drained_since_s

    cdef int _guarded(self, EncryptedStream s, uint32_t events) except -1
    cdef int _note_run(self) except -1
    cdef int _ready(self, EncryptedStream s, uint32_t events) except -1
    cdef bint _is_quiet(self, double now) noexcept  # no client asks now: `EncryptedSet` knows
    cdef int _shake(self, EncryptedStream s) except -1
    cdef int _take_back(self) except -1
    cdef int _shaken(self, EncryptedStream s) except -1
    cdef int _opened(self, EncryptedStream s) except -1
    cdef bint _has_had_grace(self, EncryptedStream s, double now) except -1
    cdef int _leave(self, EncryptedStream s) except -1
    cdef int _mark(self, EncryptedStream s, bint busy) except -1
    cdef int _end(self, EncryptedStream s, str reason) except -1
    cdef int _fail(self, EncryptedStream s, bint broken) except -1
    cdef int _close(self, EncryptedStream s) except -1
    cdef int _go_on(self, EncryptedStream s, bint writable) except -1  # an open one has something to read, or may write
    cpdef _flush(self)
