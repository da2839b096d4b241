"""Whether a name is listed: the compiled twin of `pdns.blockset.reader.Blockset.find`.

The Bloom filter is read where it is mapped; what passes it is looked up by marisa-trie.
"""

# specification: pdns/blockset/reader.py:Blockset.find

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pdns.fast.query cimport Query, filter_key_of, write_reversed_key
from pdns.fast.wire cimport MAX_NAME_BYTES

from pdns.fast.xxh3 cimport XXH3_DIGEST_BYTES, XXH3_LEAST_BYTES, XXH3_MOST_BYTES, xxh128

from xxhash import xxh128_digest

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *at) noexcept nogil

cdef enum:
    SLICES = 4
    WIDE_BITS = 1 << 15  # from so many bits a slice on, pybloom-live cuts a hash into 32-bit numbers


def digest128(bytes data not None):
    """`xxhash.xxh128_digest` of 17 to 128 bytes. Raises `ValueError` for fewer or more."""
    cdef uint8_t raw[XXH3_DIGEST_BYTES]
    if not XXH3_LEAST_BYTES <= PyBytes_GET_SIZE(data) <= XXH3_MOST_BYTES:
        raise ValueError("not 17 to 128 raw")
    xxh128(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), raw)
    return PyBytes_FromStringAndSize(<char *>raw, XXH3_DIGEST_BYTES)


cdef class Matcher:
    """`bits` is the filter, `shallowest` as in the manifest, `records` one of `record_bytes` for each id of `trie`; `only_record`: the
    one that all names have, or -1."""

    def __cinit__(self, bits, bits_per_slice, salt, int shallowest, trie, records, int record_bytes, Py_ssize_t only_record):
        cdef Py_buffer view
        self._bits = bits
        PyObject_GetBuffer(bits, &view, PyBUF_SIMPLE)
        self._filter = <const uint8_t *>view.buf
        if view.len * 8 < bits_per_slice * SLICES or bits_per_slice <= 0:
            PyBuffer_Release(&view)
            raise ValueError("the filter is shorter than its slices")
        PyBuffer_Release(&view)  # the mapping stays as long as `_bits` does
        self._bits_per_slice = bits_per_slice
        memcpy(self._salt, <const char *>salt, SALT_BYTES)
        self._shallowest = shallowest
        self._prefixes, self._ids = trie.prefixes, trie.key_id
        self._records, self._record_bytes, self._only_record = records, record_bytes, only_record
        PyObject_GetBuffer(records, &view, PyBUF_SIMPLE)
        self._record_raw = <const uint8_t *>view.buf
        if view.len != <Py_ssize_t>len(trie) * record_bytes or record_bytes not in (1, 2, 4):
            PyBuffer_Release(&view)
            raise ValueError("not a record for each name")
        PyBuffer_Release(&view)  # as above

    cdef int start(self, const Question *question, Search *search) except -1:
        """Ask memory for the bits of the filter."""
        cdef int slice_
        search.clean = False
        search.filter_key = filter_key_of(question)
        self._digest(question.key + search.filter_key, question.name_bytes - search.filter_key, search.digest)
        for slice_ in range(SLICES):
            prefetch(self._filter + (self._bit(search.digest, slice_) >> 3))
        return 0

    cdef int narrow(self, const Question *question, Search *search) except -1:
        """Let the filter say that the name is clean."""
        search.clean = not self._passes(search.digest) and not self._may_list_shallow(question, search)
        return 0

    cdef int approach(self, const Question *question, Search *search) except -1:
        return 0

    cdef int match(self, const Question *question, Search *search, Found *found, int most) except -1:
        """How many names are listed at and above the one of `question`; `found` gets them, the most specific first. MORE_FOUND when
        they are more than `most`: it has the first of them then."""
        cdef uint8_t key[MAX_NAME_BYTES]
        cdef Py_ssize_t size, record
        cdef int at = 0
        if search.clean:
            return 0
        size = write_reversed_key(question, key)
        for prefix in reversed(self._prefixes(PyBytes_FromStringAndSize(<char *>key, size))):
            if at == most:
                return MORE_FOUND
            record = self._only_record
            if record < 0:
                record = self._record_of(self._ids(prefix))
            found[at].name_bytes = PyBytes_GET_SIZE(prefix) + 1
            found[at].code = record << 1 | (PyBytes_GET_SIZE(prefix) != size)
            at += 1
        return at

    cpdef find(self, Query query):
        """As `Blockset.find` for the name of `query`."""
        cdef Search search
        cdef Found found[MOST_FOUND]
        cdef int count, at
        self.start(&query.q, &search)
        self.narrow(&query.q, &search)
        self.approach(&query.q, &search)
        count = self.match(&query.q, &search, found, MOST_FOUND)
        return [(found[at].name_bytes, found[at].code) for at in range(count)] if count else ()

    cdef Py_ssize_t _record_of(self, Py_ssize_t number) noexcept nogil:
        """Little-endian, as the whole file is; the trie has no other ids than there are records."""
        cdef const uint8_t *at = self._record_raw + number * self._record_bytes
        cdef Py_ssize_t record = at[0]
        if self._record_bytes > 1:
            record |= at[1] << 8
        if self._record_bytes > 2:
            record |= <Py_ssize_t>at[2] << 16 | <Py_ssize_t>at[3] << 24
        return record

    cdef bint _may_list_shallow(self, const Question *question, const Search *search) except -1:
        """Whether the last label of a name, or the root, may be listed itself."""
        cdef uint8_t digest[XXH3_DIGEST_BYTES]
        cdef const uint8_t *label = question.key + search.filter_key
        cdef Py_ssize_t step
        if self._shallowest != 1:
            return self._shallowest == 0
        step = label[0] + 1 if label[0] else 0
        if label[step] == 0:
            return False  # the filter key is a single label, which the filter has just refused
        self._digest(label + step, question.name_bytes - search.filter_key - step, digest)
        return self._passes(digest)

    cdef int _digest(self, const uint8_t *name, Py_ssize_t size, uint8_t *digest) except -1:
        cdef uint8_t salted[SALT_BYTES + MAX_NAME_BYTES]
        cdef bytes whole
        memcpy(salted, self._salt, SALT_BYTES)
        memcpy(salted + SALT_BYTES, name, size)
        size += SALT_BYTES
        if size <= XXH3_MOST_BYTES:
            xxh128(salted, size, digest)
        else:
            whole = xxh128_digest(PyBytes_FromStringAndSize(<char *>salted, size))
            memcpy(digest, PyBytes_AS_STRING(whole), XXH3_DIGEST_BYTES)
        return 0

    cdef uint64_t _bit(self, const uint8_t *digest, int slice_) noexcept nogil:
        cdef uint64_t position
        cdef uint32_t wide
        cdef uint16_t narrow
        if self._bits_per_slice >= WIDE_BITS:
            memcpy(&wide, digest + 4 * slice_, 4)
            position = wide
        else:
            memcpy(&narrow, digest + 2 * slice_, 2)
            position = narrow
        return slice_ * self._bits_per_slice + position % self._bits_per_slice

    cdef bint _passes(self, const uint8_t *digest) noexcept nogil:
        cdef int slice_
        cdef uint64_t bit
        for slice_ in range(SLICES):
            bit = self._bit(digest, slice_)
            if not self._filter[bit >> 3] >> (bit & 7) & 1:
                return False
        return True
