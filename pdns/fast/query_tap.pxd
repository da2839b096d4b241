"""Copies of queries for taps, in memory that other processes read: the compiled twin of `pdns.reference.query_tap`.

There is one only while some queries are wanted. A query that is not wanted costs a subtraction and two comparisons.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from pdns.fast.event_writer cimport View
from pdns.fast.wire cimport Question


cdef packed struct TapFixed:
    uint64_t before
    uint32_t weight
    uint32_t unused
    double at_s
    uint32_t series
    uint8_t flags
    uint8_t transport
    uint8_t client_kind
    uint8_t client_bits
    uint8_t client[16]
    uint16_t message_bytes


cdef struct TappedClient:
    View view  # is_known: of the rest too
    uint32_t series
    bint tapped


cdef class QueryTap:
    cdef object _memory, _tenant_slot, _views, _tapped
    cdef bytes _key
    cdef uint64_t *_words  # of the header: head, weight
    cdef uint8_t *_records
    cdef uint32_t _capacity
    cdef uint32_t _every, _left
    cdef bint _any_tapped
    cdef TappedClient *_clients  # by number
    cdef size_t _room

    # A sound query of the client with that number. `clients` is `ClientTable.clients`.
    cdef int see(self, const Question *question, uint16_t number, list clients, const uint8_t *address, int transport, double now) except -1
    cdef TappedClient *_known(self, uint16_t number, list clients) except NULL
    cdef int _write(
        self, const Question *question, const TappedClient *client, str tenant, const uint8_t *address, int transport, int flags, double now
    ) except -1
