"""From a query for a listed name to the answer in the cache: the compiled twin of `pdns.core.blocking`.

Python rules once on each kind of listing and type; every other name that is listed alike is blocked by that decision.
"""

# specification: pdns/core/blocking.py:Blocker

from libc.stdint cimport int64_t, uint16_t, uint64_t
from libc.string cimport memcpy

from pdns.fast.cache cimport AnswerCache
from pdns.fast.cache_record cimport CacheRecord
from pdns.fast.matcher cimport Matcher
from pdns.fast.query cimport Query, ends_in_one_of
from pdns.fast.wire cimport Question, u16

from pdns.core.outcome import BLOCK_STORED, Given
from pdns.core import blocking as specification
from pdns.wire import protocol as p

cdef uint16_t _A, _AAAA
_A, _AAAA = p.A, p.AAAA


cdef class Blocker:
    """As `pdns.core.blocking.Blocker`; queries are those that a fast path has taken up."""

    def __init__(self, rules, AnswerCache cache not None):
        self._reference = specification.Blocker(rules, cache)
        self._matcher, self._cache = Matcher(*rules.blockset.mapped), cache
        self._entry_filter_keys = rules.policy.entry_filter_keys
        self._decisions = {}
        self._query = Query.__new__(Query)

    cdef CacheRecord *block_alike(self, const Question *question, uint64_t hash, double now, bint *listed) except? NULL:
        memcpy(&self._query.q, question, sizeof(Question))
        found = self._matcher.find(self._query)
        listed[0] = bool(found)
        if len(found) != 1:
            return NULL
        template = self._decisions.get(kind_of(question, found[0][1], u16(question.key + question.bytes + 1)))
        if template is None or self._cache.block(self._query, None, template, found[0][0], now) is not BLOCK_STORED:
            return NULL
        return self._cache.find_hashed(hash, question.key, question.key_bytes)

    cdef bint _may_have_entry(self, Query query) except -1:
        return bool(self._entry_filter_keys) and ends_in_one_of(&query.q, self._entry_filter_keys)

    def block(self, Query query not None, client, double now):
        found = self._matcher.find(query)
        if not found:
            return None
        if len(found) == 1 and not self._may_have_entry(query):
            template = self._decisions.get(kind_of(&query.q, found[0][1], client.policy))
            if template is not None:
                return self._cache.block(query, None, template, found[0][0], now)
            decision = self._reference.rule(query, client, found)
            if decision.template is not None and decision.common:
                self._decisions[kind_of(&query.q, found[0][1], client.policy)] = decision.template
        else:
            decision = self._reference.rule(query, client, found)
        if decision.template is None:
            query.monitored = query.monitored or decision.monitored
            return None
        if decision.given is not None:
            return Given(decision.given, decision.template, found[decision.at][0])
        return self._cache.block(query, None, decision.template, found[decision.at][0], now)


cdef int64_t kind_of(const Question *question, int64_t code, int64_t policy) except -1:
    """What decisions on a name with one listing are remembered by: the policy, the code of the listing, the kind of type."""
    cdef int kind = 1 if question.qtype == _A else 2 if question.qtype == _AAAA else 0
    if code >> 40:
        raise OverflowError("a code of more than 40 bits")
    return (policy << 42) + 4 * code + kind
