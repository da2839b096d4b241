"""From a record of the cache to the answer for one client: the compiled twin of `pdns.core.entry.Entry.render`."""

from libc.stdint cimport int32_t, uint8_t

from pdns.fast.cache_record cimport CacheRecord
from pdns.fast.wire cimport Question


cdef Py_ssize_t write_opt(
    uint8_t *out, const Question *question, int ede_code, const uint8_t *text, Py_ssize_t text_bytes, Py_ssize_t more_bytes=*
) noexcept nogil  # behind `text` further options stand, of `more_bytes`
cdef Py_ssize_t render_structured(
    CacheRecord *record, const Question *question, double now, Py_ssize_t max_bytes, const uint8_t *text, Py_ssize_t text_bytes,
    const uint8_t *short_text, Py_ssize_t short_bytes, uint8_t *out,
) noexcept nogil
cdef Py_ssize_t escape(const uint8_t *text, Py_ssize_t size, uint8_t *out) noexcept nogil
cdef Py_ssize_t render(
    CacheRecord *record, const Question *question, double now, Py_ssize_t max_bytes, int32_t stale_ttl_s, uint8_t *out
) noexcept nogil
