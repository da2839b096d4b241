"""One encrypted connection. `encrypted_stream.pxd` has the contract."""

# specification: pdns/reference/encrypted_stream.py:answers

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from pdns.fast.clients cimport ADDRESS_BYTES, packed, text_of
from pdns.fast.clock cimport clock_s
from pdns.fast.tls cimport WANTS_READ, WANTS_WRITE, tls_free, tls_say_goodbye, tls_write
from pdns.fast.wire cimport u16

from pdns.net.stream import MAX_UNSENT_BYTES, RESET_ON_CLOSE

cdef extern from "<sys/epoll.h>" nogil:
    enum:
        EPOLL_CTL_ADD
        EPOLL_CTL_DEL
        EPOLL_CTL_MOD
    int epoll_ctl(int epoll, int what, int fd, epoll_event *event)

cdef extern from "<sys/socket.h>" nogil:
    enum:
        MSG_DONTWAIT
        SHUT_WR
        SOL_SOCKET
        SO_LINGER
    ssize_t recv(int fd, void *at, size_t size, int flags)
    int shutdown(int fd, int how)
    int setsockopt(int fd, int level, int name, const void *value, unsigned int size)

cdef extern from "<unistd.h>" nogil:
    int close_fd "close"(int fd)

cdef enum:
    MOST_HELD_BYTES = 8388608  # of all connections; beyond it only what is small is held
    SMALL_BYTES = 2048
    MOST_ALL_UNSENT_BYTES = 67108864  # of all connections
    LEAST_ROOM = 1024
    MOST_WRITTEN = 1073741824

cdef Py_ssize_t _MOST_UNSENT_BYTES = MAX_UNSENT_BYTES
cdef bytes _RESET = RESET_ON_CLOSE
cdef uint8_t _waste[16384]


cdef class EncryptedStream:

    def __dealloc__(self):
        free(self.held)
        free(self.unsent)

    @property
    def is_busy(self):
        """Whether it waits for an answer."""
        return bool(self.was_busy)

    @property
    def was_active(self):
        """Whether a whole message came or went since this was last read."""
        cdef bint was = self.active
        self.active = False
        return bool(was)

    @property
    def address(self):
        """Of its client, as text without scope."""
        return text_of(self.client_at)

    def speak_for(self, str address not None):
        """Its client is at `address`, as a load balancer says."""
        memcpy(self.client_at, PyBytes_AS_STRING(packed(address)), ADDRESS_BYTES)

    def header_taken(self):
        """What comes from now on is the client's."""
        self.state = FRESH

    cdef void wait_for(self, uint32_t wanted) noexcept:
        cdef epoll_event event
        if wanted == self.polled:
            return
        if self.polled_alone:
            self.set.watch_together(self)
        event.events, event.data.ptr = wanted, <void *>self
        # a descriptor that nothing is wanted of is taken out: the kernel would go on to report errors of it
        epoll_ctl(self.epoll, EPOLL_CTL_MOD if wanted and self.polled else EPOLL_CTL_ADD if wanted else EPOLL_CTL_DEL, self.fd, &event)
        self.polled = wanted

    cdef bint keep(self, const uint8_t *at, Py_ssize_t size) noexcept:
        self.totals.held_bytes += size - self.held_bytes
        free(self.held)
        self.held, self.held_bytes = NULL, size
        if size == 0:
            return True
        if size > SMALL_BYTES and self.totals.held_bytes > MOST_HELD_BYTES:
            self.totals.held_bytes -= size
            self.held_bytes = 0
            return False
        self.held = <uint8_t *>malloc(size)
        if self.held == NULL:
            self.totals.held_bytes -= size
            self.held_bytes = 0
            return False
        memcpy(self.held, at, size)
        return True

    cdef bint holds_message(self) noexcept:
        return self.has_ready or self.held_bytes >= 2 and self.held_bytes - 2 >= u16(self.held)

    cdef bint keep_unsent(self, const uint8_t *at, Py_ssize_t size) noexcept:
        cdef Py_ssize_t wanted = self.unsent_bytes + size
        cdef uint8_t *grown
        if wanted > _MOST_UNSENT_BYTES or self.totals.unsent_bytes + size > MOST_ALL_UNSENT_BYTES:
            return False
        if self.unsent_at + wanted > self.unsent_room:
            if wanted < LEAST_ROOM:
                wanted = LEAST_ROOM
            grown = <uint8_t *>malloc(2 * wanted)
            if grown == NULL:
                return False
            if self.unsent_bytes:
                memcpy(grown, self.unsent + self.unsent_at, self.unsent_bytes)
            free(self.unsent)
            self.unsent, self.unsent_at, self.unsent_room = grown, 0, 2 * wanted
        memcpy(self.unsent + self.unsent_at + self.unsent_bytes, at, size)
        self.unsent_bytes += size
        self.totals.unsent_bytes += size
        return True

    cdef Sent write(self, const uint8_t *at, Py_ssize_t size) noexcept:
        cdef Py_ssize_t done = 0
        cdef int sent
        while done < size and self.unsent_bytes == 0:
            sent = tls_write(self.job.ssl, at + done, <int>(size - done))
            if sent > 0:
                done += sent
            elif sent == WANTS_WRITE or sent == WANTS_READ:
                self.stalled_s = clock_s()
                break
            else:
                return SEND_FAILED
        if done == size:
            return ALL_SENT
        return SOME_WAITS if self.keep_unsent(at + done, size - done) else SEND_FAILED

    cdef Sent send_unsent(self) noexcept:
        cdef int sent
        while self.unsent_bytes:
            sent = tls_write(self.job.ssl, self.unsent + self.unsent_at, <int>self.unsent_bytes)
            if sent == WANTS_WRITE or sent == WANTS_READ:
                if self.stalled_s == 0.0:
                    self.stalled_s = clock_s()
                return SOME_WAITS
            if sent <= 0:
                return SEND_FAILED
            self.unsent_at += sent
            self.unsent_bytes -= sent
            self.totals.unsent_bytes -= sent
            if self.stalled_s:
                self.stalled_s = clock_s()
        free(self.unsent)
        self.unsent, self.unsent_at, self.unsent_room = NULL, 0, 0
        self.stalled_s = 0.0
        return ALL_SENT

    cdef bint say_goodbye(self) noexcept:
        tls_say_goodbye(self.job.ssl)
        tls_free(self.job.ssl)
        self.job.ssl = NULL
        if self.at_end:
            return False
        shutdown(self.fd, SHUT_WR)
        return not self.has_closed()

    cdef bint has_closed(self) noexcept:
        cdef int turn
        cdef ssize_t got
        for turn in range(4):
            got = recv(self.fd, _waste, sizeof(_waste), MSG_DONTWAIT)
            if got == 0:
                return True
            if got < 0:
                return False
        return False

    cdef void reset_on_close(self) noexcept:
        setsockopt(self.fd, SOL_SOCKET, SO_LINGER, PyBytes_AS_STRING(_RESET), 8)

    cdef void close(self) noexcept:
        if self.polled_alone:
            self.set.watch_together(self)
        self.polled = 0  # what is closed leaves the epoll set
        if self.job.ssl != NULL:
            tls_free(self.job.ssl)
            self.job.ssl = NULL
        self.keep(NULL, 0)
        self.totals.unsent_bytes -= self.unsent_bytes
        free(self.unsent)
        self.unsent, self.unsent_bytes = NULL, 0
        self.session = None
        close_fd(self.fd)
        self.state = GONE
