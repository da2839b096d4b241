"""Questions on their way upstream, and who waits for each: the compiled twin of `pdns.reference.in_flight`."""

cimport cython
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pdns.fast.hashing cimport HashKey
from pdns.fast.udp cimport Datagram
from pdns.fast.wire cimport MAX_QUESTION_BYTES

cdef enum:
    DOMAIN_PLACES = 8192  # of each of the two counts of a domain
    KEY_PLACES = 8192  # of the table of questions, which are chained where they share one


@cython.final
cdef class Holder:
    """What a client has in flight, all addresses of its prefix together."""
    cdef bytes key
    cdef Py_ssize_t held  # questions that it was the first to ask for
    cdef Py_ssize_t waiting  # of its queries
    cdef Flight oldest, newest
    cdef Holder before, after  # among those that hold as many


@cython.final
@cython.freelist(128)
cdef class Flight:
    cdef readonly bytes key
    cdef public object forward  # None in the forwarding kernel, which needs no more of it than the key
    cdef public object cancel  # as in the specification
    cdef public bint stale_given
    cdef public double started_s
    cdef Datagram _first  # who waits, while it is only one that came in a datagram
    cdef Holder _first_holder  # its client
    cdef dict _waiters  # by place, when there are more
    cdef Holder _holder  # None: it has ended
    cdef uint64_t _hash  # of its key
    cdef PyObject *_next  # at the same place of the table, not counted as a reference
    cdef uint64_t _domain
    cdef Flight _older, _newer  # of all
    cdef Flight _own_older, _own_newer  # of its client
    # What the forwarding kernel knows of the query that it sent.
    cdef object socket  # that it was sent from
    cdef bint shed  # it was given up; a late answer is still kept
    cdef uint64_t name_hash  # as `TunnelMeter.expect` gave it
    cdef uint64_t rules_epoch  # of the rules by which the question may be asked
    cdef double sent_s
    cdef double due_s
    cdef uint16_t query_id
    cdef bint exact  # its case is part of what must match
    cdef uint16_t section_bytes
    cdef uint8_t section[MAX_QUESTION_BYTES]  # the question as sent

    cdef bint has_only_datagrams(self) noexcept


@cython.final
cdef class InFlight:
    cdef public object shed
    cdef PyObject *_places[KEY_PLACES]  # questions by the hash of their key; the list from `_oldest` on holds them
    cdef dict _holders
    cdef Flight _oldest, _newest
    cdef list _ranked  # the first holder of so many, or None
    cdef Py_ssize_t _count, _most, _holding, _waiting
    cdef Py_ssize_t _max_in_flight, _max_per_client, _small, _max_of_domain
    cdef double _patience_s
    cdef int _prefix_bits[2]  # of the 128, for IPv4 and IPv6
    cdef Holder _last  # of the client of the last query
    cdef HashKey _hash_key
    cdef uint32_t _domains[2][DOMAIN_PLACES]  # an upper bound of what each domain has: the smaller count of two

    cdef Flight of(self, uint64_t hash, const uint8_t *key, Py_ssize_t key_bytes)
    cdef uint64_t hash_of(self, bytes key) noexcept
    cdef uint64_t domain_of(self, Datagram query) noexcept
    cdef str room_for(self, Holder client, uint64_t domain, double now)
    cdef Flight begin(self, Datagram query, Holder client, uint64_t domain, double now)
    cdef bint wait(self, Flight flight, Datagram query) except -1
    cdef list leave(self, Flight flight)
    cdef list end(self, Flight flight)
    cdef Py_ssize_t _fair_share(self) noexcept
    cdef Flight _spare(self, bint any_domain, uint64_t domain)
    cdef Flight _dispensable(self)
    cdef int _lose_patience(self, double now) except -1
    cdef Holder _holder_of(self, bytes client)
    cdef int _start(self, Flight flight, Holder holder, uint64_t domain) except -1
    cdef void _take_out(self, Flight flight) noexcept
    cdef int _rank(self, Holder holder) except -1
    cdef int _unrank(self, Holder holder) except -1
    cdef int _forget(self, Holder holder) except -1
    cdef Holder client_at(self, const uint8_t *address)
    cdef Holder _client_of(self, waiter)
    cdef Holder _holder_at(self, str address)
    cdef int _keep(self, Holder holder) except -1
    cdef bint _join(self, Flight flight, int64_t port, waiter) except -1
    cdef int _count_all_in(self, Flight flight) except -1
    cdef int _count_all_out(self, Flight flight) except -1
    cdef int _count_in(self, Holder holder) except -1
    cdef int _count_out(self, Holder holder) except -1
