"""What an answer leads to: names and addresses that feeds, or the rules here, have something to say of."""

from libc.stdint cimport uint8_t

from pdns.fast.cache_record cimport CacheRecord
from pdns.fast.matcher cimport Matcher
from pdns.fast.query cimport Query
from pdns.fast.response cimport MAX_RESPONSE_BYTES, Bounds, Plain
from pdns.fast.wire cimport Question


cdef class AnswerCheck:
    cdef Matcher _matcher  # None: nothing is listed
    cdef frozenset _judged_filter_keys  # the last two labels, or the last one, of names that are blocked here, in a zone, or have local records
    cdef frozenset _special_filter_keys  # likewise of names that may be answered here
    cdef object _listed_networks  # Policy.listings of the blockset, None when there are none
    cdef bint _may_confirm  # no client is listed, and no required feed is missing
    cdef Query _name
    cdef Bounds _bounds
    cdef uint8_t _message[MAX_RESPONSE_BYTES]

    # Whether Python must judge what the answer leads to: somebody has something to say of it, whatever that is.
    cdef bint leads_to_listed(self, const uint8_t *wire, Plain *plain) except -1

    # Whether a cached answer to the question, which was decided when all rules but the blockset were what they are now, is certain
    # to be given as it is. False says nothing: Python decides.
    cdef bint stays(self, CacheRecord *record, const Question *question) except -1

    cdef bint _is_listed(self, const uint8_t *name, Py_ssize_t size) except -1
