"""An upstream's response of the common kinds: records of the queried name and type, perhaps behind a chain of CNAMEs, or a
negative answer with its SOA. Nothing here allocates or raises.

Whatever is *plain* by this reader, `pdns.core` would believe, and cacheable to the same entry, unless a feed lists one of the
`targets`, or an address. Of what is not plain nothing is said here, and `pdns.core` is to look at it.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from pdns.fast.wire cimport MAX_NAME_BYTES

cdef enum:
    MAX_RESPONSE_BYTES = 1232
    MOST_TTLS = 102  # as many records as there can be in that
    MOST_TARGETS = 16  # of a chain; longer ones are left to Python


cdef struct Bounds:  # of what is kept, in seconds
    uint32_t min_ttl_s
    uint32_t max_ttl_s
    uint32_t max_negative_ttl_s


cdef struct Name:
    uint16_t bytes
    uint8_t raw[MAX_NAME_BYTES]  # lower case, not compressed


cdef struct Plain:
    uint16_t rcode
    uint16_t ancount
    uint16_t nscount
    uint16_t body_at  # in the message
    uint16_t body_bytes
    uint16_t ttl_count
    bint ad
    bint edns
    uint16_t turn_at, turn_bytes, turn_count  # addresses to give in turns, as `pdns.core.entry.Rotation` has them
    bint hints  # there may be addresses in HTTPS or SVCB records
    uint32_t lifetime_s  # never 0
    uint16_t ttl_at[MOST_TTLS]  # in the body; the type of the record stands 4 bytes before, its RDATA 6 behind
    uint32_t ttl_s[MOST_TTLS]
    int target_count
    Name targets[MOST_TARGETS]  # of the chain, in its order, and of HTTPS and SVCB records


cdef bint read_plain(
    const uint8_t *wire, Py_ssize_t size, const uint8_t *key, Py_ssize_t name_bytes, bint want_dnssec, const Bounds *bounds, Plain *out
) noexcept nogil  # `key` begins with the question in lower case, and `wire` has that question
