"""DNS over HTTPS on one HTTP/2 connection (RFC 9113, RFC 8484): bytes in, bytes out. No I/O, and no clock: `now_s` is set by its owner.

The owner feeds `receive`, takes every `next_request`, and calls `respond` or `refuse` once for each, also when it says that the stream
is gone: until then the stream counts as being processed. It writes what is `pending` until there is nothing more, and ends the
connection when `reason` is not `H2_GOES_ON`.
"""

from libc.stdint cimport int32_t, uint8_t, uint32_t

from pdns.fast.http2_state cimport Http2State, Http2Stream, Http2Totals
from pdns.fast.nghttp2 cimport nghttp2_option, nghttp2_session_callbacks, ssize_t

cdef enum:
    OUTPUT_BYTES = 65536  # at most that many are pending at a time


cdef struct HttpRequest:  # good until it is answered or the stream is gone
    int32_t stream
    const uint8_t *message
    Py_ssize_t size
    const uint8_t *token  # of the path
    Py_ssize_t token_bytes  # 0: none


cdef class Http2Limits:
    """Common to all sessions of a process."""
    cdef Http2Totals totals
    cdef nghttp2_option *_option
    cdef nghttp2_session_callbacks *_callbacks


cdef class Http2Session:
    cdef Http2State _state
    cdef Http2Limits _limits
    cdef bytes _base_path

    cdef int receive(self, const uint8_t *data, Py_ssize_t size) except -1  # 0, or a reason why the connection must end now
    cdef bint next_request(self, HttpRequest *out) noexcept nogil
    cdef bint respond(self, int32_t stream, const uint8_t *answer, Py_ssize_t size, uint32_t ttl_s) noexcept nogil  # False: it is gone
    cdef bint refuse(self, int32_t stream, int status) noexcept nogil
    cdef Py_ssize_t pending(self, const uint8_t **out) noexcept nogil  # bytes to write, good until the next call of any session; 0: none
    cdef void goaway(self) noexcept nogil  # open no more streams
    cdef int sweep(self, double now_s) noexcept nogil  # as `receive`, for what takes too long
    cdef bint is_idle(self) noexcept nogil
    cdef void fail(self, ssize_t error) noexcept nogil
    cdef Http2Stream *taken(self, int32_t number) noexcept nogil
    cdef Py_ssize_t farewell(self) noexcept nogil
