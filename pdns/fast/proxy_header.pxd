"""The header of the PROXY protocol in a datagram, and who may send one. Addresses are 16 bytes, as `pdns.fast.clients` has them."""

from libc.stdint cimport uint8_t

from pdns.fast.clients cimport ADDRESS_BYTES

cdef enum:
    MAX_NETWORKS = 64

cdef enum HeaderFault:  # places in `_REASONS`
    HEADER_SOUND
    NO_HEADER
    VERSION
    TOO_LONG
    MALFORMED
    NO_CLIENT


cdef struct Network:
    uint8_t prefix[ADDRESS_BYTES]
    uint8_t mask[ADDRESS_BYTES]
    bint ipv4


cdef struct ProxyHeader:
    Py_ssize_t size  # in bytes
    bint names_client  # False: the sender speaks for itself
    bint datagrams  # the client reached the load balancer over UDP
    uint8_t client[ADDRESS_BYTES]


cdef class Balancers:
    cdef int _count
    cdef Network _networks[MAX_NETWORKS]

    cdef bint has(self, const uint8_t *address) noexcept nogil


cdef HeaderFault read_header(const uint8_t *wire, Py_ssize_t size, ProxyHeader *out) noexcept nogil
cdef object reason_of(HeaderFault fault)  # as a `WireError` of the specification gives it
