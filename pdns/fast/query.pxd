"""A query as Python sees it, and the parts of its name: the compiled twin of `pdns.core.query.Query`."""

from libc.stdint cimport uint8_t

from pdns.fast.wire cimport Question


cdef class Query:
    cdef Question q
    cdef public bint monitored


cdef Py_ssize_t write_reversed_key(const Question *question, uint8_t *out) noexcept nogil  # as names.reversed_key
cdef bint ends_in_one_of(const Question *question, frozenset filter_keys) except -1  # the last two labels, the last, or the root
cdef Py_ssize_t domain_of(const Question *question) noexcept nogil  # where names.domain_of of the name begins in the key
cdef Py_ssize_t filter_key_of(const Question *question) noexcept nogil  # where names.cut of the name begins in the key
