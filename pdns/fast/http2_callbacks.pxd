"""What an HTTP/2 session does with what nghttp2 finds in the bytes of a client. Nothing here raises."""

from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.string cimport memcpy

from pdns.fast.checks cimport must
from pdns.fast.doh cimport GET, MAX_BODY_BYTES, MAX_HEADERS_BYTES, POST, decode_base64url, early_status, read_field
from pdns.fast.http2_responses cimport submit_refusal
from pdns.fast.http2_state cimport *
from pdns.fast.nghttp2 cimport *
from pdns.fast.wire cimport HEADER_BYTES

cdef enum:
    SMALL_DATA_BYTES = 64  # of a frame that does not end its request


cdef inline void turn_away(Http2State *s, Http2Stream *stream, int status) noexcept nogil:
    s.refused += 1
    submit_refusal(s, stream, status)


cdef inline void finish_request(Http2State *s, Http2Stream *stream) noexcept nogil:
    """All of it has come."""
    cdef int status = early_status(&stream.fields, stream.size)
    s.wasted_bytes = 0
    if status == 0 and stream.size < HEADER_BYTES:
        status = 400
    if status:
        turn_away(s, stream, status)
        return
    stream.state = READY
    if s.ready == NULL:
        s.ready = stream
    else:
        s.last_ready.next_ready = stream
    s.last_ready = stream


cdef inline int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *head, void *state) noexcept nogil:
    cdef Http2State *s = <Http2State *>state
    cdef int kind = head.type
    if kind == NGHTTP2_HEADERS:
        if head.stream_id > s.last_stream:
            s.last_stream = head.stream_id
            return 0
        return spend(s, H2_INVALID_FRAMES)  # trailers, which DoH has no use for, or fields for a stream that is closed
    if kind == NGHTTP2_DATA:
        if head.length >= SMALL_DATA_BYTES or head.flags & NGHTTP2_FLAG_END_STREAM:
            return 0
        return spend(s, H2_EMPTY_DATA)
    if kind == NGHTTP2_WINDOW_UPDATE:
        return spend(s, H2_WINDOW_UPDATES)
    if kind == NGHTTP2_SETTINGS:
        return spend(s, H2_SETTINGS)
    if kind == NGHTTP2_PING:
        return spend(s, H2_PINGS)
    if kind == NGHTTP2_PRIORITY:
        return spend(s, H2_PRIORITIES)
    if kind == NGHTTP2_RST_STREAM:
        return spend(s, H2_RESETS)
    if kind == NGHTTP2_CONTINUATION:
        return spend(s, H2_CONTINUATIONS)
    return spend(s, H2_GOAWAYS)


cdef inline int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *state) noexcept nogil:
    cdef Http2State *s = <Http2State *>state
    cdef Http2Stream *stream
    if frame.headers.cat != NGHTTP2_HCAT_REQUEST:
        return 0
    if 2 * s.abandoned > s.totals.max_streams:
        return stop(s, H2_ABANDONED)
    stream = open_stream(s, frame.hd.stream_id)
    if stream == NULL:
        return stop(s, H2_MEMORY)
    nghttp2_session_set_stream_user_data(session, frame.hd.stream_id, stream)
    s.requests += 1
    if s.requests == s.totals.max_requests:
        nghttp2_submit_goaway(session, NGHTTP2_FLAG_NONE, frame.hd.stream_id, NGHTTP2_NO_ERROR, NULL, 0)
    return 0


cdef inline int on_header(
    nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes, const uint8_t *value, size_t size,
    uint8_t flags, void *state,
) noexcept nogil:
    cdef Http2State *s = <Http2State *>state
    cdef Http2Stream *stream
    cdef const uint8_t *dns
    cdef Py_ssize_t dns_bytes = 0
    stream = s.newest if frame.headers.cat == NGHTTP2_HCAT_REQUEST else stream_of(s, frame.hd.stream_id)
    if stream == NULL:
        return 0
    stream.header_bytes += <uint32_t>(32 + name_bytes + size)
    if stream.header_bytes > 4 * MAX_HEADERS_BYTES:  # a few bytes can stand for many fields of a table (RFC 7541)
        return stop(s, H2_HEADERS)
    if frame.headers.cat != NGHTTP2_HCAT_REQUEST:
        return 0
    must(stream.id == frame.hd.stream_id)
    read_field(&stream.fields, &s.path, name, name_bytes, value, size, &dns, &dns_bytes)
    if dns != NULL:
        stream.size = 0
        if not reserve(s, stream, <uint32_t>dns_bytes):
            return stop(s, H2_MEMORY)
        stream.size = <uint32_t>decode_base64url(dns, dns_bytes, stream.bytes)
    return 0


cdef inline int on_invalid_header(
    nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_bytes, const uint8_t *value, size_t size,
    uint8_t flags, void *state,
) noexcept nogil:
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE  # resets the stream


cdef inline int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *state) noexcept nogil:
    cdef Http2State *s = <Http2State *>state
    cdef Http2Stream *stream
    cdef int status
    if frame.hd.type == NGHTTP2_HEADERS and frame.headers.cat == NGHTTP2_HCAT_REQUEST:
        stream = s.newest
        if stream.fields.method == POST:
            stream.size = 0
    elif frame.hd.type in (NGHTTP2_HEADERS, NGHTTP2_DATA, NGHTTP2_RST_STREAM):
        stream = stream_of(s, frame.hd.stream_id)
    else:
        return 0
    if stream == NULL:
        return 0
    if frame.hd.type == NGHTTP2_RST_STREAM:
        stream.by_client = True
    elif stream.state == READING:
        if frame.hd.flags & NGHTTP2_FLAG_END_STREAM:
            finish_request(s, stream)
        elif frame.hd.type == NGHTTP2_HEADERS:
            status = early_status(&stream.fields, stream.size)
            if status:
                turn_away(s, stream, status)
    return NGHTTP2_ERR_CALLBACK_FAILURE if s.reason else 0


cdef inline int on_data(nghttp2_session *session, uint8_t flags, int32_t number, const uint8_t *data, size_t size, void *state) noexcept nogil:
    cdef Http2State *s = <Http2State *>state
    cdef Http2Stream *stream = stream_of(s, number)
    if stream == NULL or stream.state != READING:
        return 0
    if stream.fields.method == GET:
        turn_away(s, stream, 400)
    elif stream.size + size > MAX_BODY_BYTES:
        turn_away(s, stream, 413)
    elif reserve(s, stream, <uint32_t>size):
        memcpy(stream.bytes + stream.size, data, size)
        stream.size += <uint32_t>size
    return NGHTTP2_ERR_CALLBACK_FAILURE if s.reason else 0


cdef inline int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *state) noexcept nogil:
    return spend(<Http2State *>state, H2_REFUSED_STREAMS if error == NGHTTP2_ERR_REFUSED_STREAM else H2_INVALID_FRAMES)


cdef inline int on_close(nghttp2_session *session, int32_t number, uint32_t error, void *state) noexcept nogil:
    cdef Http2State *s = <Http2State *>state
    cdef Http2Stream *stream = stream_of(s, number)
    cdef bint is_cut = False
    if stream == NULL:
        return 0
    unlink(s, stream)
    is_cut = not stream.by_client and (stream.state != ANSWERED or stream.sent < stream.size)
    drop_bytes(s, stream)
    if stream.state == TAKEN:
        stream.state, stream.newer, s.gone = ABANDONED, s.gone, stream
        s.abandoned += 1
    else:
        release(stream, s)
    return spend(s, H2_INVALID_FRAMES) if is_cut else 0


cdef inline int on_sent(nghttp2_session *session, const nghttp2_frame *frame, void *state) noexcept nogil:
    if frame.hd.type == NGHTTP2_GOAWAY and frame.goaway.error_code != NGHTTP2_NO_ERROR:
        (<Http2State *>state).is_faulted = True
    return 0
