"""Whether a name is listed: the compiled twin of `pdns.blockset.reader.Blockset.find`."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pdns.fast.name_table cimport NameTable
from pdns.fast.query cimport Query
from pdns.fast.wire cimport Question

cdef enum:
    SALT_BYTES = 16
    SLICES = 4
    MOST_FOUND = 128  # a name and all above it
    MORE_FOUND = -2  # there are more than there is room for

cdef struct Found:  # as an element of what `Blockset.find` returns
    uint64_t code
    Py_ssize_t name_bytes

cdef struct Search:  # one name, between the stages of its look-up
    bint clean  # neither it nor anything above it is listed
    Py_ssize_t filter_key
    uint64_t bits[SLICES]  # of the filter
    uint64_t hashed[2]  # of its last label, and of its last two


cdef class Matcher:
    cdef object _bits, _names
    cdef const uint8_t *_filter
    cdef uint32_t _bits_per_slice
    cdef int _shallowest
    cdef uint8_t _salt[SALT_BYTES]
    cdef NameTable _table

    # The stages of a look-up, in this order. Each asks memory for what the next one reads: carry out one stage for a whole
    # batch before the next. A name is `clean` as soon as a stage finds that it is; the later stages then do nothing.
    cdef void start(self, const Question *question, Search *search) noexcept nogil
    cdef void narrow(self, const Question *question, Search *search) noexcept nogil
    cdef void approach(self, const Question *question, Search *search) noexcept nogil
    cdef int match(self, const Question *question, const Search *search, Found *found, int most) noexcept nogil

    cpdef find(self, Query query)
    cdef void _bits_of(self, const uint8_t *name, Py_ssize_t size, uint64_t *bits) noexcept nogil
    cdef bint _passes(self, const uint64_t *bits) noexcept nogil
    cdef bint _may_list_shallow(self, const Question *question, const Search *search) noexcept nogil
