"""The names that were answered and not blocked, as keyed digests in a ring: see `pdns.telemetry.asked_names`.

A table of marks, each of a tenant, a name and a day, says what was written lately. It has a fixed size: what it has forgotten is
written again.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    MARK_SETS = 32768  # 1 MiB
    MARK_WAYS = 4


cdef class AskedNames:
    cdef object _memory, _tenant_slot
    cdef uint8_t *_ring
    cdef uint8_t *_records
    cdef uint32_t _capacity
    cdef uint64_t *_marks
    cdef uint64_t _day_mark
    cdef uint32_t _day
    cdef uint32_t _keyed[8]

    cdef inline bint knows(self, uint64_t mark) noexcept nogil:
        """Whether `mark` is in the table. It is from now on."""
        cdef uint64_t *ways = self._marks + (mark & (MARK_SETS - 1)) * MARK_WAYS
        return ways[0] == mark or self.knew(ways, mark)

    cdef inline uint64_t query_mark(self, uint64_t hash, uint32_t client) noexcept nogil:
        """Of a question, by the hash of its key in the cache, and a client, by its number."""
        return (hash + client * <uint64_t>0x9E3779B97F4A7C15) ^ self._day_mark

    cdef bint knew(self, uint64_t *ways, uint64_t mark) noexcept nogil
    cdef bint _put(self, const uint8_t *digest, uint32_t slot) noexcept nogil
    cdef int write(self, const uint8_t *name, Py_ssize_t size, str tenant) except -1
