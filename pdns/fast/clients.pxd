"""Who a client is and how much it may ask: the compiled twins of `pdns.core.clients` and `pdns.reference.rate_limit`.

Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d. What is remembered of them has a fixed size, in sets of four. What all workers share, they
change with atomic operations.
"""

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from pdns.fast.hashing cimport HashKey

cdef enum:
    ADDRESS_BYTES = 16
    WAYS = 4
    SETS = 16384


cdef struct Known:
    uint8_t address[ADDRESS_BYTES]
    uint64_t used  # when, in look-ups; 0: a free place
    uint16_t number  # of the client, in `ClientTable.clients`
    uint16_t policy
    bint allowed


cdef struct Bucket:
    uint64_t tag  # of the prefix; 0: a free place
    uint64_t full_ns  # when it is full again


cdef class ClientTable:
    cdef readonly list clients  # every `Client` that there is, by number
    cdef list tenants  # of each, its tenant
    cdef object _reference
    cdef dict _numbers
    cdef Known *_known
    cdef uint64_t _lookups
    cdef HashKey _hash_key

    cdef Known *find(self, const uint8_t *address) except NULL
    cdef object find_credential(self, const uint8_t *address, object credential, Known *out)
    cdef int _describe(self, const uint8_t *address, object client, Known *out) except -1


cdef class RateLimiter:
    cdef readonly object action
    cdef readonly bint on
    cdef uint64_t _interval_ns
    cdef uint64_t _burst_ns
    cdef int _prefix_bits[2]  # of the 128, for IPv4 and IPv6
    cdef Bucket *_buckets
    cdef object _memory
    cdef HashKey _hash_key

    cdef bint admits_address(self, const uint8_t *address, double now) noexcept nogil
    cdef Bucket *_bucket(self, const uint8_t *address, uint64_t now_ns) noexcept nogil


cdef HashKey new_hash_key()
cdef bint is_ipv4(const uint8_t *address) noexcept nogil
cdef object text_of(const uint8_t *address)
cdef bytes packed(str address)  # raises OSError for what is no address
