"""Encrypted connections, those over HTTP/2 too: hits are answered without a Python object, misses on their streams."""

from libc.stdint cimport int32_t, uint8_t, uint32_t

from pdns.fast.clients cimport Known
from pdns.fast.doh cimport MAX_TOKEN_BYTES
from pdns.fast.encrypted cimport EncryptedSet
from pdns.fast.encrypted_stream cimport EncryptedStream
from pdns.fast.http2 cimport Http2Limits, Http2Session, HttpRequest


cdef class HttpsSession(Http2Session):
    cdef Known known  # who has the token that was shown last
    cdef bint is_known  # False: that token is unknown, or was revoked
    cdef uint32_t epoch  # of `known`
    cdef Py_ssize_t token_bytes  # 0: none was shown
    cdef uint8_t token[MAX_TOKEN_BYTES]


cdef class HttpsSet(EncryptedSet):
    cdef Http2Limits _limits

    cdef int _take(self, EncryptedStream s, HttpsSession session, int *budget) except -1
    cdef int _ask(self, EncryptedStream s, HttpsSession session, const HttpRequest *request, double now) except -1
    cdef const Known *_who(self, EncryptedStream s, HttpsSession session, const HttpRequest *request) except? NULL
    cdef int _pump(self, EncryptedStream s, HttpsSession session) except -1
    cdef int _over(self, EncryptedStream s, HttpsSession session) except -1
