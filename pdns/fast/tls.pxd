"""TLS to clients: about ten functions behind which OpenSSL, of the system, stands. A session belongs to one thread at a time.

No function raises, waits or leaves an entry in OpenSSL's queue of errors. Sockets do not block, and SIGPIPE is ignored.
"""

from libc.stdint cimport uint8_t

from pdns.fast.openssl cimport SSL, SSL_CTX

cdef enum:
    FINGERPRINT_BYTES = 32  # SHA-256

cdef enum Progress:  # what a call came to; below zero for `tls_read` and `tls_write`
    DONE = 0
    WANTS_READ = -1
    WANTS_WRITE = -2
    ENDED = -3  # the peer has said all: close_notify, or the end of the stream
    FAILED = -4
    LOST = -5  # the connection is no more

cdef enum Protocol:  # ALPN
    NONE_CHOSEN
    DOT
    H2
    HTTP_1


cdef class TlsContext:
    cdef SSL_CTX *_context
    cdef readonly tuple admission  # which certificates of clients are asked for, trusted and revoked

    cdef SSL_CTX *lend(self) noexcept nogil  # with a reference more, which `tls_new` takes over


cdef SSL *tls_new(SSL_CTX *context, int fd, int *heard) noexcept nogil  # NULL: no memory; `heard` counts the handshake's messages
cdef Progress tls_handshake(SSL *ssl, int *reason) noexcept nogil  # `reason` of OpenSSL when it has FAILED, or 0
cdef bint tls_may_finish_here(SSL *ssl) noexcept nogil  # what is left of the handshake takes no longer than some queries
cdef int tls_read(SSL *ssl, uint8_t *out, int size) noexcept nogil
cdef int tls_write(SSL *ssl, const uint8_t *at, int size) noexcept nogil  # may take a part
cdef bint tls_has_more(SSL *ssl) noexcept nogil  # bytes that the socket no longer has
cdef void tls_say_goodbye(SSL *ssl) noexcept nogil  # close_notify
cdef void tls_free(SSL *ssl) noexcept nogil
cdef Protocol tls_protocol(SSL *ssl) noexcept nogil
cdef const char *tls_server_name(SSL *ssl) noexcept nogil  # as the client sent it; NULL: none
cdef bint tls_client_fingerprint(SSL *ssl, uint8_t *out) noexcept nogil  # of a verified certificate; False: there is none
