"""Queries that the cache has no answer to. `first_sight.pxd` says which of them are taken here."""

# specification: pdns/core/resolver.py:Resolver

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from pdns.fast.cache_record cimport CacheRecord
from pdns.fast.matcher cimport Found, Matcher, Search
from pdns.fast.name_set cimport NameEnds, ends_of
from pdns.fast.wire cimport RD, u16

from pdns.core.client_rules import MARKS
from pdns.core.resolver import META_TYPES
from pdns.wire import protocol as p
from pdns.wire.names import ROOT

cdef enum:
    CLASS_IN = 1

cdef uint8_t _meta[256]  # types that are no data, or not one
for _type in (*META_TYPES, p.ANY):
    _meta[_type] = True


cdef class FirstSight:
    """One for each worker. `adopt` changes its rules between two queries."""

    def __cinit__(self):
        self._special = self._decided = NameSet(frozenset())
        self._special_filter_keys = self._entry_filter_keys = frozenset()

    def pause(self):
        """Leave every query to Python, until `adopt`: a change of rules that fails must not leave those of before in force here."""
        self._blocker = None

    def adopt(self, rules, frozenset special_filter_keys not None, Blocker blocker):
        """Look at queries by `rules`, a `RuleSet`, from now on. `special_filter_keys` are those of `rules`; `blocker` is
        `Resolver.blocker`."""
        cdef frozenset entries = rules.policy.entry_filter_keys
        if special_filter_keys is not self._special_filter_keys:
            self._special = NameSet(special_filter_keys)
        if special_filter_keys is not self._special_filter_keys or entries is not self._entry_filter_keys:
            self._decided, self._decides_all = NameSet(special_filter_keys | entries), ROOT in entries
            self._special_filter_keys, self._entry_filter_keys = special_filter_keys, entries
        self._marks = 0 if rules.policy.client_rules(rules.blockset) is None else MARKS
        self._blocker = blocker

    cdef bint skips_local(self, const Question *question) noexcept nogil:
        """Whether the stages for local names, special ones and zones have nothing to say of it."""
        cdef NameEnds ends
        if question.qclass != CLASS_IN or (question.qtype < 256 and _meta[question.qtype]):
            return False
        ends = ends_of(question)
        return not self._special.has_either(&ends)

    cdef bint takes(self, const Question *question) noexcept nogil:
        cdef NameEnds ends
        if self._blocker is None or self._decides_all or not question.flags & RD:
            return False
        if question.qclass != CLASS_IN or (question.qtype < 256 and _meta[question.qtype]):
            return False
        if u16(question.key + question.bytes + 1) & self._marks:
            return False
        ends = ends_of(question)
        return not self._decided.has_either(&ends)

    cdef int expect(self, const Question **questions, Search *searches, int count) except -1:
        """Memory is asked for what a stage reads before the stage, for all questions: it is waited for once, not once a question."""
        cdef Matcher matcher = self._blocker.matcher
        cdef int at
        for at in range(count):
            matcher.start(questions[at], &searches[at])
        for at in range(count):
            matcher.narrow(questions[at], &searches[at])
        for at in range(count):
            matcher.approach(questions[at], &searches[at])
        return 0

    cdef Sight look(self, const Question *question, Search *search, uint64_t hash, double now, CacheRecord **blocked) except *:
        cdef Found found
        cdef int count = self._blocker.matcher.match(question, search, &found, 1)
        if count == 0:
            return CLEAN
        if count == 1:
            blocked[0] = self._blocker.block_alike(question, hash, &found, now)
            if blocked[0] != NULL:
                return BLOCKED_ALIKE
        return UNDECIDED
