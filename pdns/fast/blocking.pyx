"""From a query for a listed name to the answer in the cache: the compiled twin of `pdns.core.blocking`.

Python rules once on each kind of listing and type; every other name that is listed alike is blocked by that decision.
"""

# specification: pdns/core/blocking.py:Blocker

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint16_t, uint64_t

from pdns.fast.cache cimport AnswerCache, Prepared
from pdns.fast.cache_record cimport CacheRecord
from pdns.fast.matcher cimport Found, Matcher
from pdns.fast.query cimport Query, ends_in_one_of
from pdns.fast.wire cimport Question, u16

from pdns.core.outcome import Given
from pdns.core import blocking as specification
from pdns.wire import protocol as p

cdef uint16_t _A, _AAAA
_A, _AAAA = p.A, p.AAAA


cdef class Blocker:
    """As `pdns.core.blocking.Blocker`; queries are those that a fast path has taken up."""

    def __init__(self, rules, AnswerCache cache not None):
        self._reference = specification.Blocker(rules, cache)
        self.matcher, self._cache = Matcher(*rules.blockset.mapped), cache
        self._entry_filter_keys = rules.policy.entry_filter_keys
        self._decisions = {}

    cdef CacheRecord *block_alike(self, const Question *question, uint64_t hash, const Found *found, double now) except? NULL:
        cdef int64_t kind = kind_of(question, found.code, u16(question.key + question.bytes + 1))
        cdef RecentDecision *recent = recent_of(self._recent, kind)
        if recent.kind != kind:
            prepared = self._decisions.get(kind)
            if prepared is None:
                return NULL
            recent.kind, recent.prepared = kind, <PyObject *>prepared
        return self._cache.block_as(question, hash, <Prepared>recent.prepared, <int>found.name_bytes, now)

    cdef int _remember(self, int64_t kind, Prepared prepared) except -1:
        self._decisions[kind] = prepared
        recent_of(self._recent, kind).kind = 0  # it may speak of the decision before
        return 0

    cdef bint _may_have_entry(self, Query query) except -1:
        return bool(self._entry_filter_keys) and ends_in_one_of(&query.q, self._entry_filter_keys)

    def block(self, Query query not None, client, double now):
        cdef Prepared prepared
        found = self.matcher.find(query)
        if not found:
            return None
        if len(found) == 1 and not self._may_have_entry(query):
            prepared = self._decisions.get(kind_of(&query.q, found[0][1], client.policy))
            if prepared is not None:
                return self._cache.block(query, None, prepared.template, found[0][0], now)
            decision = self._reference.rule(query, client, found)
            if decision.template is not None and decision.common:
                self._remember(kind_of(&query.q, found[0][1], client.policy), self._cache.prepare(decision.template))
        else:
            decision = self._reference.rule(query, client, found)
        if decision.template is None:
            query.monitored = query.monitored or decision.monitored
            return None
        if decision.given is not None:
            return Given(decision.given, decision.template, found[decision.at][0])
        return self._cache.block(query, None, decision.template, found[decision.at][0], now)


cdef inline RecentDecision *recent_of(RecentDecision *recent, int64_t kind) noexcept nogil:
    return &recent[<uint64_t>kind * <uint64_t>0x9E3779B97F4A7C15 >> (64 - RECENT_BITS)]


cdef int64_t kind_of(const Question *question, int64_t code, int64_t policy) except -1:
    """What decisions on a name with one listing are remembered by: the policy, the code of the listing, the kind of type."""
    cdef int kind = 1 if question.qtype == _A else 2 if question.qtype == _AAAA else 0
    if <uint64_t>code >> 40:
        raise OverflowError("a code of more than 40 bits")
    return (policy << 42) + 4 * code + kind + 1
