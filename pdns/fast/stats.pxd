"""Counting without Python: the slots of `pdns.telemetry.stats.Stats`, found once for each client and then added to."""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from pdns.fast.cache_record cimport SOURCE_COUNT

cdef enum:
    UDP
    TCP
    TLS
    HTTPS
    QUIC
    H3
    TRANSPORTS

cdef enum:
    QTYPE_LABELS_AT_MOST = 16
    RCODE_LABELS = 8
    BUCKETS_AT_MOST = 32
    RECENT_BLOCKS = 256


cdef struct Slots:  # of one client's tenant; each is one more than the slot, 0 while it was never asked for
    uint32_t query[TRANSPORTS][QTYPE_LABELS_AT_MOST]
    uint32_t response[SOURCE_COUNT][RCODE_LABELS]


cdef struct BlockSlots:  # where a block is counted; that of `blocked_total` is the first, if there is one
    uint32_t count
    uint32_t *slot


cdef class KeptBlockSlots:
    cdef BlockSlots slots


cdef struct RecentBlock:
    uint64_t key  # as of `_block_slots`; 0: a free place
    const BlockSlots *slots  # of an object that `_block_slots` holds


cdef class FastStats:
    cdef object _stats
    cdef object _view
    cdef uint64_t *_values
    cdef list _tenants  # of each client, by its number
    cdef Slots *_slots
    cdef size_t _room
    cdef dict _block_slots  # 1 << 32 | client number << 16 | attribution -> KeptBlockSlots, which stay
    cdef RecentBlock _recent_blocks[RECENT_BLOCKS]
    cdef list _attributions
    cdef double _bounds_s[BUCKETS_AT_MOST]
    cdef int _bound_count
    cdef uint32_t _durations[SOURCE_COUNT][BUCKETS_AT_MOST + 1]  # the last one in use is the sum
    cdef bint _has_durations[SOURCE_COUNT]
    cdef uint32_t _not_a_query, _rate_limit

    cdef int query(self, uint16_t client, int transport, uint16_t qtype) except -1
    cdef int response(self, uint16_t client, int source, int rcode) except -1
    cdef const BlockSlots *blocked(self, uint16_t client, uint16_t attribution) except NULL
    cdef int lasted(self, int source, uint64_t count, double duration_s) except -1
    cdef void spread(self, const uint32_t *histogram, uint64_t count, double duration_s) noexcept nogil  # a slot a bucket, then the sum
    cdef void dropped_not_a_query(self) noexcept nogil
    cdef void dropped_rate_limit(self) noexcept nogil
