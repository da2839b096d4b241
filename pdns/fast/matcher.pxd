"""Whether a name is listed: the compiled twin of `pdns.blockset.reader.Blockset.find`."""

from libc.stdint cimport uint8_t, uint64_t

from pdns.fast.query cimport Query

cdef enum:
    SALT_BYTES = 16


cdef class Matcher:
    cdef object _bits, _records, _prefixes, _ids
    cdef const uint8_t *_record_raw
    cdef Py_ssize_t _record_bytes
    cdef const uint8_t *_filter
    cdef uint64_t _bits_per_slice
    cdef int _shallowest
    cdef Py_ssize_t _only_record
    cdef uint8_t _salt[SALT_BYTES]

    cpdef find(self, Query query)
    cdef Py_ssize_t _record_of(self, Py_ssize_t number) noexcept nogil
    cdef tuple _found(self, bytes prefix, Py_ssize_t key_bytes)
    cdef bint _passes(self, const uint8_t *salted, Py_ssize_t size) except -1
