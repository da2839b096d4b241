"""Counting without Python: the slots of `pdns.telemetry.stats.Stats`, found once for each client and then added to."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from pdns.fast.cache_record cimport SOURCE_COUNT

cdef enum:
    SALT_BYTES = 16

cdef enum:
    UDP
    TCP
    TRANSPORTS

cdef enum:
    QTYPE_LABELS_AT_MOST = 16
    RCODE_LABELS = 8
    BUCKETS_AT_MOST = 32
    LATELY_SAID = 4096


cdef struct Slots:  # of one client's tenant; each is one more than the slot, 0 while it was never asked for
    uint32_t query[TRANSPORTS][QTYPE_LABELS_AT_MOST]
    uint32_t response[SOURCE_COUNT][RCODE_LABELS]
    uint32_t tenant  # what stands for it among blocked names


cdef struct BlockEvent:
    uint64_t listed_hash
    uint32_t series
    uint32_t blocked
    uint64_t minute


cdef class FastStats:
    cdef object _stats
    cdef object _view
    cdef uint64_t *_values
    cdef list _tenants  # of each client, by its number
    cdef Slots *_slots
    cdef size_t _room
    cdef dict _block_slots  # client number << 16 | attribution -> slots
    cdef list _attributions
    cdef double _bounds_s[BUCKETS_AT_MOST]
    cdef int _bound_count
    cdef uint32_t _durations[SOURCE_COUNT][BUCKETS_AT_MOST + 1]  # the last one in use is the sum
    cdef bint _has_durations[SOURCE_COUNT]
    cdef object _sightings_memory
    cdef uint32_t _event_bytes
    cdef uint8_t *_block_ring  # laid out as `pdns.telemetry.block_ring` says; NULL: it is not written
    cdef uint8_t _salt[SALT_BYTES]
    cdef BlockEvent _said[LATELY_SAID]  # what was said last, in places by hash
    cdef uint32_t _not_a_query, _rate_limit

    cdef int query(self, uint16_t client, int transport, uint16_t qtype) except -1
    cdef int response(self, uint16_t client, int source, int rcode) except -1
    cdef int blocked(self, uint16_t client, uint16_t attribution) except -1
    cdef int sighted(self, uint16_t client, uint16_t attribution, const uint8_t *listed, size_t listed_bytes, uint32_t minute) except -1
    cdef int lasted(self, int source, uint64_t count, double duration_s) except -1
    cdef void spread(self, const uint32_t *histogram, uint64_t count, double duration_s) noexcept nogil  # a slot a bucket, then the sum
    cdef void dropped_not_a_query(self) noexcept nogil
    cdef void dropped_rate_limit(self) noexcept nogil
