"""Writes `names.bin`: the compiled twin of `pdns.blockset.name_writer`.

Three times through the names: what is below what; how long each bucket gets; every element to its place. Only the names that others
are below are counted in memory, four bytes each and four for its number.
"""

# specification: pdns/blockset/name_writer.py:write_names

from array import array

from cpython cimport array as c_array
from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport UINT32_MAX, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from pdns.fast.checks cimport must
from pdns.fast.name_table cimport HAS_CHILDREN, HAS_RECORD, bucket_of, hash_below

from pdns.blockset.name_table import HEADER, MAGIC, RANKED_BUCKETS
from pdns.blockset.name_writer import BUCKET_ELEMENTS, NamesFile

cdef uint32_t _RANKED_BUCKETS = RANKED_BUCKETS

cdef enum:
    MOST_LABELS = 127
    MOST_LABEL_BYTES = 63
    MOST_KEY_BYTES = 254
    MOST_ELEMENT_BYTES = 1 + 5 + MOST_LABEL_BYTES + 5 + 5
    FIRST_PARENTS = 1024

cdef enum Pass:
    COUNTING
    MEASURING
    PLACING


cdef struct Level:  # a name above the one that was read last, or that one
    uint32_t parent  # the place among names that others are below, by key
    uint32_t end  # of its key
    uint64_t hashed


def write_names(read, seed, records, common):
    """As `pdns.blockset.name_writer.write_names`, without holding the names. Raises `ValueError` for keys of no name or out of order,
    and `OverflowError` for more than the file can hold."""
    cdef _Builder builder = _Builder(seed, records, common)
    builder.go_through(read(), COUNTING)
    builder.number()
    builder.go_through(read(), MEASURING)
    builder.lay_out()
    builder.go_through(read(), PLACING)
    return builder.made()


cdef class _Builder:
    cdef object _seed
    cdef uint32_t[::1] _records
    cdef uint32_t _common
    cdef Pass _pass
    # the name that was read last, and all above it
    cdef Level _levels[MOST_LABELS + 1]
    cdef int _depth
    cdef uint8_t _key[MOST_KEY_BYTES]
    cdef Py_ssize_t _key_bytes
    cdef uint32_t _row
    cdef bint _any  # a name has been read in this pass
    # of each name that others are below, in the order of the keys
    cdef uint32_t *_children
    cdef uint32_t *_numbers
    cdef size_t _room
    cdef uint32_t _parents  # in this pass so far
    cdef uint32_t _most_parents
    cdef uint64_t _elements
    # of each bucket, and of the root
    cdef uint32_t _buckets
    cdef uint32_t *_bytes  # how many it gets; then where its next element goes
    cdef uint32_t *_listed  # how many listed names it gets; then the number of the next
    cdef uint32_t _names
    cdef bint _lists_root
    cdef uint32_t _root_row
    cdef bytearray _content
    cdef uint8_t *_offsets
    cdef uint8_t *_data
    cdef uint64_t _data_bytes
    cdef uint64_t _placed
    cdef c_array.array _rows
    cdef uint64_t _start, _factor

    def __cinit__(self, seed, records, uint32_t common):
        self._seed, self._records, self._common = seed, array("I", records), common
        self._start, self._factor = seed

    def __dealloc__(self):
        PyMem_Free(self._children)
        PyMem_Free(self._numbers)
        PyMem_Free(self._bytes)
        PyMem_Free(self._listed)

    cdef int go_through(self, stretches, Pass which) except -1:
        cdef list keys
        cdef const uint32_t[::1] rows
        cdef bytes key
        cdef Py_ssize_t at
        self._pass, self._depth, self._key_bytes, self._any, self._parents = which, 0, 0, False, 1
        self._levels[0].parent, self._levels[0].end, self._levels[0].hashed = 0, 0, self._start
        if which == COUNTING:
            self._grow()
            self._children[0] = 0
        for keys, rows in stretches:
            if rows.shape[0] != len(keys):
                raise ValueError("not a row for each name")
            for at in range(len(keys)):
                key = keys[at]
                if rows[at] >= self._records.shape[0]:
                    raise ValueError("a row without a record")
                self._take(<const uint8_t *>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), rows[at])
        if self._any:
            self._end_last(False)
        return 0

    cdef int _take(self, const uint8_t *key, Py_ssize_t size, uint32_t row) except -1:
        """The next name. What was read before it is a name above it, or has nothing below it."""
        cdef int depth = 0
        cdef Py_ssize_t at = 0, step
        if size > MOST_KEY_BYTES:
            raise ValueError("a key that is too long")
        while depth < self._depth:
            step = self._levels[depth + 1].end
            if step > size or memcmp(key + at, self._key + at, step - at) != 0:
                break
            at = step
            depth += 1
        if self._any:
            if at == size or (depth < self._depth and memcmp(key + at, self._key + at, min(size, self._key_bytes) - at) < 0):
                raise ValueError("keys are not sorted")
            self._end_last(depth == self._depth)
        self._any = True
        self._depth = depth
        while at < size:
            step = 1 + key[at]
            if not 0 < key[at] <= MOST_LABEL_BYTES or at + step > size:
                raise ValueError("not the key of a name")
            if self._depth > depth:
                self._put(&self._levels[self._depth], key, True, 0)  # it is not listed, and what comes is below it
            self._descend(key, at, step)
            at += step
        memcpy(self._key, key, size)
        self._key_bytes, self._row = size, row
        return 0

    cdef int _descend(self, const uint8_t *key, Py_ssize_t at, Py_ssize_t step) except -1:
        cdef Level *above = &self._levels[self._depth]
        must(self._depth < MOST_LABELS)
        self._depth += 1
        self._levels[self._depth].end = <uint32_t>(at + step)
        if self._pass == COUNTING:
            self._children[above.parent] += 1
            self._elements += 1
        else:
            self._levels[self._depth].hashed = hash_below(above.hashed, self._factor, key + at)
        return 0

    cdef int _end_last(self, bint has_children) except -1:
        """Put the name that was read last, now that it is known whether others are below it."""
        if self._depth == 0:
            self._lists_root, self._root_row = True, self._row
            return 0
        return self._put(&self._levels[self._depth], self._key, has_children, self._records[self._row] + 1)

    cdef int _put(self, Level *level, const uint8_t *key, bint has_children, uint32_t listed) except -1:
        """One element; `listed` is its record, counted from 1."""
        cdef uint8_t element[MOST_ELEMENT_BYTES]
        cdef uint8_t *end = element
        cdef Level *above = level - 1
        cdef Py_ssize_t label_bytes = level.end - above.end - 1
        cdef uint32_t bucket
        if has_children:
            if self._pass == COUNTING:
                self._grow()
                self._children[self._parents] = 0
            elif self._parents == self._most_parents:
                raise ValueError("other names than the time before")
            level.parent = self._parents
            self._parents += 1
        if self._pass == COUNTING:
            return 0
        end[0] = <uint8_t>label_bytes
        end = _put_varint(end + 1, self._numbers[above.parent])
        memcpy(end, key + above.end + 1, label_bytes)
        end += label_bytes
        if has_children:
            element[0] |= HAS_CHILDREN
            end = _put_varint(end, self._numbers[level.parent])
        if listed != self._common + 1:
            element[0] |= HAS_RECORD
            end = _put_varint(end, listed)
        bucket = bucket_of(level.hashed, self._buckets)
        if self._pass == MEASURING:
            self._data_bytes += end - element
            if self._data_bytes > UINT32_MAX:
                raise OverflowError("more names than a table of names holds")
        elif <uint64_t>self._bytes[bucket] + (end - element) > self._data_bytes or (listed and self._listed[bucket] >= self._names):
            raise ValueError("other names than the time before")
        else:
            memcpy(self._data + self._bytes[bucket], element, end - element)
            if listed:
                self._rows.data.as_uints[self._listed[bucket]] = self._row
                self._placed += 1
        self._bytes[bucket] += <uint32_t>(end - element)
        self._listed[bucket] += listed > 0
        return 0

    cdef int _grow(self) except -1:
        """Make room for one more name that others are below."""
        cdef void *grown
        if self._pass == COUNTING and <size_t>self._parents >= self._room:
            self._room = 2 * self._room if self._room else FIRST_PARENTS
            grown = PyMem_Realloc(self._children, self._room * sizeof(uint32_t))
            if grown == NULL:
                raise MemoryError
            self._children = <uint32_t *>grown
        return 0

    cdef int number(self) except -1:
        """Low numbers for names with many others below them; the root has 0."""
        cdef uint32_t most = 0, at, next_number = 1
        cdef Py_ssize_t count
        cdef uint32_t *places
        self._most_parents = self._parents
        for at in range(1, self._parents):
            most = max(most, self._children[at])
        self._numbers = <uint32_t *>PyMem_Malloc(self._parents * sizeof(uint32_t))
        places = <uint32_t *>PyMem_Malloc((<size_t>most + 1) * sizeof(uint32_t))
        if self._numbers == NULL or places == NULL:
            PyMem_Free(places)
            raise MemoryError
        memset(places, 0, (<size_t>most + 1) * sizeof(uint32_t))
        for at in range(1, self._parents):
            places[self._children[at]] += 1
        for count in range(most, 0, -1):
            places[count], next_number = next_number, next_number + places[count]
        self._numbers[0] = 0
        for at in range(1, self._parents):
            self._numbers[at] = places[self._children[at]]
            places[self._children[at]] += 1
        PyMem_Free(places)
        PyMem_Free(self._children)
        self._children = NULL
        if self._elements > UINT32_MAX:
            raise OverflowError("more names than a table of names holds")
        self._buckets = <uint32_t>max(1, (self._elements + BUCKET_ELEMENTS - 1) // <uint64_t>BUCKET_ELEMENTS)
        self._bytes = <uint32_t *>PyMem_Malloc(self._buckets * sizeof(uint32_t))
        self._listed = <uint32_t *>PyMem_Malloc(self._buckets * sizeof(uint32_t))
        if self._bytes == NULL or self._listed == NULL:
            raise MemoryError
        memset(self._bytes, 0, self._buckets * sizeof(uint32_t))
        memset(self._listed, 0, self._buckets * sizeof(uint32_t))
        return 0

    cdef int lay_out(self) except -1:
        """Every bucket behind the one before."""
        cdef uint32_t[::1] parts = array("I", bytes(4 * (self._buckets + 1 + self._buckets // _RANKED_BUCKETS + 1)))
        cdef uint32_t bucket, size, names, offset = 0
        cdef Py_ssize_t head, ranks_at = <Py_ssize_t>self._buckets + 1
        if self._parents != self._most_parents:
            raise ValueError("other names than the time before")
        self._names = self._lists_root
        for bucket in range(self._buckets):
            if bucket % _RANKED_BUCKETS == 0:
                parts[ranks_at + bucket // _RANKED_BUCKETS] = self._names
            size, names = self._bytes[bucket], self._listed[bucket]
            parts[bucket], self._bytes[bucket], self._listed[bucket] = offset, offset, self._names
            offset += size
            self._names += names
        parts[self._buckets] = offset
        if self._buckets % _RANKED_BUCKETS == 0:
            parts[ranks_at + self._buckets // _RANKED_BUCKETS] = self._names
        root = self._records[self._root_row] + 1 if self._lists_root else 0
        header = HEADER.pack(MAGIC, *self._seed, self._buckets, self._parents, self._names, self._common, root, self._data_bytes)
        head = memoryview(parts).nbytes + len(header)
        self._content = bytearray(head + self._data_bytes)
        self._content[:head] = header + bytes(parts)
        self._offsets = self._data = <uint8_t *>PyByteArray_AS_STRING(self._content)
        self._offsets += len(header)
        self._data += head
        self._rows = array("I", bytes(4 * self._names))
        if self._lists_root:
            self._rows.data.as_uints[0] = self._root_row
        self._placed = self._lists_root
        return 0

    cdef object made(self):
        """The file. A bucket with a gap would end there: then names that stand behind it would not be listed."""
        cdef uint32_t bucket, end
        for bucket in range(self._buckets):
            memcpy(&end, self._offsets + 4 * (<size_t>bucket + 1), 4)
            if self._bytes[bucket] != end:
                raise ValueError("other names than the time before")
        if self._placed != self._names:
            raise ValueError("other names than the time before")
        return NamesFile(self._content, self._rows)


cdef inline uint8_t *_put_varint(uint8_t *to, uint32_t number) noexcept nogil:
    while number > 0x7F:
        to[0] = <uint8_t>(number & 0x7F | 0x80)
        number >>= 7
        to += 1
    to[0] = <uint8_t>number
    return to + 1
