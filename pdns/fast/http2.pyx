"""DNS over HTTPS on one HTTP/2 connection. `http2.pxd` has the contract."""

# specification: pdns/wire/doh.py:DohRequest
# specification: pdns/wire/doh.py:answer_headers
# specification: pdns/wire/doh.py:refusal_headers

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from pdns.fast.checks cimport must
from pdns.fast.doh cimport MAX_HEADERS_BYTES
from pdns.fast.http2_callbacks cimport *
from pdns.fast.http2_responses cimport submit_answer, submit_refusal
from pdns.fast.http2_state cimport *
from pdns.fast.nghttp2 cimport *
from pdns.fast.wire cimport put32

from pdns.wire import doh as specification

cdef enum:
    PREFACE_BYTES = 24
    MAX_FRAME_BYTES = 16393  # that nghttp2 writes
    MAX_ACKS = 64
    MAX_SETTINGS_ENTRIES = 32
    DEFLATE_TABLE_BYTES = 256
    TOO_MANY_CONTINUATIONS = -905
    GOAWAY_BYTES = 17
    FRAME_HEAD_BYTES = 9
    MAX_WASTED_BYTES = 262144

REASONS = (
    "", "h2_done", "h2_http_1", "h2_not_http", "h2_protocol", "h2_settings", "h2_pings", "h2_priorities", "h2_window_updates",
    "h2_empty_data", "h2_continuations", "h2_goaways", "h2_resets", "h2_invalid_frames", "h2_refused_streams", "h2_abandoned",
    "h2_headers", "h2_wasted_bytes", "h2_memory", "h2_slow_request", "h2_stalled_answer",
)  # fmt: skip

cdef const uint8_t *_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
cdef bytes _http_1_text = specification.HTTP_1_RESPONSE
cdef const uint8_t *_http_1_response = <const uint8_t *>PyBytes_AS_STRING(_http_1_text)
cdef Py_ssize_t _http_1_bytes = PyBytes_GET_SIZE(_http_1_text)
cdef uint8_t _output[OUTPUT_BYTES]


cdef class Http2Limits:

    def __cinit__(
        self, uint32_t max_streams, *, int64_t max_bytes=64 << 20, int64_t max_session_bytes=1 << 20, uint32_t max_requests=1_000_000,
        double request_s=5.0, double answer_s=10.0,
    ):
        """At most `max_streams` at a time and `max_requests` in all on a connection; all of them hold at most about `max_bytes`.
        A request must be whole after `request_s`, an answer taken after `answer_s`."""
        self.totals.bytes, self.totals.max_bytes, self.totals.max_session_bytes = 0, max_bytes, max_session_bytes
        self.totals.max_streams, self.totals.max_requests = max_streams, max_requests
        self.totals.request_s, self.totals.answer_s = request_s, answer_s
        if nghttp2_option_new(&self._option) or nghttp2_session_callbacks_new(&self._callbacks):
            raise MemoryError
        nghttp2_option_set_no_closed_streams(self._option, 1)
        nghttp2_option_set_max_outbound_ack(self._option, MAX_ACKS)
        nghttp2_option_set_max_settings(self._option, MAX_SETTINGS_ENTRIES)
        nghttp2_option_set_max_deflate_dynamic_table_size(self._option, DEFLATE_TABLE_BYTES)
        nghttp2_session_callbacks_set_on_begin_frame_callback(self._callbacks, on_begin_frame)
        nghttp2_session_callbacks_set_on_begin_headers_callback(self._callbacks, on_begin_headers)
        nghttp2_session_callbacks_set_on_header_callback(self._callbacks, on_header)
        nghttp2_session_callbacks_set_on_invalid_header_callback(self._callbacks, on_invalid_header)
        nghttp2_session_callbacks_set_on_frame_recv_callback(self._callbacks, on_frame)
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(self._callbacks, on_data)
        nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(self._callbacks, on_invalid_frame)
        nghttp2_session_callbacks_set_on_stream_close_callback(self._callbacks, on_close)
        nghttp2_session_callbacks_set_on_frame_send_callback(self._callbacks, on_sent)

    def __dealloc__(self):
        nghttp2_option_del(self._option)
        nghttp2_session_callbacks_del(self._callbacks)

    @property
    def bytes_held(self):
        """By all sessions."""
        return self.totals.bytes


cdef class Http2Session:

    def __cinit__(self, Http2Limits limits not None, bytes base_path not None, double now_s):
        cdef Http2State *s = &self._state
        cdef nghttp2_mem memory
        cdef nghttp2_settings_entry settings[3]
        cdef int kind
        self._limits, self._base_path = limits, base_path
        s.totals, s.now_s = &limits.totals, now_s
        s.path.base, s.path.base_bytes = <const uint8_t *>PyBytes_AS_STRING(base_path), PyBytes_GET_SIZE(base_path)
        s.path.prefix_bytes = len(base_path.rstrip(b"/"))
        for kind in range(BUDGETS):
            s.budgets[kind].left, s.budgets[kind].since_s = allowances[kind].burst, now_s
        memory.mem_user_data = s
        memory.malloc, memory.free, memory.calloc, memory.realloc = allocate, release, allocate_zeroed, reallocate
        settings[0].settings_id, settings[0].value = NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, s.totals.max_streams
        settings[1].settings_id, settings[1].value = NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, MAX_HEADERS_BYTES
        settings[2].settings_id, settings[2].value = NO_RFC7540_PRIORITIES, 1
        if nghttp2_session_server_new3(&s.session, limits._callbacks, s, limits._option, &memory) or nghttp2_submit_settings(
            s.session, NGHTTP2_FLAG_NONE, settings, 3 if NO_RFC7540_PRIORITIES else 2
        ):
            raise MemoryError

    def __dealloc__(self):
        cdef Http2State *s = &self._state
        nghttp2_session_del(s.session)
        free_streams(s, s.oldest)
        free_streams(s, s.gone)
        must(s.bytes == 0)

    cdef int receive(self, const uint8_t *data, Py_ssize_t size) except -1:
        cdef Http2State *s = &self._state
        cdef ssize_t taken
        cdef int at
        if s.reason:
            return s.reason
        for at in range(size):
            if s.preface_at == PREFACE_BYTES:
                break
            if data[at] != _PREFACE[s.preface_at]:
                s.reason = H2_HTTP_1 if s.preface_at < 4 and b"A" <= data[at] <= b"Z" else H2_NOT_HTTP
                return s.reason
            s.preface_at += 1
        taken = nghttp2_session_mem_recv(s.session, data, size)
        if taken < 0:
            self.fail(taken)
        elif s.wasted_bytes + size > MAX_WASTED_BYTES:
            stop(s, H2_WASTED_BYTES)
        s.wasted_bytes += <uint32_t>size
        return s.reason

    cdef void fail(self, ssize_t error) noexcept nogil:
        """nghttp2 cannot go on."""
        if error == NGHTTP2_ERR_NOMEM:
            stop(&self._state, H2_MEMORY)
        elif error == NGHTTP2_ERR_FLOODED:
            stop(&self._state, H2_PINGS)
        elif error == TOO_MANY_CONTINUATIONS:
            stop(&self._state, H2_CONTINUATIONS)
        else:
            stop(&self._state, H2_PROTOCOL)

    cdef bint next_request(self, HttpRequest *out) noexcept nogil:
        cdef Http2Stream *stream = self._state.ready
        if stream == NULL or self._state.reason:
            return False
        self._state.ready, stream.next_ready, stream.state = stream.next_ready, NULL, TAKEN
        out.stream, out.message, out.size = stream.id, stream.bytes, stream.size
        out.token, out.token_bytes = stream.fields.token, stream.fields.token_bytes
        return True

    cdef Http2Stream *taken(self, int32_t number) noexcept nogil:
        """The stream that waits for its answer; NULL: it is gone."""
        cdef Http2State *s = &self._state
        cdef Http2Stream *stream = stream_of(s, number)
        if stream == NULL:
            forget_abandoned(s, number)
        elif stream.state != TAKEN:
            return NULL
        return stream

    cdef bint respond(self, int32_t stream, const uint8_t *answer, Py_ssize_t size, uint32_t ttl_s) noexcept nogil:
        cdef Http2State *s = &self._state
        cdef Http2Stream *open_one = self.taken(stream)
        if open_one == NULL or s.reason:
            return False
        return submit_answer(s, open_one, answer, <uint32_t>size, ttl_s)

    cdef bint refuse(self, int32_t stream, int status) noexcept nogil:
        cdef Http2Stream *open_one = self.taken(stream)
        if open_one == NULL or self._state.reason:
            return False
        return submit_refusal(&self._state, open_one, status)

    cdef Py_ssize_t pending(self, const uint8_t **out) noexcept nogil:
        cdef Http2State *s = &self._state
        cdef const uint8_t *frame
        cdef ssize_t size
        cdef Py_ssize_t used = 0
        out[0] = _output
        if s.reason > H2_PROTOCOL or s.reason in (H2_HTTP_1, H2_NOT_HTTP):
            return self.farewell()
        while used <= OUTPUT_BYTES - MAX_FRAME_BYTES:
            size = nghttp2_session_mem_send(s.session, &frame)
            if size < 0:
                self.fail(size)
                break
            if size == 0:
                if s.reason == H2_GOES_ON and not nghttp2_session_want_read(s.session):
                    s.reason = H2_PROTOCOL if s.is_faulted else H2_DONE
                break
            must(size <= MAX_FRAME_BYTES)
            memcpy(_output + used, frame, size)
            used += size
        if used:
            s.has_sent = True
        return used

    cdef Py_ssize_t farewell(self) noexcept nogil:
        """The last bytes: what explains the end in words that the client understands."""
        cdef Http2State *s = &self._state
        cdef Py_ssize_t size = 0
        if s.is_last_written or s.reason == H2_NOT_HTTP:
            return 0
        s.is_last_written = True
        if s.reason == H2_HTTP_1:
            memcpy(_output, _http_1_response, _http_1_bytes)
            return _http_1_bytes
        memset(_output, 0, FRAME_HEAD_BYTES + GOAWAY_BYTES)
        if not s.has_sent:  # SETTINGS come first (RFC 9113, 3.4)
            _output[3] = NGHTTP2_SETTINGS
            size = FRAME_HEAD_BYTES
        _output[size + 2], _output[size + 3] = GOAWAY_BYTES - FRAME_HEAD_BYTES, NGHTTP2_GOAWAY
        put32(_output + size + FRAME_HEAD_BYTES, nghttp2_session_get_last_proc_stream_id(s.session))
        put32(_output + size + FRAME_HEAD_BYTES + 4, NGHTTP2_ENHANCE_YOUR_CALM)
        return size + GOAWAY_BYTES

    cdef void goaway(self) noexcept nogil:
        if self._state.reason == H2_GOES_ON:
            nghttp2_submit_goaway(
                self._state.session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(self._state.session), NGHTTP2_NO_ERROR,
                NULL, 0,
            )  # fmt: skip

    cdef int sweep(self, double now_s) noexcept nogil:
        cdef Http2State *s = &self._state
        cdef Http2Stream *stream = s.oldest
        s.now_s = now_s
        while stream != NULL:
            if stream.state == READING and now_s - stream.since_s > s.totals.request_s:
                stop(s, H2_SLOW_REQUEST)
            elif stream.state == ANSWERED and now_s - stream.since_s > s.totals.answer_s:
                stop(s, H2_STALLED_ANSWER)
            stream = stream.newer
        return s.reason

    cdef bint is_idle(self) noexcept nogil:
        return self._state.streams == 0

    # the same for tests

    def feed(self, bytes data not None, double now_s):
        """Receive `data` at `now_s`. Returns why the connection must end, one of `REASONS`; "" if it need not."""
        self._state.now_s = now_s
        return REASONS[self.receive(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))]

    def requests(self):
        """The requests that are whole: stream, message, token."""
        cdef HttpRequest one
        found = []
        while self.next_request(&one):
            message = PyBytes_FromStringAndSize(<const char *>one.message, one.size)
            found.append((one.stream, message, PyBytes_FromStringAndSize(<const char *>one.token, one.token_bytes)))
        return found

    def answer(self, int32_t stream, bytes answer not None, uint32_t ttl_s):
        """As `respond`."""
        return self.respond(stream, <const uint8_t *>PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer), ttl_s)

    def turn_away(self, int32_t stream, int status):
        """As `refuse`."""
        return self.refuse(stream, status)

    def output(self):
        """Everything that is to be written."""
        cdef const uint8_t *out
        cdef Py_ssize_t size
        parts = []
        while True:
            size = self.pending(&out)
            if size == 0:
                return b"".join(parts)
            parts.append(PyBytes_FromStringAndSize(<const char *>out, size))

    def leave(self):
        """As `goaway`."""
        self.goaway()

    def check(self, double now_s):
        """As `sweep`, and as `feed` returns it."""
        return REASONS[self.sweep(now_s)]

    @property
    def reason(self):
        return REASONS[self._state.reason]

    @property
    def bytes_held(self):
        return self._state.bytes

    @property
    def abandoned(self):
        """Streams that are gone while their requests are processed."""
        return self._state.abandoned
