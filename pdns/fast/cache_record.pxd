"""One answer as it is kept in the arena: a fixed part, then its parts of varying size."""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

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


cdef enum:
    SILENT = 1  # the answer is to give none
    TRUNCATED  # the answer is to come back over TCP


cdef struct CacheRecord:
    uint32_t size  # bytes in all, a multiple of RECORD_UNIT; what precedes the rest of a FILLER
    uint8_t state
    uint8_t source
    uint8_t ad
    uint8_t visited
    uint64_t hash  # of the key, by this process's HashKey
    uint32_t rules_epoch  # of the rules it was decided under
    uint32_t route_mark  # of the routes that its names took; 0: all the default
    double stored_s
    double expires_s
    double retry_s
    uint32_t next  # in its chain of the index: place in the arena in units; 0 ends it
    uint32_t hits
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
    uint8_t silent  # SILENT, TRUNCATED, or 0
    uint8_t turn_count  # of the addresses that are given in turns; 0: none
    uint16_t turn_at  # where the first of these records begins in the body
    uint16_t turn_bytes  # of each
    uint16_t more_ede_bytes
    # then: key, body, a u16 for each TTL's place in the body, EDE text, further EDE options, listed name


cdef inline size_t bytes_of(const CacheRecord *record) noexcept nogil:
    """What its parts take together."""
    return sizeof(CacheRecord) + record.key_bytes + record.body_bytes + 2 * record.ttl_count + record.ede_bytes + record.more_ede_bytes + record.listed_bytes


cdef inline uint8_t *key_of(CacheRecord *record) noexcept nogil:
    return <uint8_t *>record + sizeof(CacheRecord)


cdef inline uint8_t *body_of(CacheRecord *record) noexcept nogil:
    return key_of(record) + record.key_bytes


cdef inline uint8_t *ttls_of(CacheRecord *record) noexcept nogil:
    return body_of(record) + record.body_bytes


cdef inline uint8_t *ede_of(CacheRecord *record) noexcept nogil:
    return ttls_of(record) + 2 * record.ttl_count


cdef inline uint8_t *listed_of(CacheRecord *record) noexcept nogil:
    return ede_of(record) + record.ede_bytes + record.more_ede_bytes
