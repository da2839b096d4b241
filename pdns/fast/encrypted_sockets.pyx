"""Sockets of encrypted connections: handshakes, and how connections end. `encrypted_sockets.pxd` has the contract."""

# specification: pdns/reference/encrypted_stream.py:answers

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, errno
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport strcmp

from pdns.fast.batch cimport MAX_ADDRESS_BYTES, Peer, address_of, port_of, socklen_t
from pdns.fast.clients cimport ADDRESS_BYTES, text_of
from pdns.fast.clock cimport clock_s
from pdns.fast.encrypted_stream cimport EPOLLIN, EPOLLOUT, FRESH, GONE, HEADER, LEAVING, OPEN, SHAKES, SHAKING, EncryptedStream
from pdns.fast.handshakes cimport Handshake, free_thread, next_left, run_handshake, start_thread, stop_thread, submit, take_done
from pdns.fast.openssl cimport SSL_R_NO_APPLICATION_PROTOCOL
from pdns.fast.stats cimport HTTPS, TLS
from pdns.fast.tls cimport (
    DONE, FINGERPRINT_BYTES, WANTS_READ, WANTS_WRITE, TlsContext, tls_client_fingerprint,
    tls_may_finish_here, tls_server_name,
)

from pdns.core.credentials import NO_CREDENTIAL, Credential
from pdns.wire.proxy_header import UNFINISHED
from pdns.wire.transport import Transport

cdef extern from "<sys/epoll.h>" nogil:
    int EPOLL_CLOEXEC, EPOLL_CTL_ADD
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int what, int fd, epoll_event *event)
    int epoll_wait(int epoll, epoll_event *events, int most, int timeout)

cdef extern from "<sys/socket.h>" nogil:
    int SHUT_RDWR, MSG_DONTWAIT, MSG_PEEK, SOCK_NONBLOCK, SOCK_CLOEXEC
    int shutdown(int fd, int how)
    cdef struct sockaddr:
        pass
    int accept4(int fd, sockaddr *name, socklen_t *size, int flags)
    ssize_t recv(int fd, void *at, size_t size, int flags)

cdef extern from "<unistd.h>" nogil:
    int close_fd "close"(int fd)

cdef enum:
    LONG_RUN = 16  # wake-ups

cdef double _TURN_S = 0.001  # of all connections, after which the rest of the program goes on
cdef double _LEAVING_S = 1.0  # that a client is given to close
cdef double _GRACE_S = 1.0  # that one is given to ask its first question at the end
cdef dict _NUMBERS = {Transport.TLS: TLS, Transport.HTTPS: HTTPS}


cdef object credential_of(bytes fingerprint, const char *name, bint admits_by_name):
    return Credential(fingerprint, b"", "" if name == NULL else name.decode("ascii", "replace").lower().rstrip("."), bool(admits_by_name))


cdef class EncryptedSockets:

    def __init__(self, table, loop, stats, bugs):
        cdef epoll_event event
        self._table, self._loop, self._stats, self._bugs = table, loop, stats, bugs
        self._streams, self._gone = set(), []
        self._epoll = epoll_create1(EPOLL_CLOEXEC)
        self._thread = start_thread()
        if self._thread == NULL or self._epoll < 0:
            raise OSError("no thread, or no epoll instance")
        event.events, event.data.ptr = EPOLLIN, NULL
        epoll_ctl(self._epoll, EPOLL_CTL_ADD, self._thread.eventfd, &event)
        loop.add_reader(self._epoll, self.wake)

    def __len__(self):
        return len(self._streams)

    def add(
        self, int fd, str address not None, int port, TlsContext context not None, transport, key, *, bint admits_by_name=False,
        bint awaits_header=False, bytes path=b"",
    ):
        """Take over the connected socket `fd`, of the client at `address`."""
        cdef EncryptedStream s = EncryptedStream.__new__(EncryptedStream)
        s.set, s.epoll, s.totals, s.context, s.fd, s.key, s.port = self, self._epoll, &self._totals, context, fd, key, port
        s.transport, s.transport_number, s.admits_by_name, s.credential = transport, _NUMBERS[transport], admits_by_name, NO_CREDENTIAL
        s.path = path
        s.speak_for(address)
        s.state = HEADER if awaits_header else FRESH
        s.job.owner, s.job.fd = <void *>s, fd
        s.began_s = s.active_s = clock_s()
        self._streams.add(s)
        s.wait_for(EPOLLIN)
        return s

    def accept(self, int listening):
        """The descriptor of the next connection of a listening socket, the client's address and port; None: there is none now.

        Raises `OSError`.
        """
        cdef Peer peer
        cdef socklen_t size = MAX_ADDRESS_BYTES
        cdef uint8_t address[ADDRESS_BYTES]
        cdef int fd = accept4(listening, <sockaddr *>peer.name, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if fd < 0:
            if errno in (EAGAIN, ECONNABORTED, EINTR):  # another worker was faster, or the client has gone
                return None
            raise OSError(errno, "accept")
        peer.name_bytes = <uint8_t>size
        address_of(&peer, address)
        return fd, text_of(address), port_of(&peer)

    def begin(self, EncryptedStream s not None):
        """Take up what came together with the connection."""
        cdef uint8_t first
        if s.state == FRESH and recv(s.fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1:
            self._guarded(s, EPOLLIN)

    def wake(self):
        """Go on with the connections that have something, for a millisecond."""
        cdef double ends_s
        cdef epoll_event *event
        if self._event_at == self._event_count:
            self._gone.clear()
            self._event_at, self._event_count = 0, epoll_wait(self._epoll, self._events, EVENTS, 0)
            if self._event_count < 0:
                self._event_count = 0
            self._note_run()
        ends_s = clock_s() + _TURN_S
        self._is_awake = True
        try:
            while self._event_at < self._event_count:
                event = &self._events[self._event_at]
                self._event_at += 1
                if event.data.ptr == NULL:
                    self._take_back()
                else:
                    self._guarded(<EncryptedStream>event.data.ptr, event.events)
                if clock_s() >= ends_s:
                    break
        finally:
            self._is_awake = False
            self._flush()

    cdef int _note_run(self) except -1:
        """A connection that is busy alone is polled by the loop itself: two descriptors to ask cost a query as much as its answer."""
        cdef EncryptedStream s
        if self._alone is not None:
            self._run += 1
            if self._run > LONG_RUN:
                self.watch_together(self._alone)
        elif self._event_count == 1 and self._events[0].data.ptr != NULL:
            s = <EncryptedStream>self._events[0].data.ptr
            if s is not self._last:
                self._last, self._run = s, 0
            elif s.state == OPEN and s.polled == EPOLLIN:
                self._run += 1
                if self._run > LONG_RUN:
                    s.wait_for(0)
                    s.polled, s.polled_alone = EPOLLIN, True
                    self._alone, self._last, self._run = s, None, 0
                    self._loop.add_reader(s.fd, self._wake_alone)
        return 0

    def _wake_alone(self):
        cdef EncryptedStream s = self._alone
        if s is None:
            return
        self._run = 0
        self._is_awake = True
        try:
            self._guarded(s, EPOLLIN)
        finally:
            self._is_awake = False
            self._flush()

    def watch_together(self, EncryptedStream s not None):
        """With the others, again."""
        cdef uint32_t wanted = s.polled
        self._loop.remove_reader(s.fd)
        s.polled, s.polled_alone = 0, False
        self._alone, self._run = None, 0
        s.wait_for(wanted)

    cdef int _guarded(self, EncryptedStream s, uint32_t events) except -1:
        try:
            self._ready(s, events)
        except Exception as error:
            self._bugs.caught(error, "an encrypted connection")
            self._end(s, "internal_error")
        return 0

    cdef int _ready(self, EncryptedStream s, uint32_t events) except -1:
        if s.state == OPEN:
            self._go_on(s, events & EPOLLOUT)
        elif s.state == FRESH or s.state == SHAKES:
            self._shake(s)
        elif s.state == HEADER:
            self._table.header_arrived(s)
        elif s.state == LEAVING and s.has_closed():
            self._close(s)
        return 0

    # handshakes

    cdef int _shake(self, EncryptedStream s) except -1:
        if s.state == FRESH:
            if not self._table.may_shake(s):
                return 0
            s.job.context = s.context.lend()
            if self._shaking == 0 and self._is_quiet(clock_s()):
                run_handshake(&s.job)
                return self._shaken(s)
        elif tls_may_finish_here(s.job.ssl):
            run_handshake(&s.job)
            return self._shaken(s)
        s.state = SHAKING
        s.wait_for(0)
        Py_INCREF(s)
        self._shaking += 1
        submit(self._thread, &s.job)
        return 0

    cdef int _take_back(self) except -1:
        cdef Handshake *one = take_done(self._thread)
        cdef EncryptedStream s
        while one != NULL:
            s = <EncryptedStream>one.owner
            one = one.next
            Py_DECREF(s)
            self._shaking -= 1
            try:
                self._shaken(s)
            except Exception as error:
                self._bugs.caught(error, "a handshake")
                self._end(s, "internal_error")
        return 0

    cdef int _shaken(self, EncryptedStream s) except -1:
        s.state = SHAKES
        if s.doomed:
            return self._close(s)
        if s.job.progress == WANTS_READ or s.job.progress == WANTS_WRITE:
            s.wait_for(EPOLLIN if s.job.progress == WANTS_READ else EPOLLOUT)
            return 0
        self._table.shaken(s)
        if s.job.progress == DONE:
            return self._opened(s)
        self._stats.dropped(
            "encrypted_no_protocol" if s.job.reason == SSL_R_NO_APPLICATION_PROTOCOL else "encrypted_handshake_failed"
        )
        return self._close(s)

    cdef int _opened(self, EncryptedStream s) except -1:
        cdef uint8_t fingerprint[FINGERPRINT_BYTES]
        cdef const char *name = tls_server_name(s.job.ssl)
        cdef bint has_certificate = tls_client_fingerprint(s.job.ssl, fingerprint)
        s.state, s.active_s, s.job.heard = OPEN, clock_s(), 0
        if has_certificate:
            s.credential = credential_of(PyBytes_FromStringAndSize(<char *>fingerprint, FINGERPRINT_BYTES), name, s.admits_by_name)
        elif name != NULL:
            if self._name is None or strcmp(name, PyBytes_AS_STRING(self._name)) or self._named.admits_by_name != s.admits_by_name:
                self._name, self._named = name, credential_of(b"", name, s.admits_by_name)
            s.credential = self._named
        return self._go_on(s, False)

    # the end

    cdef int _leave(self, EncryptedStream s) except -1:
        """Close in peace: the client has everything before it hears that."""
        self._mark(s, False)
        if not s.say_goodbye() or self._is_draining:
            return self._close(s)
        s.state, s.active_s = LEAVING, clock_s()
        s.wait_for(EPOLLIN)
        return 0

    cdef int _mark(self, EncryptedStream s, bint busy) except -1:
        if s.was_busy != busy:
            s.was_busy = busy
            self._table.mark(s, busy=busy)
        return 0

    cdef int _end(self, EncryptedStream s, str reason) except -1:
        if s.state == GONE or s.doomed:
            return 0
        self._stats.dropped(reason)
        s.reset_on_close()
        if s.state == SHAKING:  # it is the thread's
            s.doomed = True
            shutdown(s.fd, SHUT_RDWR)
            self._table.left(s)
            return 0
        return self._close(s)

    cdef int _fail(self, EncryptedStream s, bint broken) except -1:
        """It is of no use any more: the client has gone, or has `broken` TLS."""
        return self._end(s, "encrypted_broken") if broken else self._close(s)

    cdef int _close(self, EncryptedStream s) except -1:
        if s.state == GONE:
            return 0
        s.close()
        self._streams.discard(s)
        self._gone.append(s)  # an event of it may be next
        if not s.doomed:
            self._table.left(s)
        return 0

    def end(self, EncryptedStream s not None, str reason not None):
        """End it now, leaving nothing in the kernel either; count why."""
        self._end(s, reason)

    def part_with(self, tuple admission not None):
        """End the connections whose contexts have `admission`: those that are open in peace, once all they asked is answered."""
        cdef EncryptedStream s
        for s in list(self._streams):
            if s.context.admission != admission:
                continue
            if s.state != OPEN:
                self._end(s, "encrypted_handshake_refused")
            elif s.was_busy or s.unsent_bytes:
                s.finishing = True
            else:
                self._leave(s)

    def sweep(self, limits not None, double idle_limit_s):
        """End what is idle or slow, by a `pdns.net.encrypted_limits.EncryptedLimits`. Only whole messages count as activity."""
        cdef double now = clock_s(), handshake_s = limits.handshake_timeout_s, idle_s = limits.idle_timeout_s
        cdef double answer_s = limits.answer_deadline_s
        cdef EncryptedStream s
        for s in list(self._streams):
            if self._is_draining and not s.has_asked and self._has_had_grace(s, now):
                s.has_asked = True
                self._guarded(s, EPOLLIN)
                if s.state == HEADER or s.state == FRESH:
                    self._close(s)
            elif s.state == LEAVING:
                if now - s.active_s >= _LEAVING_S:
                    self._close(s)
            elif s.state != OPEN:
                if now - s.began_s >= handshake_s and not s.doomed:
                    self._end(s, UNFINISHED if s.state == HEADER else "encrypted_handshake_timeout")
            elif s.stalled_s:
                if now - s.stalled_s >= idle_s:
                    self._end(s, "encrypted_slow_reader")
            elif s.was_busy:
                if now - s.active_s >= answer_s:
                    self._end(s, "encrypted_unanswered")
            elif now - s.active_s >= idle_limit_s:
                if s.held_bytes:
                    self._stats.dropped("encrypted_unfinished_message")
                self._leave(s)

    def drain(self):
        """Take up what has come, answer it, and close each connection that has asked something once all of that is answered.
        `sweep` closes the others a second after their handshake."""
        cdef EncryptedStream s
        self._is_draining, self._drained_since_s = True, clock_s()
        for s in list(self._streams):
            if s.state == OPEN:
                self._guarded(s, EPOLLIN)
            elif s.state == LEAVING:
                self._close(s)
        self._flush()

    cdef bint _has_had_grace(self, EncryptedStream s, double now) except -1:
        cdef double since_s = s.active_s if s.active_s > self._drained_since_s else self._drained_since_s
        return (s.state == OPEN or s.state == HEADER or s.state == FRESH) and now - since_s >= _GRACE_S

    def close(self):
        """End every connection, and the thread."""
        cdef EncryptedStream s
        cdef Handshake *one
        if self._thread == NULL:
            return
        self._loop.remove_reader(self._epoll)
        stop_thread(self._thread)
        one = next_left(self._thread)
        while one != NULL:
            s = <EncryptedStream>one.owner
            Py_DECREF(s)
            s.state = SHAKES
            if s.doomed:
                self._close(s)
            one = next_left(self._thread)
        free_thread(self._thread)
        self._thread = NULL
        for s in list(self._streams):
            self._end(s, "encrypted_shutdown")
        close_fd(self._epoll)
        self._event_at = self._event_count = 0
        self._gone.clear()

    # messages: `EncryptedSet` has them

    cdef int _go_on(self, EncryptedStream s, bint writable) except -1:
        return 0

    cdef bint _is_quiet(self, double now) noexcept:
        return False

    cpdef _flush(self):
        pass
