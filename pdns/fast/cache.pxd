"""The answer cache: the compiled twin of `pdns.reference.cache`. `arena.pxd` has the memory that answers are kept in."""

from libc.stdint cimport uint16_t, uint64_t

from pdns.fast.arena cimport Arena
from pdns.fast.cache_record cimport CacheRecord
from pdns.fast.wire cimport Question


cdef enum:
    MOST_TTLS = 4  # of a prepared answer; one with more is made anew each time


cdef class Prepared:  # a Template of pdns.core.block_answer, as far as it can be made a record
    cdef object template
    cdef CacheRecord shape
    cdef bytes body
    cdef uint16_t ttls[MOST_TTLS]
    cdef bytes ede_head
    cdef bytes ede_tail
    cdef Py_ssize_t ede_room
    cdef uint64_t case_key


cdef class AnswerCache(Arena):
    cdef readonly list attributions  # (verdict's feed, category, action, also) or None, monitored
    cdef readonly list structured  # of each, a StructuredText or None
    cdef dict _attribution_numbers
    cdef dict _prepared  # by the id of the template, which it holds

    cdef Prepared prepare(self, template)
    cdef CacheRecord *block_as(self, const Question *question, uint64_t hash, Prepared prepared, int listed_bytes, double now) except? NULL
    cdef int attribution(self, verdict, tuple monitored, structured=*) except -1
    cdef CacheRecord *_find(self, bytes key)
    cdef entry_of(self, CacheRecord *record)
