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

    cpdef find(self, Query query):
        """As `Blockset.find` for the name of `query`."""
        cdef uint8_t salted[SALT_BYTES + MAX_NAME_BYTES]
        cdef uint8_t key[MAX_NAME_BYTES]
        cdef Py_ssize_t filter_key = filter_key_of(&query.q), size = query.q.name_bytes - filter_key, last
        cdef list prefixes
        cdef bytes reversed_key
        memcpy(salted, self._salt, SALT_BYTES)
        memcpy(salted + SALT_BYTES, query.q.key + filter_key, size)
        if not self._passes(salted, SALT_BYTES + size):
            if self._shallowest == 2:
                return ()
            if self._shallowest == 1:
                last = query.q.key[filter_key] + 1 if query.q.key[filter_key] else 0
                if query.q.key[filter_key + last] == 0:
                    return ()  # the filter key is a single label, which the filter has just refused
                memcpy(salted + SALT_BYTES, query.q.key + filter_key + last, size - last)
                if not self._passes(salted, SALT_BYTES + size - last):
                    return ()
        size = write_reversed_key(&query.q, key)
        reversed_key = PyBytes_FromStringAndSize(<char *>key, size)
        prefixes = self._prefixes(reversed_key)
        if len(prefixes) == 1:
            return (self._found(prefixes[0], size),)
        return [self._found(prefix, size) for prefix in reversed(prefixes)]

    cdef tuple _found(self, bytes prefix, Py_ssize_t key_bytes):
        cdef Py_ssize_t size = PyBytes_GET_SIZE(prefix), record = self._only_record
        if record < 0:
            record = self._record_of(self._ids(prefix))
        return size + 1, record << 1 | (size != key_bytes)

    cdef Py_ssize_t _record_of(self, Py_ssize_t number) noexcept nogil:
        """Little-endian, as the whole file is; the trie has no other ids than there are records."""
        cdef const uint8_t *at = self._record_raw + number * self._record_bytes
        cdef Py_ssize_t record = at[0]
        if self._record_bytes > 1:
            record |= at[1] << 8
        if self._record_bytes > 2:
            record |= <Py_ssize_t>at[2] << 16 | <Py_ssize_t>at[3] << 24
        return record

    cdef bint _passes(self, const uint8_t *salted, Py_ssize_t size) except -1:
        cdef uint8_t raw[XXH3_DIGEST_BYTES]
        cdef bytes digest
        cdef uint64_t bit
        cdef uint32_t wide
        cdef uint16_t narrow
        cdef int slice_
        if size <= XXH3_MOST_BYTES:
            xxh128(salted, size, raw)
        else:
            digest = xxh128_digest(PyBytes_FromStringAndSize(<char *>salted, size))
            memcpy(raw, PyBytes_AS_STRING(digest), XXH3_DIGEST_BYTES)
        for slice_ in range(SLICES):
            if self._bits_per_slice >= WIDE_BITS:
                memcpy(&wide, raw + 4 * slice_, 4)
                bit = wide
            else:
                memcpy(&narrow, raw + 2 * slice_, 2)
                bit = narrow
            bit = slice_ * self._bits_per_slice + bit % self._bits_per_slice
            if not self._filter[bit >> 3] >> (bit & 7) & 1:
                return False
        return True
