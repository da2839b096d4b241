"""DNS over HTTPS on the encrypted connections of a worker. `https.pxd` has the contract."""

# specification: pdns/wire/doh.py:read_request

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.string cimport memcmp, memcpy

from pdns.fast.clock cimport clock_s
from pdns.fast.doh cimport max_age_of
from pdns.fast.encrypted cimport EncryptedSet, StreamQuery
from pdns.fast.encrypted_stream cimport OPEN, SEND_FAILED
from pdns.fast.fast_path cimport MAX_TCP_BYTES, ParsedPacket
from pdns.fast.http2_state cimport FIRST_STATUS, H2_DONE, STATUSES
from pdns.fast.padding cimport pad
from pdns.fast.stats cimport HTTPS
from pdns.fast.tls cimport ENDED, WANTS_READ, WANTS_WRITE, tls_has_more, tls_read
from pdns.fast.wire cimport SOUND

from pdns.fast.http2 import REASONS

cdef enum:
    MISS_COST = 32
    HTTP_READ_BYTES = 4096  # some hundred requests at most: others wait meanwhile
    MOST_HEARD = 64  # messages of TLS itself, after the handshake
    DEFAULT_STREAMS = 100

cdef uint8_t _answer[MAX_TCP_BYTES]  # one at a time


cdef class HttpsSession(Http2Session):
    """The session of one connection."""


cdef class HttpsSet(EncryptedSet):
    """As `EncryptedSet`, for TLS and HTTPS."""

    def __init__(self, *args):
        EncryptedSet.__init__(self, *args)
        self._limits = Http2Limits(DEFAULT_STREAMS)

    def limit_streams(self, uint32_t max_streams):
        """New connections may have so many streams at a time."""
        if max_streams != self._limits.totals.max_streams:
            self._count_refusals()
            self._limits = Http2Limits(max_streams)

    cdef int _opened(self, EncryptedStream s) except -1:
        if s.transport_number == HTTPS:
            s.session = HttpsSession(self._limits, s.path, clock_s())
        return EncryptedSet._opened(self, s)

    cdef int _read(self, EncryptedStream s, int *budget) except -1:
        cdef HttpsSession session
        cdef int got
        cdef bint has_unread = True
        if s.session is None:
            return EncryptedSet._read(self, s, budget)
        session = <HttpsSession>s.session
        session._state.now_s = clock_s()
        self._take(s, session, budget)
        while budget[0] > 0 and not s.finishing and self._may_go_on(s):
            got = tls_read(s.job.ssl, self._in, HTTP_READ_BYTES)
            if got > 0:
                if session.receive(self._in, got):
                    break
                if session._state.refused:
                    budget[0] -= session._state.refused
                    self._refused(s, session)
                self._take(s, session, budget)
                if not tls_has_more(s.job.ssl):
                    break  # no system call to hear that there is nothing
            elif got == ENDED:
                s.finishing = s.at_end = True
            elif got == WANTS_READ or got == WANTS_WRITE:
                has_unread = False
                break
            else:
                return self._end(s, "encrypted_broken")
        s.has_unread = has_unread and tls_has_more(s.job.ssl)
        if s.job.heard > MOST_HEARD:
            return self._end(s, "encrypted_key_updates")
        return self._pump(s, session)

    cdef int _take(self, EncryptedStream s, HttpsSession session, int *budget) except -1:
        """Take up the requests that are whole."""
        cdef HttpRequest request
        cdef double now = session._state.now_s
        if s.epoch != self._fast_path.clients_epoch:
            self._identify(s)
        while budget[0] > 0 and self._may_go_on(s) and session.next_request(&request):
            budget[0] -= self._ask(s, session, &request, now)
        s.has_ready = session._state.ready != NULL
        return 0

    cdef const Known *_who(self, EncryptedStream s, HttpsSession session, const HttpRequest *request) except? NULL:
        """Who asks; NULL: its token is unknown."""
        cdef bytes token
        if request.token_bytes == 0:
            return &s.known
        if (
            session.token_bytes != request.token_bytes
            or session.epoch != self._fast_path.clients_epoch
            or memcmp(session.token, request.token, request.token_bytes) != 0
        ):
            token = PyBytes_FromStringAndSize(<const char *>request.token, request.token_bytes)
            session.epoch, session.token_bytes = self._fast_path.clients_epoch, request.token_bytes
            memcpy(session.token, request.token, request.token_bytes)
            session.is_known = self._fast_path.identify(s.client_at, s.credential._replace(token=token), &session.known)
        return &session.known if session.is_known else NULL

    cdef int _ask(self, EncryptedStream s, HttpsSession session, const HttpRequest *request, double now) except -1:
        """Take up one request. Returns what it costs of the budget."""
        cdef ParsedPacket heard
        cdef StreamQuery query
        cdef Py_ssize_t size
        cdef int source = 0
        cdef const Known *known = self._who(s, session, request)
        if s.has_asked:
            self._asked_s = now
        s.active_s, s.has_asked, s.active = now, True, True
        if known == NULL:
            session.refuse(request.stream, 404)
            session._state.refused = 1
            self._refused(s, session)
            return 1
        self._fast_path.parse_known(request.message, request.size, known, &heard)
        self._fast_path.refused = False
        size = self._fast_path.take(&heard, request.message, s.client_at, HTTPS, now, &source, _answer)
        if size > 0:
            if heard.question.edns and self.pads:
                size = pad(_answer, size)
            session.respond(request.stream, _answer, size, max_age_of(_answer, size))
            self._answered[source] += 1
        elif size < 0:
            query = StreamQuery.__new__(StreamQuery)
            query.settle(self._fast_path, &heard, s.client_at, size)
            query._stream, query._set, query.place, query.started_s, query.stream = s, self, request.stream, now, True
            s.asked += 1
            self._undecided.append(query)
            return MISS_COST
        else:  # what is silence elsewhere
            session.refuse(request.stream, 400 if heard.fault != SOUND else 429 if self._fast_path.refused else 503)
        if self._fast_path.refused and self._table.refused(s):
            s.held_up = True
        return 1

    cdef int _refused(self, EncryptedStream s, HttpsSession session) except -1:
        """Requests that ask nothing cost as much as a hit, and no limit of queries sees them: after some, the client rests."""
        while session._state.refused and not s.held_up:
            session._state.refused -= 1
            if self._table.refused(s):
                s.held_up = True
        session._state.refused = 0
        return 0

    # answers

    cdef int _pump(self, EncryptedStream s, HttpsSession session) except -1:
        """Write what the session has, as far as the client takes it."""
        cdef const uint8_t *out
        cdef Py_ssize_t size
        while s.state == OPEN and s.unsent_bytes == 0:
            size = session.pending(&out)
            if size == 0:
                break
            if s.write(out, size) == SEND_FAILED:
                return self._end(s, "encrypted_slow_reader" if s.unsent_bytes else "encrypted_broken")
        return self._over(s, session) if s.state == OPEN and session._state.reason else 0

    cdef int _over(self, EncryptedStream s, HttpsSession session) except -1:
        """The session has ended."""
        if session._state.reason == H2_DONE and s.unsent_bytes:
            s.finishing = True
            return 0
        if session._state.reason != H2_DONE:
            self._stats.dropped(REASONS[session._state.reason])
        return self._leave(s)

    cdef int _send_unsent(self, EncryptedStream s) except -1:
        EncryptedSet._send_unsent(self, s)
        if s.session is not None and s.state == OPEN:
            return self._pump(s, <HttpsSession>s.session)
        return 0

    cdef int _reply(self, EncryptedStream s, bytes wire, int32_t place) except -1:
        cdef HttpsSession session
        cdef Py_ssize_t size = PyBytes_GET_SIZE(wire)
        if s.session is None or s.state != OPEN:
            return EncryptedSet._reply(self, s, wire, place)
        session = <HttpsSession>s.session
        s.asked -= 1
        session._state.now_s = s.active_s = clock_s()
        s.active = True
        if size > MAX_TCP_BYTES:
            self._stats.dropped("encrypted_answer_too_long")
            session.refuse(place, 503)
        else:
            memcpy(_answer, PyBytes_AS_STRING(wire), size)
            if self.pads:
                size = pad(_answer, size)
            session.respond(place, _answer, size, max_age_of(_answer, size))
        return self._mark_dirty(s)

    def abandon(self, EncryptedStream s not None, int32_t place):
        """A query of `s` will never be answered."""
        if s.session is not None and s.state == OPEN:
            (<HttpsSession>s.session).refuse(place, 503)
        EncryptedSet.abandon(self, s, place)

    # the end

    cdef int _settle(self, EncryptedStream s) except -1:
        if s.session is not None and s.state == OPEN and self._is_draining and s.has_asked and not s.waits and not s.finishing:
            (<HttpsSession>s.session).goaway()
            self._pump(s, <HttpsSession>s.session)
        return EncryptedSet._settle(self, s)

    def sweep(self, limits not None, double idle_limit_s):
        """As `EncryptedSockets.sweep`; and end sessions whose requests or answers take too long."""
        cdef EncryptedStream s
        cdef double now = clock_s()
        EncryptedSet.sweep(self, limits, idle_limit_s)
        self._count_refusals()
        for s in list(self._streams):
            if s.state == OPEN and s.session is not None and (<HttpsSession>s.session).sweep(now):
                self._pump(s, <HttpsSession>s.session)

    cdef int _count_refusals(self) except -1:
        cdef int at
        cdef uint32_t *refusals = self._limits.totals.refusals
        for at in range(STATUSES):
            while refusals[at]:
                refusals[at] -= 1
                self._stats.dropped(f"doh_{FIRST_STATUS + at}")
        return 0
