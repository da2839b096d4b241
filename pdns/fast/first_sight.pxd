"""Queries that the cache has no answer to, in the plain case: no part of the rules but the feeds has a say, and those list the
name not at all, or as they list names that were decided about before.
"""

from libc.stdint cimport uint16_t, uint64_t

from pdns.fast.blocking cimport Blocker
from pdns.fast.cache_record cimport CacheRecord
from pdns.fast.matcher cimport Search
from pdns.fast.name_set cimport NameSet
from pdns.fast.wire cimport Question

cdef enum Sight:
    CLEAN  # no feed lists the name: an upstream is to be asked
    BLOCKED_ALIKE  # the answer is in the cache now
    UNDECIDED  # Python decides


cdef class FirstSight:
    cdef Blocker _blocker  # None: Python decides about every query
    cdef NameSet _special  # filter keys of names that may be answered here, or in a zone
    cdef NameSet _decided  # these, and filter keys of names that an entry is about
    cdef bint _decides_all  # there is an entry about all names
    cdef frozenset _special_filter_keys, _entry_filter_keys  # what they were made of
    cdef uint16_t _marks  # in the policy number of clients that a feed lists

    cdef bint skips_local(self, const Question *question) noexcept nogil
    cdef bint takes(self, const Question *question) noexcept nogil  # else Python decides

    # Of what it takes: first `expect` all questions of a batch, then `look` at each.
    cdef int expect(self, const Question **questions, Search *searches, int count) except -1
    cdef Sight look(self, const Question *question, Search *search, uint64_t hash, double now, CacheRecord **blocked) except *
