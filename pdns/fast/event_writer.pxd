"""Events of blocked and monitored queries, in memory that other processes read: the compiled twin of `pdns.reference.event_writer`.

A repeat of a query is one look-up and one addition.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from pdns.fast.cache cimport AnswerCache
from pdns.fast.stats cimport BlockSlots

cdef enum:  # as pdns.telemetry.event_ring and pdns.reference.event_writer have it
    PREFIX_BYTES = 16
    FIXED_BYTES = 60
    SLOT_BYTES = 4
    RECORD_BYTES = 896
    MAX_SLOTS = 29
    MAX_TEXT_BYTES = 200
    PLACES = 8192
    DOMAIN_PLACES = 1024
    PROBES = 8
    COUNTS = 4096


cdef packed struct FixedRecord:
    uint64_t before
    uint32_t weight
    uint32_t unused
    double first_s
    double last_s
    uint8_t client[16]
    uint16_t qtype
    uint8_t transport
    uint8_t flags
    uint8_t client_kind
    uint8_t client_bits
    uint8_t slot_count
    uint8_t qname_bytes
    uint8_t listed_bytes
    uint8_t text_bytes
    uint16_t padding


cdef struct Place:
    uint64_t key  # 0: free
    uint32_t repeats
    uint32_t minute
    double first_s
    double last_s


cdef struct Count:
    uint64_t tag
    uint32_t count


cdef struct View:  # as pdns.core.client_identity.ClientView
    uint8_t is_known
    uint8_t kind
    uint8_t ipv4_bits
    uint8_t ipv6_bits


cdef struct Noted:  # one query
    const uint8_t *address
    const uint8_t *qname
    const uint8_t *listed
    const uint8_t *text
    uint64_t key_hash
    uint16_t qtype
    uint8_t transport
    uint8_t qname_bytes
    uint8_t listed_bytes  # 0: it was only monitored
    uint8_t text_bytes
    View view
    double now


cdef View view_of(told) except *
cdef int kept_bits(const View *view, const uint8_t *address) noexcept nogil
cdef void mask(uint8_t *address, int bits) noexcept nogil


cdef class EventWriter:
    cdef object _ring, _memory, _views
    cdef bytes _key
    cdef AnswerCache _cache
    cdef View *_view_of_client  # by number
    cdef size_t _room
    cdef double _minute_ends_s
    cdef uint32_t _minute
    cdef int _next_swept
    cdef uint64_t *_words  # of the header: head, weight, noted, monitored
    cdef Place *_places
    cdef uint8_t *_repeats  # the records of the places
    cdef uint8_t *_records
    cdef uint32_t _capacity
    cdef uint32_t _most_questions, _most_records, _most_records_and_clients  # of this worker
    cdef Count _pairs[COUNTS]
    cdef Count _domains[COUNTS]

    cdef int see(self, Noted *noted, uint16_t client, str tenant, const BlockSlots *slots) except -1  # `noted.view` is set here
    cdef int _take_up(self, Noted *noted, str tenant, const BlockSlots *slots) except -1
    cdef int _first(self, Noted *noted, const uint8_t *seen, uint64_t asked, uint64_t counted, str tenant, const BlockSlots *slots) except -1
    cdef Place *_domain_place(self, uint64_t key) noexcept nogil
    cdef void _begin_minute(self, double now) noexcept nogil
    cdef void _write_if_over(self, Place *place) noexcept nogil
    cdef bint _repeated(self, Place *place, uint64_t key, Noted *noted, bint with_client, str tenant, const BlockSlots *slots) except -1
    cdef void _open(self, Place *place, uint64_t key) noexcept nogil
    cdef int _fill(self, uint8_t *record, Noted *noted, bint with_client, str tenant, const BlockSlots *slots) except -1
    cdef uint8_t *_record_of(self, Place *place) noexcept nogil
    cdef void _write_repeats(self, Place *place) noexcept nogil
    cdef uint8_t *_next(self) noexcept nogil
    cdef void _written(self, uint8_t *record, uint32_t weight) noexcept nogil
