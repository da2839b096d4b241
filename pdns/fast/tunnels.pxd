"""Tunnels through DNS: the compiled twin of `pdns.core.tunnels`. It sees the names that are asked upstream; a cached answer costs nothing.

A name that carries little touches three lines of memory, which `expect` has asked for before.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from pdns.fast.clients cimport ADDRESS_BYTES
from pdns.fast.hashing cimport HashKey
from pdns.fast.query cimport Query
from pdns.fast.wire cimport MAX_NAME_BYTES, Question

cdef enum:
    BUCKETS = 16384
    PLACES = 32
    NEW_AT = 16
    SETS = 256
    WAYS = 8

cdef enum Rule:
    UNKNOWN
    COUNTS
    PARTLY
    ALLOWED


cdef struct DomainSet:  # two lines of memory
    uint64_t key[WAYS]  # of domain and tenant; 0: a free place
    uint32_t tenths[WAYS]
    uint32_t names[WAYS]  # with IS_OPEN and CHECK_NAMES


cdef struct Domain:  # the rest, of a domain that has much or whose clients are kept
    uint64_t next
    uint32_t reported
    uint32_t votes
    uint8_t rule
    uint8_t domain_at  # where it begins in the sample
    uint8_t sample_bytes
    uint16_t tenant
    uint8_t client[ADDRESS_BYTES]
    uint8_t sample[MAX_NAME_BYTES]


cdef class TunnelMeter:
    cdef readonly bint on
    cdef object _rules
    cdef bint _keeps_clients
    cdef HashKey _name_key, _domain_key
    cdef uint16_t (*_seen)[PLACES]
    cdef DomainSet *_sets
    cdef Domain *_domains
    cdef dict _numbers  # of tenants
    cdef list _tenants, _reports
    cdef uint16_t *_tenant_of  # by number of the client
    cdef Py_ssize_t _clients
    cdef uint64_t _window, _least, _least_bytes
    cdef double _ends_s, _learnt_s
    cdef Query _scratch
    cdef void *_memory

    cdef void hash_domains_with(self, HashKey key) noexcept  # from now on, in `saw` too
    # What `saw_question` takes as `name_hash`. `domain_hash` is siphash, with that key, of `names.domain_of` the name.
    cdef uint64_t expect(self, const Question *question, uint64_t domain_hash, uint16_t number, list clients) except? 0
    # As `saw`. `clients` is `ClientTable.clients`, the client is in place `number` of it.
    cdef int saw_question(self, const Question *question, uint64_t name_hash, uint64_t domain_hash, uint16_t number, const uint8_t *client, double now) except -1
    cdef int _saw(self, const Question *question, uint64_t name_hash, uint64_t domain_hash, uint16_t tenant, const uint8_t *client, double now) except -1
    cdef int _number_of(self, str tenant) except -2
    cdef int _learn_clients(self, list clients) except -1
    cdef bint _was_seen(self, uint64_t name_hash) noexcept nogil
    cdef Domain *_find(self, uint64_t key, DomainSet **found, int *place) noexcept nogil
    cdef void _open(self, DomainSet *ways, int way, Domain *domain, uint16_t tenant) noexcept nogil
    cdef void _count(self, DomainSet *ways, int way, Domain *domain, uint64_t tenths, const uint8_t *client) noexcept nogil
    cdef Rule _rule(self, const uint8_t *domain, Py_ssize_t size) except *
    cdef bint _is_allowed(self, const uint8_t *name, Py_ssize_t size) except -1
    cdef int _turn(self, double now) except -1
    cdef int _report(self, DomainSet *ways, int way, Domain *domain, double at_s) except -1
