"""Options in answers: DNS cookies, edns-tcp-keepalive and NSID. The compiled twin of `pdns.core.cookies`."""

from libc.stdint cimport int64_t, uint8_t

from pdns.fast.hashing cimport HashKey
from pdns.fast.wire cimport Question


cdef class Options:
    cdef bytes _secret
    cdef bytes _keepalive
    cdef bytes _nsid
    cdef HashKey _key  # of the day last asked for
    cdef int64_t _day

    cdef bint take_up(self, Question *question, const uint8_t *address, int transport, double now) except -1
    cdef int _key_at(self, int64_t time_s) except -1
