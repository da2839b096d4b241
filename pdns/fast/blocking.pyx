"""From a query for a listed name to the answer in the cache: the compiled twin of `pdns.core.blocking`.

Python rules once on each kind of listing and type; every other name that is listed alike is blocked by that decision.
"""

# specification: pdns/core/blocking.py:Blocker

from libc.stdint cimport int64_t, uint16_t

from pdns.fast.cache cimport AnswerCache
from pdns.fast.fast_path cimport PendingQuery
from pdns.fast.matcher cimport Matcher
from pdns.fast.query cimport Query, ends_in_one_of
from pdns.fast.cache_record cimport BLOCKED
from pdns.fast.udp cimport Datagram
from pdns.fast.wire cimport RD, u16

from pdns.core.outcome import BLOCK_STORED, Given
from pdns.core import blocking as specification
from pdns.wire import protocol as p

cdef uint16_t _A, _AAAA
_A, _AAAA = p.A, p.AAAA


cdef class Blocker:
    """As `pdns.core.blocking.Blocker`; queries are those that a fast path has taken up."""

    cdef Matcher _matcher
    cdef AnswerCache _cache
    cdef object _reference
    cdef frozenset _entry_filter_keys  # of names that an entry is about, of which Python decides
    cdef dict _decisions  # `_kind` -> template, of names with one listing and no entry

    def __init__(self, rules, AnswerCache cache not None):
        self._reference = specification.Blocker(rules, cache)
        self._matcher, self._cache = Matcher(*rules.blockset.mapped), cache
        self._entry_filter_keys = rules.policy.entry_filter_keys
        self._decisions = {}

    def classify(self, list queries not None, double now):
        """As `pdns.core.blocking.Blocker.classify`, of a list of `Datagram`: earlier decisions are carried out, clean names told from others."""
        cdef list plain = [], undecided = []
        cdef Datagram query
        for query in queries:
            if not query.skips_local or query.needs_recheck or not query.q.flags & RD:
                undecided.append(query)
                continue
            try:
                if self._may_have_entry(query):
                    undecided.append(query)
                    continue
                found = self._matcher.find(query)
                if not found:
                    plain.append(query)
                elif not self._carry_out(query, found, now):
                    undecided.append(query)
            except Exception:  # it will be raised again where it is logged
                undecided.append(query)
        return plain, undecided

    cdef bint _carry_out(self, Datagram query, found, double now) except -1:
        """Block by an earlier decision, if there is one and the answer can be kept."""
        if len(found) != 1:
            return False
        template = self._decisions.get(self._kind(query, found, u16(query.q.key + query.q.bytes + 1)))
        if template is None or self._cache.block(query, None, template, found[0][0], now) is not BLOCK_STORED:
            return False
        query.send_known(BLOCKED, now)
        return True

    cdef bint _may_have_entry(self, Query query) except -1:
        return bool(self._entry_filter_keys) and ends_in_one_of(&query.q, self._entry_filter_keys)

    cdef int64_t _kind(self, Query query, found, int64_t policy) except -1:
        """What decisions on a name with one listing are remembered by: the policy, the code of the listing, the kind of type."""
        cdef int kind = 1 if query.q.qtype == _A else 2 if query.q.qtype == _AAAA else 0
        cdef int64_t code = found[0][1]
        if code >> 40:
            raise OverflowError("a code of more than 40 bits")
        return (policy << 42) + 4 * code + kind

    def block(self, PendingQuery query not None, client, double now):
        found = self._matcher.find(query)
        if not found:
            return None
        if len(found) == 1 and not self._may_have_entry(query):
            template = self._decisions.get(self._kind(query, found, client.policy))
            if template is not None:
                return self._cache.block(query, None, template, found[0][0], now)
            decision = self._reference.rule(query, client, found)
            if decision.template is not None and decision.common:
                self._decisions[self._kind(query, found, client.policy)] = decision.template
        else:
            decision = self._reference.rule(query, client, found)
        if decision.template is None:
            query.monitored = query.monitored or decision.monitored
            return None
        if decision.given is not None:
            return Given(decision.given, decision.template, found[decision.at][0])
        return self._cache.block(query, None, decision.template, found[decision.at][0], now)
