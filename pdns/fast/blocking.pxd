"""From a query for a listed name to the answer in the cache: the compiled twin of `pdns.core.blocking`."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint64_t

from pdns.fast.cache cimport AnswerCache, Prepared
from pdns.fast.cache_record cimport CacheRecord
from pdns.fast.matcher cimport Found, Matcher
from pdns.fast.query cimport Query
from pdns.fast.wire cimport Question

cdef enum:
    RECENT_BITS = 10
    RECENT = 1 << RECENT_BITS


cdef struct RecentDecision:
    int64_t kind  # as `kind_of`, which is never 0
    PyObject *prepared  # a `Prepared`, which `_decisions` holds


cdef class Blocker:
    cdef Matcher matcher
    cdef AnswerCache _cache
    cdef object _reference
    cdef frozenset _entry_filter_keys  # of names that an entry is about, of which Python decides
    cdef dict _decisions  # `kind_of` -> Prepared, of names with one listing and no entry
    cdef RecentDecision _recent[RECENT]  # of these, by `kind_of`

    # The record of the answer to a question for a name with one listing that no entry is about, blocked as others were before. NULL:
    # Python decides. `hash` is of the question's key.
    cdef CacheRecord *block_alike(self, const Question *question, uint64_t hash, const Found *found, double now) except? NULL
    cdef int _remember(self, int64_t kind, Prepared prepared) except -1
    cdef bint _may_have_entry(self, Query query) except -1
