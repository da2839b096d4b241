"""The answer cache in one flat arena: the compiled twin of `pdns.core.cache`.

The arena is one mapping, of a memfd when the supervisor made it, so that a worker's answers outlive the worker: a header,
then two rings of records, probation and main (after S3-FIFO). A record is written whole before the ring's head moves past
it, and a ring's tail moves past a record before anything is written over it: whenever the writer is killed, what stands
between tail and head is sound. The index is private to the process and made anew from the records.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pdns.fast.checks cimport must
from pdns.fast.hashing cimport HashKey
from pdns.fast.wire cimport Question

# Where an answer came from, by its place in `cache.SOURCES`.
cdef enum:
    BLOCKED
    CACHE
    UPSTREAM
    STALE
    LOCAL
    REFUSED
    ERROR
    SOURCE_COUNT

cdef enum:
    NO_EDE = -1
    OPTION_EDE = 15
    MAX_RECORD_BYTES = 16384
    RECORD_UNIT = 8  # records begin at multiples of it

cdef enum:
    GONE  # its place is not used again before the ring's tail has passed it
    LIVE
    FILLER  # the end of a ring that was too short for the next record


cdef struct Record:
    uint32_t size  # octets in all, a multiple of RECORD_UNIT; what precedes the rest of a FILLER
    uint8_t state
    uint8_t source
    uint8_t ad
    uint8_t visited
    uint64_t hash  # of the key, by this process's HashKey
    uint64_t rules_epoch  # of the rules it was decided under
    double stored_s
    double expires_s
    double retry_s
    uint32_t next  # in its chain of the index: place in the arena in units; 0 ends it
    uint32_t hits
    uint32_t seen_minute  # when a client was last counted as having met it, and which one
    uint32_t seen_client
    int32_t ede_code
    uint16_t rcode
    uint16_t attribution  # index into AnswerCache.attributions; 0: none
    uint16_t ancount
    uint16_t nscount
    uint16_t key_bytes
    uint16_t body_bytes
    uint16_t ttl_count
    uint16_t ede_bytes
    uint16_t listed_bytes
    uint8_t in_main
    uint8_t refreshing
    uint8_t silent  # the answer is to give none
    uint8_t turn_count  # of the addresses that are given in turns; 0: none
    uint16_t turn_at  # where the first of these records begins in the body
    uint16_t turn_bytes  # of each
    uint16_t more_ede_bytes
    # then: key, body, a u16 for each TTL's place in the body, EDE text, further EDE options, listed name


cdef inline size_t octets_of(const Record *record) noexcept nogil:
    """What its parts take together."""
    return sizeof(Record) + record.key_bytes + record.body_bytes + 2 * record.ttl_count + record.ede_bytes + record.more_ede_bytes + record.listed_bytes


cdef inline uint8_t *key_of(Record *record) noexcept nogil:
    return <uint8_t *>record + sizeof(Record)


cdef inline uint8_t *body_of(Record *record) noexcept nogil:
    return key_of(record) + record.key_bytes


cdef inline uint8_t *ttls_of(Record *record) noexcept nogil:
    return body_of(record) + record.body_bytes


cdef inline uint8_t *ede_of(Record *record) noexcept nogil:
    return ttls_of(record) + 2 * record.ttl_count


cdef inline uint8_t *listed_of(Record *record) noexcept nogil:
    return ede_of(record) + record.ede_bytes + record.more_ede_bytes


cdef struct Ring:  # positions count octets since the beginning of time; modulo `size` they are places in the ring
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


cdef class Prepared:  # a Template of pdns.core.block_answer, as far as it can be made a record
    cdef object template
    cdef Record shape
    cdef bytes body
    cdef uint16_t ttls[4]
    cdef bytes ede_head
    cdef bytes ede_tail


cdef class AnswerCache:
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
    cdef readonly list attributions  # (verdict's feed, category, action, also) or None, monitored
    cdef dict _attribution_numbers
    cdef dict _prepared  # by the id of the template, which it holds
    cdef Prepared _last_prepared
    cdef readonly uint64_t evictions

    cdef uint64_t hash_of(self, const uint8_t *key, size_t key_bytes) noexcept nogil
    cdef void expect(self, uint64_t hash) noexcept nogil
    cdef void expect_record(self, uint64_t hash) noexcept nogil
    cdef Record *find(self, const uint8_t *key, size_t key_bytes) noexcept nogil
    cdef Record *find_hashed(self, uint64_t hash, const uint8_t *key, size_t key_bytes) noexcept nogil
    cdef Record *begin(self, const uint8_t *key, Record *shape) noexcept nogil
    cdef void finish(self, Record *record) noexcept nogil
    cdef void unlink(self, Record *record) noexcept nogil
    cdef int attribution(self, verdict, tuple monitored) except -1

    cdef Record *_at(self, Ring *ring, uint64_t position) noexcept nogil
    cdef void _link(self, Record *record) noexcept nogil
    cdef void _make_room(self, Ring *ring, uint64_t size) noexcept nogil
    cdef void _skip_end(self, Ring *ring, uint64_t size) noexcept nogil
    cdef void _free_index(self) noexcept
    cdef bint _has_sound_rings(self, uint64_t probation_bytes) noexcept nogil
    cdef void _drop_oldest(self, Ring *ring) noexcept nogil
    cdef bint _fits(self, Ring *ring, uint64_t size) noexcept nogil
    cdef void _take_over(self, Ring *ring) noexcept
    cdef bint _is_sound(self, Ring *ring, Record *record, uint64_t position) noexcept nogil
    cdef void _copy(self, AnswerCache before, Ring *ring) noexcept
    cdef Record *_find(self, bytes key)
    cdef _entry(self, Record *record)


cdef Py_ssize_t write_opt(
    uint8_t *out, const Question *question, int ede_code, const uint8_t *text, Py_ssize_t text_bytes, Py_ssize_t more_bytes=*
) noexcept nogil  # behind `text` further options stand, of `more_bytes`
cdef Py_ssize_t render(
    Record *record, const Question *question, double now, Py_ssize_t max_bytes, int32_t stale_ttl_s, uint8_t *out
) noexcept nogil
