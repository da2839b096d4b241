"""What answers lead to. `answer_check.pxd` has the contract."""

# specification: pdns/core/response_check.py:check_response
# specification: pdns/core/responses.py:Responses._decided_again

from functools import partial

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcpy, memset

from pdns.fast.cache_record cimport NO_EDE, UPSTREAM, CacheRecord, body_of
from pdns.fast.query cimport Query, ends_in_one_of
from pdns.fast.response cimport MAX_RESPONSE_BYTES, Plain, read_plain
from pdns.fast.wire cimport HEADER_BYTES, QR, Question, put16, u16

cdef enum:
    TYPE_A = 1
    TYPE_AAAA = 28
    TYPE_BEFORE_TTL = 4
    RDATA_BEHIND_TYPE = 10
    LONGEST_TTL_S = 0x7FFFFFFF


cdef class AnswerCheck:
    """One for each worker."""

    def __init__(self):
        self._name = Query.__new__(Query)
        self._judged_filter_keys = self._special_filter_keys = frozenset()
        self._bounds.min_ttl_s = 0
        self._bounds.max_ttl_s = self._bounds.max_negative_ttl_s = LONGEST_TTL_S  # what is cached was bounded before

    def adopt(self, rules):
        """Check by `rules`, a `RuleSet`, from now on."""
        blockset = rules.blockset
        self._judged_filter_keys = rules.policy.blocked_filter_keys | rules.routes.filter_keys | rules.records.filter_keys
        self._special_filter_keys = rules.special_filter_keys
        self._matcher = None if blockset is None else Matcher(*blockset.mapped)
        self._listed_networks = partial(rules.policy.listings, blockset) if blockset is not None and blockset.lists_addresses else None
        self._may_confirm = rules.ready and blockset is not None and rules.policy.client_rules(blockset) is None

    cdef bint leads_to_listed(self, const uint8_t *wire, Plain *plain) except -1:
        cdef const uint8_t *record
        cdef uint16_t rtype
        cdef int at
        for at in range(plain.target_count):
            if self._is_listed(plain.targets[at].raw, plain.targets[at].bytes):
                return True
        if self._listed_networks is not None:
            if plain.hints:
                return True
            for at in range(plain.ttl_count):
                record = wire + plain.body_at + plain.ttl_at[at] - TYPE_BEFORE_TTL
                rtype = u16(record)
                if (rtype == TYPE_A or rtype == TYPE_AAAA) and self._listed_networks(
                    PyBytes_FromStringAndSize(<const char *>record + RDATA_BEHIND_TYPE, u16(record + RDATA_BEHIND_TYPE - 2))
                ):
                    return True
        return False

    cdef bint stays(self, CacheRecord *record, const Question *question) except -1:
        cdef Plain plain
        cdef Py_ssize_t size = HEADER_BYTES + question.bytes + record.body_bytes
        if (
            not self._may_confirm
            or record.source != UPSTREAM
            or record.attribution  # something was blocked or monitored
            or record.ede_code != NO_EDE  # it may be of a DNS64
            or record.route_mark
            or size > MAX_RESPONSE_BYTES
            or self._is_listed(question.key, question.name_bytes)
            or ends_in_one_of(&self._name.q, self._special_filter_keys)
        ):
            return False
        memset(self._message, 0, HEADER_BYTES)
        put16(self._message + 2, QR | record.rcode)
        put16(self._message + 4, 1)
        put16(self._message + 6, record.ancount)
        put16(self._message + 8, record.nscount)
        memcpy(self._message + HEADER_BYTES, question.key, question.bytes)
        memcpy(self._message + HEADER_BYTES + question.bytes, body_of(record), record.body_bytes)
        return read_plain(
            self._message, size, question.key, question.name_bytes, question.want_dnssec, &self._bounds, &plain
        ) and not self.leads_to_listed(self._message, &plain)

    cdef bint _is_listed(self, const uint8_t *name, Py_ssize_t size) except -1:
        """Whether a feed lists it or a name above it, or a rule here is about such a name."""
        memcpy(self._name.q.key, name, size)
        self._name.q.name_bytes = <uint16_t>size
        if self._matcher is not None and self._matcher.find(self._name):
            return True
        return bool(self._judged_filter_keys) and ends_in_one_of(&self._name.q, self._judged_filter_keys)
