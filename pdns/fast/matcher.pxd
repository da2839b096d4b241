"""Whether a name is listed: the compiled twin of `pdns.blockset.reader.Blockset.find`."""

from libc.stdint cimport uint8_t, uint64_t

from pdns.fast.query cimport Query
from pdns.fast.wire cimport Question
from pdns.fast.xxh3 cimport XXH3_DIGEST_BYTES

cdef enum:
    SALT_BYTES = 16
    MOST_FOUND = 128  # a name and all above it
    MORE_FOUND = -2  # there are more than there is room for

cdef struct Found:  # as an element of what `Blockset.find` returns
    uint64_t code
    Py_ssize_t name_bytes

cdef struct Search:  # one name, between the stages of its look-up
    bint clean  # neither it nor anything above it is listed
    Py_ssize_t filter_key
    uint8_t digest[XXH3_DIGEST_BYTES]  # of the filter key


cdef class Matcher:
    cdef object _bits, _records, _prefixes, _ids
    cdef const uint8_t *_record_raw
    cdef Py_ssize_t _record_bytes
    cdef const uint8_t *_filter
    cdef uint64_t _bits_per_slice
    cdef int _shallowest
    cdef Py_ssize_t _only_record
    cdef uint8_t _salt[SALT_BYTES]

    # The stages of a look-up, in this order. Each asks memory for what the next one reads: carry out one stage for a whole
    # batch before the next. A name is `clean` as soon as a stage finds that it is; the later stages then do nothing.
    cdef int start(self, const Question *question, Search *search) except -1
    cdef int narrow(self, const Question *question, Search *search) except -1
    cdef int approach(self, const Question *question, Search *search) except -1
    cdef int match(self, const Question *question, Search *search, Found *found, int most) except -1

    cpdef find(self, Query query)
    cdef Py_ssize_t _record_of(self, Py_ssize_t number) noexcept nogil
    cdef bint _may_list_shallow(self, const Question *question, const Search *search) except -1
    cdef int _digest(self, const uint8_t *name, Py_ssize_t size, uint8_t *digest) except -1
    cdef uint64_t _bit(self, const uint8_t *digest, int slice_) noexcept nogil
    cdef bint _passes(self, const uint8_t *digest) noexcept nogil
