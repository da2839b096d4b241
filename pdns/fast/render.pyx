"""Writing an answer for one client. `render.pxd` has the contract."""

# specification: pdns/core/entry.py:Entry

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from pdns.fast.checks cimport must
from pdns.fast.cache_record cimport NO_EDE, OPTION_EDE, CacheRecord, body_of, ede_of, ttls_of
from pdns.fast.wire cimport (
    AD, CD, HEADER_BYTES, OPT_BYTES, QR, RA, RCODE_MASK, RD, TC, TYPE_OPT, Question, put16, put32, u16, u32,
)  # fmt: skip

from pdns.wire import protocol as p

cdef enum:
    QUOTE = 34
    BACKSLASH = 92

cdef int _STALE, _STALE_NXDOMAIN
_STALE, _STALE_NXDOMAIN = p.EDE_STALE, p.EDE_STALE_NXDOMAIN


cdef Py_ssize_t render(
    CacheRecord *record, const Question *question, double now, Py_ssize_t max_bytes, int32_t stale_ttl_s, uint8_t *out
) noexcept nogil:
    """Writes what `pdns.core.entry.Entry.render` gives, and returns its size. `out` has room for `max_bytes`, at least 512."""
    cdef Py_ssize_t opt_bytes = 0, size
    cdef int ede_code = NO_EDE
    cdef Py_ssize_t ede_bytes = 0, more_bytes = 0
    if question.edns:
        opt_bytes = OPT_BYTES + question.option_bytes
        if stale_ttl_s >= 0:
            ede_code = _STALE_NXDOMAIN if record.rcode == 3 else _STALE
        elif record.ede_code != NO_EDE:
            ede_code = record.ede_code
            ede_bytes, more_bytes = record.ede_bytes, record.more_ede_bytes
        if ede_code != NO_EDE:
            opt_bytes += 6 + ede_bytes + more_bytes
    size = HEADER_BYTES + question.bytes + record.body_bytes + opt_bytes
    if size > max_bytes and ede_code != NO_EDE:
        ede_code = NO_EDE
        size += OPT_BYTES + question.option_bytes - opt_bytes
    return write(record, question, now, max_bytes, stale_ttl_s, size, ede_code, ede_of(record), ede_bytes, more_bytes, out)


cdef Py_ssize_t render_structured(
    CacheRecord *record, const Question *question, double now, Py_ssize_t max_bytes, const uint8_t *text, Py_ssize_t text_bytes,
    const uint8_t *short_text, Py_ssize_t short_bytes, uint8_t *out,
) noexcept nogil:
    """The same for a client that understands structured errors, of a record with one error: `text` is what to tell, `short_text`
    what to tell where that does not fit, if there is any."""
    cdef Py_ssize_t size = HEADER_BYTES + question.bytes + record.body_bytes + OPT_BYTES + question.option_bytes
    cdef int ede_code = record.ede_code
    if size + 6 + text_bytes > max_bytes:
        text, text_bytes = short_text, short_bytes
        if size + 6 + text_bytes > max_bytes:
            text_bytes = 0
    if size + 6 + text_bytes > max_bytes:
        ede_code = NO_EDE
    else:
        size += 6 + text_bytes
    return write(record, question, now, max_bytes, -1, size, ede_code, text, text_bytes, 0, out)


cdef Py_ssize_t escape(const uint8_t *text, Py_ssize_t size, uint8_t *out) noexcept nogil:
    """As `pdns.core.structured_error.escaped`. `out` has room for twice the size. Returns the size written."""
    cdef Py_ssize_t i, at = 0
    for i in range(size):
        if text[i] == BACKSLASH or text[i] == QUOTE:
            out[at] = BACKSLASH
            at += 1
        out[at] = text[i]
        at += 1
    return at


cdef inline Py_ssize_t write(
    CacheRecord *record, const Question *question, double now, Py_ssize_t max_bytes, int32_t stale_ttl_s, Py_ssize_t size, int ede_code,
    const uint8_t *text, Py_ssize_t text_bytes, Py_ssize_t more_bytes, uint8_t *out,
) noexcept nogil:
    """A message of `size` bytes, or what is left of it when that is more than `max_bytes`."""
    cdef unsigned int flags = QR | RA | (question.flags & (RD | CD)) | (record.rcode & RCODE_MASK)
    cdef Py_ssize_t at = HEADER_BYTES, i, place
    cdef int64_t age_s
    cdef uint32_t ttl_s
    if record.ad and (question.want_dnssec or question.flags & AD):  # RFC 6840, 5.8
        flags |= AD
    put16(out, question.id)
    put16(out + 4, 1)
    memcpy(out + at, question.section, question.bytes)
    at += question.bytes
    if size > max_bytes:
        put16(out + 2, flags | TC)
        put32(out + 6, 0)
    else:
        put16(out + 2, flags)
        put16(out + 6, record.ancount)
        put16(out + 8, record.nscount)
        if record.turn_count:
            copy_turned(record, question.id, out + at)
        else:
            memcpy(out + at, body_of(record), record.body_bytes)
        age_s = <int64_t>(now - record.stored_s)
        if age_s > 0 or stale_ttl_s >= 0:
            for i in range(record.ttl_count):
                place = u16(ttls_of(record) + 2 * i)
                must(place + 4 <= record.body_bytes)
                ttl_s = u32(out + at + place)
                if stale_ttl_s >= 0:
                    ttl_s = <uint32_t>stale_ttl_s
                else:
                    ttl_s = <uint32_t>(ttl_s - age_s) if ttl_s > age_s else 0
                put32(out + at + place, ttl_s)
        at += record.body_bytes
    put16(out + 10, 1 if question.edns else 0)
    if question.edns:
        at += write_opt(out + at, question, ede_code, text, text_bytes, more_bytes)
    must(at <= max_bytes)
    return at


cdef void copy_turned(CacheRecord *record, uint16_t query_id, uint8_t *out) noexcept nogil:
    """Writes the body with its addresses in the turn of this query: two runs change places."""
    cdef const uint8_t *body = body_of(record)
    cdef size_t first = record.turn_at, all_bytes = record.turn_bytes * record.turn_count
    cdef size_t turned = (query_id % record.turn_count) * record.turn_bytes
    must(first + all_bytes <= record.body_bytes)
    memcpy(out, body, first)
    memcpy(out + first, body + first + turned, all_bytes - turned)
    memcpy(out + first + all_bytes - turned, body + first, turned)
    memcpy(out + first + all_bytes, body + first + all_bytes, record.body_bytes - first - all_bytes)


cdef Py_ssize_t write_opt(
    uint8_t *out, const Question *question, int ede_code, const uint8_t *text, Py_ssize_t text_bytes, Py_ssize_t more_bytes=0
) noexcept nogil:
    """Our OPT record (RFC 6891), with Extended DNS Errors (RFC 8914) unless the code is NO_EDE, and the options that the query
    asked for. Returns its size."""
    cdef Py_ssize_t at = OPT_BYTES
    out[0] = 0
    put16(out + 1, TYPE_OPT)
    put16(out + 3, 1232)
    put32(out + 5, 0x8000 if question.want_dnssec else 0)
    if ede_code != NO_EDE:
        at += write_ede(out + at, ede_code, text, text_bytes)
        memcpy(out + at, text + text_bytes, more_bytes)
        at += more_bytes
    if question.option_bytes:
        memcpy(out + at, question.options, question.option_bytes)
        at += question.option_bytes
    put16(out + 9, <unsigned int>(at - OPT_BYTES))
    return at


cdef inline Py_ssize_t write_ede(uint8_t *out, int ede_code, const uint8_t *text, Py_ssize_t text_bytes) noexcept nogil:
    put16(out, OPTION_EDE)
    put16(out + 2, <unsigned int>(2 + text_bytes))
    put16(out + 4, <unsigned int>ede_code)
    memcpy(out + 6, text, text_bytes)
    return 6 + text_bytes
