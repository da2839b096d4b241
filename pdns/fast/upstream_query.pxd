"""The query that an upstream is sent, as `pdns.wire.message.build_query` writes it."""

from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcpy

from pdns.fast.wire cimport AD, CD, HEADER_BYTES, OPT_BYTES, RD, TYPE_OPT, put16, put32

cdef enum:
    UPSTREAM_UDP_BYTES = 1232
    KEY_DO = 1  # in the byte of a key that follows the question
    KEY_CD = 2
    ARCOUNT_AT = 10
    CASE_BITS = 64  # letters that one draw does for


cdef inline void mix_case(uint8_t *name, Py_ssize_t size, uint64_t bits) noexcept nogil:
    """Make a capital of each letter of at most `CASE_BITS` bytes of a name in lower case whose bit is set."""
    cdef Py_ssize_t at
    for at in range(size):
        name[at] = name[at] ^ <uint8_t>((bits >> at & 1) << 5 if 97 <= name[at] <= 122 else 0)


cdef inline Py_ssize_t write_query(uint8_t *out, uint16_t query_id, const uint8_t *section, Py_ssize_t size, uint8_t asked) noexcept nogil:
    """Write the query with the question `section`; `asked` is the byte of its key behind the question. Returns its size."""
    put16(out, query_id)
    put16(out + 2, RD | AD | (CD if asked & KEY_CD else 0))
    put16(out + 4, 1)
    put32(out + 6, 0)
    put16(out + ARCOUNT_AT, 1)
    memcpy(out + HEADER_BYTES, section, size)
    out += HEADER_BYTES + size
    out[0] = 0
    put16(out + 1, TYPE_OPT)
    put16(out + 3, UPSTREAM_UDP_BYTES)
    put32(out + 5, 0x8000 if asked & KEY_DO else 0)
    put16(out + 9, 0)
    return HEADER_BYTES + size + OPT_BYTES
