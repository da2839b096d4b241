"""Encrypted connections of clients. `encrypted.pxd` has the contract."""

# specification: pdns/wire/padding.py:padded
# specification: pdns/reference/encrypted_stream.py:answers

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove, memset

from pdns.fast.cache_record cimport SOURCE_COUNT
from pdns.fast.checks cimport must
from pdns.fast.clients cimport text_of
from pdns.fast.clock cimport clock_s
from pdns.fast.encrypted_stream cimport EPOLLIN, EPOLLOUT, OPEN, SEND_FAILED, EncryptedStream
from pdns.fast.fast_path cimport MAX_TCP_BYTES, ParsedPacket
from pdns.fast.padding cimport pad
from pdns.fast.tls cimport ENDED, FAILED, WANTS_READ, WANTS_WRITE, tls_has_more, tls_read
from pdns.fast.wire cimport HEADER_BYTES, put16, u16

cdef enum:
    BUDGET = 128  # messages of a connection in its turn; then others go on
    MISS_COST = 32  # of them
    QUIET_S = 1
    MOST_HEARD = 64  # messages of TLS itself, after the handshake


def padded(bytes message not None):
    """As `pdns.wire.padding.padded`, with the blocks of answers. For tests."""
    cdef bytes out = PyBytes_FromStringAndSize(NULL, MAX_TCP_BYTES)
    cdef uint8_t *at = <uint8_t *>PyBytes_AS_STRING(out)
    memcpy(at, PyBytes_AS_STRING(message), PyBytes_GET_SIZE(message))
    return out[:pad(at, PyBytes_GET_SIZE(message))]


cdef class StreamQuery(PendingQuery):
    """A query that came over an encrypted connection."""

    @property
    def address(self):
        """The client's address as text, without scope."""
        return text_of(self.client_at)

    @property
    def port(self):
        """Of the client, and above its 16 bits the stream: queries with one id on two streams are two queries."""
        return self._stream.port | <int64_t>self.place << 16

    @property
    def transport(self):
        return self._stream.transport

    def reply(self, bytes wire not None):
        """Send `wire` to who asked, together with what else goes there soon."""
        if not self._answered:
            self._answered = True
            self._set._reply(self._stream, wire, self.place)

    def __del__(self):
        if not self._answered and self._stream is not None and self._stream.state == OPEN:
            try:  # from any thread: a garbage collector may call this
                self._set._loop.call_soon_threadsafe(self._set.abandon, self._stream, self.place)
            except RuntimeError:  # the loop is closed
                pass


cdef class EncryptedSet(EncryptedSockets):
    """The connections of one worker. Nothing here waits. `table`, a `pdns.net.encrypted.EncryptedConnections`, is told of them."""

    def __init__(self, table, service, FastPath fast_path not None, loop, stats, bugs):
        EncryptedSockets.__init__(self, table, loop, stats, bugs)
        self._service, self._fast_path = service, fast_path
        self._undecided, self._dirty = [], []
        self.pads, self.max_outstanding = True, 128
        self._in, self._out = <uint8_t *>malloc(IN_BYTES), <uint8_t *>malloc(OUT_BYTES)
        if self._in == NULL or self._out == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self._in)
        free(self._out)

    cdef bint _is_quiet(self, double now) noexcept:
        """No client would wait for what takes a moment: none that was known has asked in the last second."""
        if self._parsed != self._fast_path.parsed:
            self._parsed, self._asked_s = self._fast_path.parsed, now
        return now - self._asked_s >= QUIET_S

    cdef int _identify(self, EncryptedStream s) except -1:
        s.epoch = self._fast_path.clients_epoch
        self._fast_path.identify(s.client_at, s.credential, &s.known)
        return 0

    # messages

    cdef int _go_on(self, EncryptedStream s, bint writable) except -1:
        self._out_bytes = 0
        if writable or s.unsent_bytes:
            self._send_unsent(s)
        if s.state == OPEN and s.unsent_bytes == 0:
            self._serve(s, BUDGET)
        return self._settle(s)

    def go_on(self, EncryptedStream s not None):
        """It is the turn of `s`, which had more to say than one turn allows."""
        s.waits = s.held_up = False
        if s.state == OPEN:
            self._guarded(s, EPOLLIN)
        self._flush()

    cdef bint _may_go_on(self, EncryptedStream s) noexcept:
        return s.state == OPEN and not s.held_up and s.unsent_bytes == 0 and s.asked < self.max_outstanding

    cdef int _serve(self, EncryptedStream s, int budget) except -1:
        """Take up what has come: as many messages as `budget` allows. All answers go out together."""
        cdef double began_s = clock_s(), lasted_s
        cdef int at
        if s.waits:
            return 0
        memset(self._answered, 0, sizeof(self._answered))
        self._read(s, &budget)
        if self._out_bytes:
            self._write_out(s)
        lasted_s = clock_s() - began_s
        for at in range(SOURCE_COUNT):
            if self._answered[at]:
                self._fast_path._fast_stats.lasted(at, self._answered[at], lasted_s)
        if self._undecided:
            self._decide()
        if s.state == OPEN and (s.held_up or (budget <= 0 and (s.holds_message() or s.has_unread))):
            self._wait(s)
        return 0

    cdef int _read(self, EncryptedStream s, int *budget) except -1:
        cdef Py_ssize_t size = s.held_bytes, used = 0
        cdef int got
        cdef bint has_unread = True
        if size:
            memcpy(self._in, s.held, size)
            s.keep(NULL, 0)
        while True:
            if size:
                used = self._consume(s, self._in, size, budget)
                if s.state != OPEN:
                    return 0
                size -= used
                if size:
                    memmove(self._in, self._in + used, size)
                elif used and not tls_has_more(s.job.ssl):
                    break  # no system call to hear that there is nothing
            if budget[0] <= 0 or s.finishing or not self._may_go_on(s):
                break
            must(size + READ_BYTES <= IN_BYTES)
            got = tls_read(s.job.ssl, self._in + size, READ_BYTES)
            if got > 0:
                size += got
            elif got == ENDED:
                s.finishing = s.at_end = True
            elif got == WANTS_READ or got == WANTS_WRITE:
                has_unread = False
                break
            else:
                return self._fail(s, got == FAILED)
        s.has_unread = has_unread and tls_has_more(s.job.ssl)
        if s.job.heard > MOST_HEARD:
            return self._end(s, "encrypted_key_updates")
        if not s.keep(self._in, size):
            return self._end(s, "encrypted_no_room")
        return 0

    cdef Py_ssize_t _consume(self, EncryptedStream s, const uint8_t *data, Py_ssize_t size, int *budget) except -1:
        """Take up the whole messages in `data`. Returns the number of bytes that they have."""
        cdef Py_ssize_t at = 0, length
        if s.epoch != self._fast_path.clients_epoch:
            self._identify(s)
        while size - at >= 2 and budget[0] > 0 and self._may_go_on(s):
            length = u16(data + at)
            if length < HEADER_BYTES:
                self._stats.dropped("encrypted_no_header")  # not DNS, so what follows is not either
                s.finishing = True
                return size
            if size - at - 2 < length:
                break
            budget[0] -= self._answer(s, data + at + 2, length, 0)
            at += 2 + length
        return at

    cdef int _answer(self, EncryptedStream s, const uint8_t *wire, Py_ssize_t size, int32_t place) except -1:
        """Take up one message. Returns what it costs of the budget."""
        cdef ParsedPacket heard
        cdef StreamQuery query
        cdef uint8_t *out
        cdef Py_ssize_t length
        cdef int source = 0
        cdef double now = clock_s()
        if s.has_asked:
            self._asked_s = now
        s.active_s, s.has_asked, s.active = now, True, True
        if self._out_bytes + FRAME_BYTES > OUT_BYTES:
            self._write_out(s)
            if s.state != OPEN:
                return 0
        out = self._out + self._out_bytes
        self._fast_path.parse_known(wire, size, &s.known, &heard)
        self._fast_path.refused = False
        length = self._fast_path.take(&heard, wire, s.client_at, s.transport_number, now, &source, out + 2)
        if length > 0:
            if heard.question.edns and self.pads:
                length = pad(out + 2, length)
            put16(out, <unsigned int>length)
            self._out_bytes += 2 + length
            self._answered[source] += 1
        elif length < 0:
            query = StreamQuery.__new__(StreamQuery)
            query.settle(self._fast_path, &heard, s.client_at, length)
            query._stream, query._set, query.place, query.started_s, query.stream = s, self, place, now, True
            s.asked += 1
            self._undecided.append(query)
            return MISS_COST
        if self._fast_path.refused and self._table.refused(s):
            s.held_up = True
        return 1

    cdef int _decide(self) except -1:
        undecided, self._undecided = self._undecided, []
        self._service.on_stream_queries(undecided)
        return 0

    # answers

    cdef int _write_out(self, EncryptedStream s) except -1:
        cdef Py_ssize_t size = self._out_bytes
        self._out_bytes = 0
        if s.state == OPEN and s.write(self._out, size) == SEND_FAILED:
            return self._end(s, "encrypted_slow_reader") if s.unsent_bytes else self._fail(s, False)
        return 0

    cdef int _send_unsent(self, EncryptedStream s) except -1:
        if s.send_unsent() == SEND_FAILED:
            self._fail(s, False)
        return 0

    cdef int _reply(self, EncryptedStream s, bytes wire, int32_t place) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(wire)
        cdef uint8_t frame[FRAME_BYTES]
        if s.state != OPEN:
            return 0
        s.asked -= 1
        s.active_s, s.active = clock_s(), True
        if size > MAX_TCP_BYTES:
            self._stats.dropped("encrypted_answer_too_long")
        else:
            memcpy(frame + 2, PyBytes_AS_STRING(wire), size)
            if self.pads:
                size = pad(frame + 2, size)
            put16(frame, <unsigned int>size)
            if not s.keep_unsent(frame, 2 + size):
                return self._end(s, "encrypted_slow_reader")
        return self._mark_dirty(s)

    def abandon(self, EncryptedStream s not None, int32_t place):
        """A query of `s` will never be answered."""
        if s.state == OPEN:
            s.asked -= 1
            self._mark_dirty(s)

    cdef int _mark_dirty(self, EncryptedStream s) except -1:
        if not s.dirty:
            s.dirty = True
            self._dirty.append(s)
            if not (self._is_awake or self._is_flush_planned):
                self._is_flush_planned = True
                self._loop.call_soon(self._flush)
        return 0

    cpdef _flush(self):
        """Send what was answered meanwhile."""
        cdef EncryptedStream s
        self._is_flush_planned = False
        while self._dirty:
            dirty, self._dirty = self._dirty, []
            for s in dirty:
                s.dirty = False
                if s.state == OPEN:
                    self._send_unsent(s)
                    self._settle(s)

    cdef int _settle(self, EncryptedStream s) except -1:
        """See whether to read, to write, to wait or to close."""
        cdef bint waits
        if s.state != OPEN:
            return 0
        if not s.waits and self._may_go_on(s) and (s.holds_message() or (s.has_unread and not s.finishing)):
            self._wait(s)
        if self._is_draining and s.has_asked and not s.waits:
            s.finishing = True
        waits = s.asked > 0 or s.waits
        if s.finishing and not waits and s.unsent_bytes == 0:
            return self._leave(s)
        self._mark(s, waits and s.stalled_s == 0.0)  # who does not read is no busier than who does not ask
        if s.unsent_bytes:
            s.wait_for(EPOLLOUT)
        else:
            s.wait_for(0 if s.finishing or s.waits or s.asked >= self.max_outstanding else EPOLLIN)
        return 0

    cdef int _wait(self, EncryptedStream s) except -1:
        if not s.waits:
            s.waits = True
            self._table.wait(s)
        return 0
