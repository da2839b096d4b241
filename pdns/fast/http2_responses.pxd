"""Responses on an HTTP/2 session. Nothing here raises."""

from libc.stdint cimport int32_t, uint8_t, uint32_t
from libc.string cimport memcpy

from pdns.fast.doh cimport Refusal, refusal_of
from pdns.fast.http2_state cimport ANSWERED, FIRST_STATUS, H2_PROTOCOL, Http2State, Http2Stream, reserve, stop
from pdns.fast.nghttp2 cimport *

cdef enum:  # places in `texts` of a stream
    AGE_AT = 17
    LENGTH_AT = 32


cdef inline void set_field(nghttp2_nv *field, const char *name, size_t name_bytes, const uint8_t *value, size_t size, int flags) noexcept nogil:
    field.name, field.namelen, field.value, field.valuelen = <uint8_t *>name, name_bytes, <uint8_t *>value, size
    field.flags = <uint8_t>(NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE | flags)


cdef inline size_t write_number(uint8_t *out, uint32_t number) noexcept nogil:
    cdef uint8_t digits[10]
    cdef size_t count = 0, at
    while True:
        digits[count] = <uint8_t>(48 + number % 10)
        count += 1
        number //= 10
        if number == 0:
            break
    for at in range(count):
        out[at] = digits[count - 1 - at]
    return count


cdef inline ssize_t read_answer(
    nghttp2_session *session, int32_t number, uint8_t *out, size_t room, uint32_t *flags, nghttp2_data_source *source, void *state
) noexcept nogil:
    cdef Http2Stream *stream = <Http2Stream *>source.ptr
    cdef size_t size = stream.size - stream.sent
    if size > room:
        size = room
    memcpy(out, stream.bytes + stream.sent, size)
    stream.sent += <uint32_t>size
    if stream.sent == stream.size:
        flags[0] |= NGHTTP2_DATA_FLAG_EOF
        if not nghttp2_session_get_stream_remote_close(session, number):  # RFC 9113, 8.1: the rest of the request is not wanted
            nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, number, NGHTTP2_NO_ERROR)
    return <ssize_t>size


cdef inline bint submit(Http2State *s, Http2Stream *stream, const uint8_t *body, uint32_t size, nghttp2_nv *fields, size_t count) noexcept nogil:
    """Respond with `fields` and `body`, which is copied."""
    cdef nghttp2_data_provider provider
    stream.size = 0
    if not reserve(s, stream, size):
        return False
    memcpy(stream.bytes, body, size)
    stream.size, stream.sent, stream.state, stream.since_s = size, 0, ANSWERED, s.now_s
    provider.source.ptr, provider.read_callback = stream, read_answer
    if nghttp2_submit_response(s.session, stream.id, fields, count, &provider) != 0:
        stop(s, H2_PROTOCOL)
        return False
    return True


cdef inline bint submit_refusal(Http2State *s, Http2Stream *stream, int status) noexcept nogil:
    cdef nghttp2_nv fields[4]
    cdef const Refusal *refusal = refusal_of(status)
    cdef size_t count = 2, length_bytes
    s.totals.refusals[refusal.status - FIRST_STATUS] += 1
    length_bytes = write_number(stream.texts + LENGTH_AT, <uint32_t>refusal.text_bytes)
    set_field(&fields[0], ":status", 7, refusal.status_text, 3, 0)
    set_field(&fields[1], "content-length", 14, stream.texts + LENGTH_AT, length_bytes, 0)
    if refusal.text_bytes:
        fields[2] = fields[1]
        set_field(&fields[1], "content-type", 12, <const uint8_t *>"text/plain", 10, 0)
        count = 3
    if status == 405:
        set_field(&fields[count], "allow", 5, <const uint8_t *>"GET, POST", 9, 0)
        count += 1
    return submit(s, stream, refusal.text, <uint32_t>refusal.text_bytes, fields, count)


cdef inline bint submit_answer(Http2State *s, Http2Stream *stream, const uint8_t *answer, uint32_t size, uint32_t ttl_s) noexcept nogil:
    cdef nghttp2_nv fields[4]
    cdef size_t age_bytes, length_bytes
    s.answers += 1
    memcpy(stream.texts, b"private, max-age=", AGE_AT)
    age_bytes = AGE_AT + write_number(stream.texts + AGE_AT, ttl_s)
    length_bytes = write_number(stream.texts + LENGTH_AT, size)
    set_field(&fields[0], ":status", 7, <const uint8_t *>"200", 3, 0)
    set_field(&fields[1], "content-type", 12, <const uint8_t *>"application/dns-message", 23, 0)
    set_field(&fields[2], "cache-control", 13, stream.texts, age_bytes, NGHTTP2_NV_FLAG_NO_INDEX)
    set_field(&fields[3], "content-length", 14, stream.texts + LENGTH_AT, length_bytes, NGHTTP2_NV_FLAG_NO_INDEX)
    return submit(s, stream, answer, size, fields, 4)
