"""The memory of the answer cache, and the index of what it holds.

The arena is one mapping, of a memfd when the supervisor made it, so that a worker's answers outlive the worker: a header,
then two rings of records, probation and main (after S3-FIFO). A record is written whole before the ring's head moves past
it, and a ring's tail moves past a record before anything is written over it: whenever the writer is killed, what stands
between tail and head is sound. The index is private to the process and made anew from the records.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pdns.fast.hashing cimport HashKey
from pdns.fast.cache_record cimport CacheRecord


cdef struct Ring:  # positions count bytes since the beginning of time; modulo `size` they are places in the ring
    uint64_t start  # in the arena
    uint64_t size
    uint64_t head
    uint64_t tail


cdef struct Header:
    uint8_t magic[8]
    uint64_t arena_bytes
    uint64_t rules_epoch
    Ring probation
    Ring main


cdef class Arena:
    cdef uint8_t *_arena
    cdef Header *_header
    cdef uint32_t *_buckets
    cdef uint32_t *_ghosts  # what left probation without having been asked for again
    cdef size_t _arena_bytes
    cdef size_t _mask
    cdef size_t _live_bytes
    cdef Py_ssize_t _live
    cdef HashKey _hash_key
    cdef object _mapping
    cdef readonly uint64_t evictions

    cdef uint64_t hash_of(self, const uint8_t *key, size_t key_bytes) noexcept nogil
    cdef void expect(self, uint64_t hash) noexcept nogil
    cdef void expect_record(self, uint64_t hash) noexcept nogil
    cdef void expect_new(self, uint64_t hash) noexcept nogil
    cdef CacheRecord *find(self, const uint8_t *key, size_t key_bytes) noexcept nogil
    cdef CacheRecord *find_hashed(self, uint64_t hash, const uint8_t *key, size_t key_bytes) noexcept nogil
    cdef CacheRecord *begin(self, const uint8_t *key, CacheRecord *shape) noexcept nogil
    cdef CacheRecord *begin_hashed(self, uint64_t hash, const uint8_t *key, CacheRecord *shape) noexcept nogil
    cdef void finish(self, CacheRecord *record) noexcept nogil
    cdef void unlink(self, CacheRecord *record) noexcept nogil

    cdef CacheRecord *_at(self, Ring *ring, uint64_t position) noexcept nogil
    cdef void _link(self, CacheRecord *record) noexcept nogil
    cdef void _make_room(self, Ring *ring, uint64_t size) noexcept nogil
    cdef void _skip_end(self, Ring *ring, uint64_t size) noexcept nogil
    cdef void _free_index(self) noexcept
    cdef bint _has_sound_rings(self, uint64_t probation_bytes) noexcept nogil
    cdef void _drop_oldest(self, Ring *ring) noexcept nogil
    cdef bint _fits(self, Ring *ring, uint64_t size) noexcept nogil
    cdef void _take_over(self, Ring *ring) noexcept
    cdef bint _is_sound(self, Ring *ring, CacheRecord *record, uint64_t position) noexcept nogil
    cdef void _copy(self, Arena before, Ring *ring) noexcept
