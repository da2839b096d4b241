"""The common case of forwarding, without Python for each query: one question, one datagram to the upstream of choice, one
plain answer (`response.pxd`), which is stored and given to everybody who waits.

Whatever turns out otherwise is *punted*: an `Exchange` and an `Attempt` are made as if Python had sent the query, and the
forwarder goes on from there.
"""

from libc.stdint cimport uint8_t, uint64_t

from pdns.fast.cache cimport AnswerCache
from pdns.fast.in_flight cimport Flight, InFlight, Holder
from pdns.fast.fast_path cimport FastPath
from pdns.fast.matcher cimport Matcher
from pdns.fast.query cimport Query
from pdns.fast.cache_record cimport CacheRecord
from pdns.fast.response cimport Bounds, Plain
from pdns.fast.tunnels cimport TunnelMeter
from pdns.fast.udp cimport Datagram, UdpListener
from pdns.fast.upstream cimport ReplyHandler, SocketSet, UdpSocket


cdef class FastForward(ReplyHandler):
    cdef AnswerCache _cache
    cdef FastPath _fast_path
    cdef InFlight _in_flight
    cdef TunnelMeter _tunnels
    cdef object _stats, _punt, _refuse
    cdef Bounds _bounds
    cdef Matcher _matcher  # None: nothing is listed
    cdef frozenset _judged_filter_keys  # the last two labels, or the last one, of names that are blocked here, in a zone, or have local records
    cdef object _listed_networks  # Policy.listings of the blockset, None when there are none
    cdef bint _blocks_private  # answers with private addresses are decided in Python
    cdef bint _has_dns64  # answers to AAAA without an address are decided in Python
    cdef bytes _excluded  # as `pdns.core.dns64.Translation.excluded`
    cdef bytes _nat64  # as `pdns.core.embedded.Embeddings.nat64`
    cdef Query _target
    cdef list _written  # listeners that have something to send

    cdef int _send_all(self, list begun, list askers, pool, bint exact, double now, list left) except -1
    cdef int _write(self, SocketSet socket_set, UdpSocket socket, Flight flight, bint exact, double now) except -1
    cdef int _abandon(self, Flight flight) except -1
    cdef int _overloaded(self, query, str why, double now) except -1
    cdef int _send(self, SocketSet socket_set, UdpSocket socket, double now) except -1
    cdef int _hand_over(self, Flight flight, UdpSocket socket, const uint8_t *wire, Py_ssize_t size) except -1
    cdef bint _leads_to_listed(self, const uint8_t *wire, Plain *plain) except -1
    cdef CacheRecord *_store(self, Flight flight, const uint8_t *wire, Plain *plain, double now) noexcept
    cdef int _answer(self, Datagram query, CacheRecord *record, double now) except -1
    cdef int _count(self, SocketSet socket_set, name, double duration_s) except -1
