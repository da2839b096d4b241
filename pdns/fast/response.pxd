"""An upstream's response about which Python has nothing to decide: records of the queried name and type, or a negative answer
with its SOA. Nothing here allocates or raises.

Whatever is *plain* by this reader, `pdns.core` would believe, allow and distill to the same entry; of what is not plain
nothing is said here, and `pdns.core` is to look at it.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef enum:
    MAX_RESPONSE_BYTES = 1232
    MOST_TTLS = 102  # as many records as there can be in that


cdef struct Bounds:  # of what is kept, in seconds
    uint32_t min_ttl_s
    uint32_t max_ttl_s
    uint32_t max_negative_ttl_s


cdef struct Plain:
    uint16_t rcode
    uint16_t ancount
    uint16_t nscount
    uint16_t body_at  # in the message
    uint16_t body_bytes
    uint16_t ttl_count
    bint ad
    bint edns
    uint32_t lifetime_s  # never 0
    uint16_t ttl_at[MOST_TTLS]  # in the body
    uint32_t ttl_s[MOST_TTLS]


cdef bint read_plain(
    const uint8_t *wire, Py_ssize_t size, const uint8_t *key, Py_ssize_t name_bytes, bint want_dnssec, bint addresses_listed,
    const Bounds *bounds, Plain *out
) noexcept nogil  # `key` begins with the question in lower case, and `wire` has that question
