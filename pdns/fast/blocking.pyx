"""From a query for a listed name to the answer in the cache: the compiled twin of `pdns.core.blocking`.

Python rules once on each kind of listing and type; every other name that is listed alike is blocked by that ruling.
"""

from libc.stdint cimport uint16_t

from pdns.fast.cache cimport AnswerCache
from pdns.fast.front cimport Asked
from pdns.fast.matcher cimport Matcher

from pdns.core import blocking as specification
from pdns.core import protocol as p

cdef uint16_t _A, _AAAA
_A, _AAAA = p.A, p.AAAA


cdef class Blocker:
    """As `pdns.core.blocking.Blocker`; queries are those that a front has taken up."""

    cdef Matcher _matcher
    cdef AnswerCache _cache
    cdef object _reference
    cdef list _has_allowlist  # by policy
    cdef dict _rulings  # 4 * code + kind of type -> template, of names with one listing and clients without an allowlist

    def __init__(self, policy, answers, AnswerCache cache not None, blockset):
        self._reference = specification.Blocker(policy, answers, cache, blockset)
        self._matcher, self._cache = blockset.matcher, cache
        self._has_allowlist = policy.has_allowlist
        self._rulings = {}

    def block(self, Asked query not None, client, address, double now):
        cdef Py_ssize_t listed_bytes, code
        cdef int kind = 1 if query.q.qtype == _A else 2 if query.q.qtype == _AAAA else 0
        found = self._matcher.find(query)
        if not found:
            return None
        if len(found) == 1 and not self._has_allowlist[client.policy]:
            listed_bytes, code = found[0]
            template = self._rulings.get(4 * code + kind)
            if template is not None:
                return self._cache.block(query, None, template, listed_bytes, now)
            ruling = self._reference.rule(query, client, found)
            if ruling.template is not None:
                self._rulings[4 * code + kind] = ruling.template
        else:
            ruling = self._reference.rule(query, client, found)
        if ruling.template is None:
            query.watched = ruling.watched
            return None
        return self._cache.block(query, None, ruling.template, found[ruling.at][0], now)
