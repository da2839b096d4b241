"""Sets of names in wire form that are looked up without an object of Python: those of `pdns.core.local_rules.may_have`."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pdns.fast.wire cimport Question


cdef struct NameEnds:  # the last two labels of a name and the last one, each with its hash
    const uint8_t *two  # of a name of one label, this label
    const uint8_t *one  # NULL: the name is the root
    Py_ssize_t two_bytes
    Py_ssize_t one_bytes
    uint64_t two_hash
    uint64_t one_hash


cdef NameEnds ends_of(const Question *question) noexcept nogil  # good as long as `question` is


cdef class NameSet:
    cdef uint8_t *_names  # each behind a byte with its size
    cdef uint32_t *_places  # where a name begins in `_names`, plus 1; 0: free
    cdef uint64_t _mask

    cdef bint has(self, const uint8_t *name, Py_ssize_t size, uint64_t hash) noexcept nogil
    cdef bint has_either(self, const NameEnds *ends) noexcept nogil  # the last two labels, or the last one
