"""Whether a name is listed: the compiled twin of `pdns.blockset.reader.Blockset.find`.

The Bloom filter and the table of names are read where they are mapped.
"""

# specification: pdns/blockset/reader.py:Blockset.find
# specification: pdns/blockset/name_table.py:NameTable.find

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pdns.fast.checks cimport must
from pdns.fast.name_table cimport Element, bucket_of, find_element, hash_below, offset_of
from pdns.fast.query cimport Query, filter_key_of
from pdns.fast.wire cimport MAX_NAME_BYTES
from pdns.fast.xxh3 cimport XXH3_DIGEST_BYTES, XXH3_LEAST_BYTES, XXH3_MOST_BYTES, xxh128

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *at) noexcept nogil

cdef enum:
    WIDE_BITS = 1 << 15  # from so many bits a slice on, pybloom-live cuts a hash into 32-bit numbers
    CACHE_LINE_BYTES = 64
    HEADER_BYTES = 48
    MAGIC_BYTES = 8
    RANKED_BUCKETS = 64
    MOST_LABELS = 127


def digest128(bytes data not None):
    """`xxhash.xxh128_digest` of 17 to 240 bytes. Raises `ValueError` for fewer or more."""
    cdef uint8_t raw[XXH3_DIGEST_BYTES]
    if not XXH3_LEAST_BYTES <= PyBytes_GET_SIZE(data) <= XXH3_MOST_BYTES:
        raise ValueError("not 17 to 240 bytes")
    xxh128(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), raw)
    return PyBytes_FromStringAndSize(<char *>raw, XXH3_DIGEST_BYTES)


cdef class Matcher:
    """`bits` is the filter, `shallowest` as in the manifest, `names` a `names.bin` that `pdns.blockset.name_table.NameTable` took for one;
    there are `records` different records."""

    def __cinit__(self, bits, bits_per_slice, salt, int shallowest, names, uint32_t records):
        cdef Py_buffer view
        cdef bint fits
        self._bits, self._names = bits, names
        PyObject_GetBuffer(bits, &view, PyBUF_SIMPLE)
        self._filter = <const uint8_t *>view.buf
        fits = 0 < bits_per_slice < 1 << 31 and view.len * 8 >= bits_per_slice * SLICES
        PyBuffer_Release(&view)  # the mapping stays as long as `_bits` does
        if not fits:
            raise ValueError("the filter is shorter than its slices")
        self._bits_per_slice = bits_per_slice
        memcpy(self._salt, <const char *>salt, SALT_BYTES)
        self._shallowest = shallowest
        PyObject_GetBuffer(names, &view, PyBUF_SIMPLE)
        self._table.records = records
        fits = _take_header(&self._table, <const uint8_t *>view.buf, view.len)
        PyBuffer_Release(&view)  # as above
        if not fits:
            raise ValueError("not a table of names")

    cdef void start(self, const Question *question, Search *search) noexcept nogil:
        """Ask memory for the bits of the filter."""
        cdef int slice_
        search.clean = False
        search.filter_key = filter_key_of(question)
        self._bits_of(question.key + search.filter_key, question.name_bytes - search.filter_key, search.bits)
        for slice_ in range(SLICES):
            prefetch(self._filter + (search.bits[slice_] >> 3))

    cdef void narrow(self, const Question *question, Search *search) noexcept nogil:
        """Let the filter say that the name is clean; if it does not, ask for where the bucket of the last two labels begins."""
        cdef const uint8_t *label = question.key + search.filter_key
        cdef const uint8_t *last = label
        cdef uint64_t hashed = self._table.start
        search.clean = not self._passes(search.bits) and not self._may_list_shallow(question, search)
        if search.clean or not label[0]:
            return
        if label[1 + label[0]]:
            last = label + 1 + label[0]
        hashed = search.hashed[0] = hash_below(hashed, self._table.factor, last)
        if last != label:
            hashed = search.hashed[1] = hash_below(hashed, self._table.factor, label)
        prefetch(self._table.offsets + 4 * <uint64_t>bucket_of(hashed, self._table.buckets))

    cdef void approach(self, const Question *question, Search *search) noexcept nogil:
        """Ask for the bucket itself."""
        cdef const uint8_t *label = question.key + search.filter_key
        cdef uint32_t offset
        if search.clean or not label[0]:
            return
        offset = offset_of(&self._table, bucket_of(search.hashed[1 if label[1 + label[0]] else 0], self._table.buckets))
        if offset < self._table.data_bytes:
            prefetch(self._table.data + offset)
            prefetch(self._table.data + min(offset + CACHE_LINE_BYTES, self._table.data_bytes - 1))

    cdef int match(self, const Question *question, const Search *search, Found *found, int most) noexcept nogil:
        """How many names are listed at and above the one of `question`, at most `most`: `found` gets them, the most specific first.
        MORE_FOUND when there are more; then `found` says nothing."""
        cdef uint8_t labels[MOST_LABELS]  # where each begins
        cdef int depth = 0, turn, count = 0
        cdef Py_ssize_t at = 0
        cdef uint64_t parent = 0, hashed = 0
        cdef Element element
        cdef Found swapped
        if search.clean:
            return 0
        while question.key[at]:
            must(depth < MOST_LABELS)
            labels[depth] = <uint8_t>at
            at += 1 + question.key[at]
            depth += 1
        if self._table.root:
            if most < 1:
                return MORE_FOUND
            found[0].code, found[0].name_bytes = <uint64_t>(self._table.root - 1) << 1 | (depth > 0), 1
            count = 1
        for turn in range(depth):
            at = labels[depth - 1 - turn]
            hashed = search.hashed[turn] if turn < 2 else hash_below(hashed, self._table.factor, question.key + at)
            if not find_element(&self._table, hashed, parent, question.key + at, &element):
                break
            if element.listed:
                if count == most:
                    return MORE_FOUND
                found[count].code = (element.listed - 1) << 1 | (at > 0)
                found[count].name_bytes = question.name_bytes - at
                count += 1
            parent = element.number
            if not parent:
                break
        for turn in range(count // 2):
            swapped = found[turn]
            found[turn] = found[count - 1 - turn]
            found[count - 1 - turn] = swapped
        return count

    cpdef find(self, Query query):
        """As `Blockset.find` for the name of `query`."""
        cdef Search search
        cdef Found found[MOST_FOUND]
        cdef int count, at
        self.start(&query.q, &search)
        self.narrow(&query.q, &search)
        count = self.match(&query.q, &search, found, MOST_FOUND)
        return [(found[at].name_bytes, found[at].code) for at in range(count)] if count else ()

    cdef void _bits_of(self, const uint8_t *name, Py_ssize_t size, uint64_t *bits) noexcept nogil:
        """Which bits of the filter stand for a name of at most two labels."""
        cdef uint8_t salted[SALT_BYTES + MAX_NAME_BYTES]
        cdef uint8_t digest[XXH3_DIGEST_BYTES]
        cdef uint32_t wide
        cdef uint16_t narrow
        cdef int slice_
        must(SALT_BYTES + size <= XXH3_MOST_BYTES)
        memcpy(salted, self._salt, SALT_BYTES)
        memcpy(salted + SALT_BYTES, name, size)
        xxh128(salted, SALT_BYTES + size, digest)
        for slice_ in range(SLICES):
            if self._bits_per_slice >= WIDE_BITS:
                memcpy(&wide, digest + 4 * slice_, 4)
            else:
                memcpy(&narrow, digest + 2 * slice_, 2)
                wide = narrow
            bits[slice_] = slice_ * <uint64_t>self._bits_per_slice + wide % self._bits_per_slice

    cdef bint _passes(self, const uint64_t *bits) noexcept nogil:
        cdef int slice_
        for slice_ in range(SLICES):
            if not self._filter[bits[slice_] >> 3] >> (bits[slice_] & 7) & 1:
                return False
        return True

    cdef bint _may_list_shallow(self, const Question *question, const Search *search) noexcept nogil:
        """Whether the last label of a name, or the root, may be listed itself."""
        cdef uint64_t bits[SLICES]
        cdef Py_ssize_t last = search.filter_key
        if self._shallowest != 1:
            return self._shallowest == 0
        if question.key[last]:
            last += 1 + question.key[last]
        if question.key[last] == 0:
            return False  # the filter key is a single label, which the filter has just refused
        self._bits_of(question.key + last, question.name_bytes - last, bits)
        return self._passes(bits)


cdef bint _take_header(NameTable *table, const uint8_t *content, Py_ssize_t size) noexcept nogil:
    """False: the parts of the file are not where the header says, or it has records that there are not."""
    cdef uint32_t words[6]
    cdef uint64_t ranks_at, data_at
    if size < HEADER_BYTES:
        return False
    memcpy(&table.start, content + MAGIC_BYTES, 8)
    memcpy(&table.factor, content + MAGIC_BYTES + 8, 8)
    memcpy(words, content + MAGIC_BYTES + 16, 24)
    table.buckets, table.parents, table.common, table.root, table.data_bytes = words[0], words[1], words[3], words[4], words[5]
    ranks_at = HEADER_BYTES + 4 * (<uint64_t>table.buckets + 1)
    data_at = ranks_at + 4 * (<uint64_t>table.buckets // RANKED_BUCKETS + 1)
    table.offsets, table.data = content + HEADER_BYTES, content + data_at
    if table.root > table.records or (words[2] and table.common >= table.records):
        return False
    return table.buckets > 0 and <uint64_t>size == data_at + table.data_bytes
