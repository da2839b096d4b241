"""Sets of names. `name_set.pxd` has the contract."""

# specification: pdns/core/local_rules.py:may_have

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from pdns.fast.clients cimport new_hash_key
from pdns.fast.query cimport filter_key_of
from pdns.fast.wire cimport MAX_NAME_BYTES, Question

cdef uint64_t _start = new_hash_key().k0  # names come from other systems too, whose names strangers choose


cdef inline uint64_t hash_of(const uint8_t *name, Py_ssize_t size) noexcept nogil:
    cdef uint64_t value = _start ^ <uint64_t>size, word
    cdef uint32_t first, last
    while size >= 8:
        memcpy(&word, name, 8)
        value = (value ^ word) * <uint64_t>0x9E3779B97F4A7C15
        value ^= value >> 32
        name += 8
        size -= 8
    if size >= 4:
        memcpy(&first, name, 4)
        memcpy(&last, name + size - 4, 4)
        word = <uint64_t>first << 32 | last
    elif size:
        word = <uint64_t>name[0] << 16 | <uint64_t>name[size >> 1] << 8 | name[size - 1]
    else:
        word = 0
    value = (value ^ word) * <uint64_t>0x9E3779B97F4A7C15
    return value ^ value >> 32


cdef NameEnds ends_of(const Question *question) noexcept nogil:
    cdef NameEnds ends
    ends.two = question.key + filter_key_of(question)
    ends.two_bytes = question.key + question.name_bytes - ends.two
    ends.two_hash = hash_of(ends.two, ends.two_bytes)
    ends.one, ends.one_bytes, ends.one_hash = NULL, 0, 0
    if ends.two[0]:
        ends.one = ends.two + 1 + ends.two[0]
        ends.one_bytes = ends.two_bytes - 1 - ends.two[0]
        ends.one_hash = hash_of(ends.one, ends.one_bytes)
    return ends


cdef class NameSet:
    """Of `names`, bytes in wire form and lower case."""

    def __cinit__(self, names):
        cdef size_t places = 2, room = 0, at = 0
        cdef uint64_t place
        cdef Py_ssize_t size
        cdef bytes name
        for name in names:
            size = PyBytes_GET_SIZE(name)
            if not 0 < size <= MAX_NAME_BYTES:
                raise ValueError("not a name in wire form")
            room += 1 + size
        if room > <size_t>0xFFFFFFFE:
            raise OverflowError("too many names")
        while places < 2 * <size_t>len(names):
            places *= 2
        self._names, self._places = <uint8_t *>malloc(room + 1), <uint32_t *>calloc(places, sizeof(uint32_t))
        if self._names == NULL or self._places == NULL:
            raise MemoryError
        self._mask = places - 1
        for name in names:
            size = PyBytes_GET_SIZE(name)
            self._names[at] = <uint8_t>size
            memcpy(self._names + at + 1, PyBytes_AS_STRING(name), size)
            place = hash_of(self._names + at + 1, size) & self._mask
            while self._places[place]:
                place = (place + 1) & self._mask
            self._places[place] = <uint32_t>(at + 1)
            at += 1 + size

    def __dealloc__(self):
        free(self._names)
        free(self._places)

    def __contains__(self, bytes name not None):
        cdef const uint8_t *raw = <const uint8_t *>PyBytes_AS_STRING(name)
        return self.has(raw, PyBytes_GET_SIZE(name), hash_of(raw, PyBytes_GET_SIZE(name)))

    cdef bint has(self, const uint8_t *name, Py_ssize_t size, uint64_t hash) noexcept nogil:
        cdef uint64_t place = hash & self._mask
        cdef const uint8_t *known
        while self._places[place]:
            known = self._names + self._places[place] - 1
            if known[0] == size and memcmp(known + 1, name, size) == 0:
                return True
            place = (place + 1) & self._mask
        return False

    cdef bint has_either(self, const NameEnds *ends) noexcept nogil:
        return self.has(ends.two, ends.two_bytes, ends.two_hash) or (
            ends.one != NULL and self.has(ends.one, ends.one_bytes, ends.one_hash)
        )
