"""What needs no decision: broken packets, strangers, floods, and every answer that is remembered.

The compiled twin of `pdns.reference.first_stages` with what `pdns.reference.service` does around it: a packet goes in,
an answer comes out, everything is counted, and Python hears of it only when there is something to decide.
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from pdns.fast.asked cimport AskedNames
from pdns.fast.cache cimport AnswerCache
from pdns.fast.clients cimport ADDRESS_BYTES, ClientTable, Known, RateLimiter
from pdns.fast.cookies cimport Options
from pdns.fast.event_writer cimport EventWriter
from pdns.fast.first_sight cimport FirstSight
from pdns.fast.query cimport Query
from pdns.fast.query_tap cimport QueryTap
from pdns.fast.cache_record cimport CacheRecord
from pdns.fast.stats cimport BlockSlots, FastStats
from pdns.fast.wire cimport Fault, Question

cdef enum:
    MAX_TCP_BYTES = 65535
    SILENCE = 0
    DECIDE = -1  # Python is to decide
    DECIDE_REMEMBERED = -2  # there is an answer in the cache, of which more must be known than that it is there
    DECIDE_CLEAN = -4  # no feed lists the name, and no other rule is about it


cdef struct ParsedPacket:  # a message, before anything is done about it
    Question question
    uint64_t hash  # of the question's key
    Fault fault
    uint32_t size
    uint16_t client  # its number
    bint allowed


cdef class PendingQuery(Query):
    """A query that waits for a decision, with who asked it."""
    cdef FastPath _fast_path
    cdef uint64_t hash  # of the question's key, as the cache has it
    cdef uint16_t number  # of the client
    cdef readonly bint needs_recheck
    cdef readonly bint skips_local
    cdef readonly bint stream
    cdef uint8_t client_at[ADDRESS_BYTES]

    cdef void settle(self, FastPath fast_path, const ParsedPacket *heard, const uint8_t *address, Py_ssize_t decide) noexcept


cdef class FastPath:
    cdef AnswerCache _cache
    cdef FastStats _fast_stats
    cdef object _stats, _saw, _limits, _config, _tenant_policies, _listed_clients, _credentials
    cdef ClientTable _clients
    cdef EventWriter _events  # None: events are not recorded
    cdef RateLimiter _limiter
    cdef RateLimiter _verified_limiter
    cdef int _limit_action
    cdef Py_ssize_t _max_udp_bytes
    cdef double _max_stale_s
    cdef int32_t _stale_ttl_s
    cdef uint32_t _refresh_ahead_hits
    cdef FirstSight first_sight
    cdef object _special_filter_keys
    cdef object _primaries  # None when there are none
    cdef AskedNames _asked  # None: names are not noted
    cdef QueryTap _tap  # None: no queries are copied
    cdef Options _options
    cdef bytes _cookie_secret
    cdef uint64_t parsed  # messages, but for those of `parse_known`
    cdef readonly uint32_t clients_epoch  # changes when what `identify` said may no longer be true
    cdef readonly bint refused  # the last message of `answer`, because its client may not ask, or not as much

    cdef int parse(self, const uint8_t *wire, Py_ssize_t size, const uint8_t *address, ParsedPacket *heard) except -1
    cdef int parse_known(self, const uint8_t *wire, Py_ssize_t size, const Known *known, ParsedPacket *heard) except -1
    cdef int identify(self, const uint8_t *address, object credential, Known *out) except -1
    cdef void _read(self, const uint8_t *wire, Py_ssize_t size, const Known *known, ParsedPacket *heard) noexcept
    cdef Py_ssize_t take(
        self, ParsedPacket *heard, const uint8_t *wire, const uint8_t *address, int transport, double now, int *source, uint8_t *out
    ) except -3
    cdef Py_ssize_t _take_notify(self, ParsedPacket *heard, const uint8_t *wire, const uint8_t *address, double now, uint8_t *out) except -3
    cdef Py_ssize_t render_known(self, PendingQuery asked, int source, int transport, double now, uint8_t *out) except -3
    cdef Py_ssize_t most_bytes(self, const Question *question, int transport) noexcept nogil
    cdef Py_ssize_t _render_structured(
        self, CacheRecord *record, Question *question, Py_ssize_t max_bytes, bint stale, double now, uint8_t *out
    ) except -3
    cdef Py_ssize_t _render(
        self, CacheRecord *record, Question *question, uint16_t client, int source, int transport, bint stale, double now, uint8_t *out,
        const uint8_t *address,
    ) except -3
    cdef int _note_name(self, const CacheRecord *record, const Question *question, uint16_t client) except -1
    cdef int _note(
        self, CacheRecord *record, const Question *question, uint16_t client, int transport, const uint8_t *address, const BlockSlots *slots,
        double now,
    ) except -1
    cdef int _log_monitored(self, CacheRecord *record, const Question *question, uint16_t client, const uint8_t *address) except -1
    cdef Py_ssize_t _refuse(
        self, Question *question, uint16_t client, bytes text, bint truncate, uint8_t *out
    ) except -3
    cdef bint _is_worth_refreshing(self, CacheRecord *record, double now) noexcept nogil
