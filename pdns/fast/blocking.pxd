"""From a query for a listed name to the answer in the cache: the compiled twin of `pdns.core.blocking`."""

from libc.stdint cimport int64_t, uint64_t

from pdns.fast.cache cimport AnswerCache
from pdns.fast.cache_record cimport CacheRecord
from pdns.fast.matcher cimport Matcher
from pdns.fast.query cimport Query
from pdns.fast.wire cimport Question


cdef class Blocker:
    cdef Matcher _matcher
    cdef AnswerCache _cache
    cdef object _reference
    cdef frozenset _entry_filter_keys  # of names that an entry is about, of which Python decides
    cdef dict _decisions  # `kind_of` -> template, of names with one listing and no entry
    cdef Query _query

    # The record of the answer to a question for a name that no entry is about, blocked as others were before. NULL: it was not;
    # `listed` says whether a feed lists the name.
    cdef CacheRecord *block_alike(self, const Question *question, uint64_t hash, double now, bint *listed) except? NULL
    cdef bint _may_have_entry(self, Query query) except -1
