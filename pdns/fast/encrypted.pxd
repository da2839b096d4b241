"""What clients ask over encrypted connections, and its answers.

What the fast path can answer is answered here, without a Python object; a miss becomes a `StreamQuery`.
"""

from libc.stdint cimport int32_t, uint8_t, uint64_t

from pdns.fast.cache_record cimport SOURCE_COUNT
from pdns.fast.encrypted_sockets cimport EncryptedSockets
from pdns.fast.encrypted_stream cimport EncryptedStream
from pdns.fast.fast_path cimport FastPath, PendingQuery

cdef enum:
    READ_BYTES = 16384  # a record
    IN_BYTES = 98304  # a message that lacks one byte, with its length, and a record
    OUT_BYTES = 131072
    FRAME_BYTES = 65537


cdef class StreamQuery(PendingQuery):
    cdef EncryptedStream _stream
    cdef EncryptedSet _set
    cdef int32_t place  # where the answer goes: the stream of HTTP/2, 0 without
    cdef bint _answered
    cdef readonly double started_s


cdef class EncryptedSet(EncryptedSockets):
    cdef object _service
    cdef FastPath _fast_path
    cdef uint8_t *_in
    cdef uint8_t *_out
    cdef Py_ssize_t _out_bytes  # for the stream whose turn it is
    cdef uint64_t _answered[SOURCE_COUNT]
    cdef list _undecided, _dirty
    cdef bint _is_flush_planned
    cdef uint64_t _parsed  # `FastPath.parsed` when it was last looked at
    cdef double _asked_s  # when a client last asked that had done so before
    cdef public bint pads
    cdef public int max_outstanding

    cdef int _identify(self, EncryptedStream s) except -1
    cdef bint _may_go_on(self, EncryptedStream s) noexcept
    cdef int _serve(self, EncryptedStream s, int budget) except -1
    cdef int _read(self, EncryptedStream s, int *budget) except -1
    cdef Py_ssize_t _consume(self, EncryptedStream s, const uint8_t *data, Py_ssize_t size, int *budget) except -1
    cdef int _answer(self, EncryptedStream s, const uint8_t *wire, Py_ssize_t size, int32_t place) except -1
    cdef int _decide(self) except -1
    cdef int _reply(self, EncryptedStream s, bytes wire, int32_t place) except -1
    cdef int _write_out(self, EncryptedStream s) except -1
    cdef int _send_unsent(self, EncryptedStream s) except -1
    cdef int _mark_dirty(self, EncryptedStream s) except -1
    cdef int _settle(self, EncryptedStream s) except -1
    cdef int _wait(self, EncryptedStream s) except -1
