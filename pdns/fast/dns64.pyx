"""Answers that a DNS64 does not leave as they are. `dns64.pxd` has the contract."""

# specification: pdns/core/dns64.py:Translation.has_to_change

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcmp

from pdns.fast.response cimport Bounds, Plain, read_plain
from pdns.fast.wire cimport u16

cdef enum:
    TYPE_AAAA = 28
    TYPE_BEFORE_TTL = 4
    RDATA_BEHIND_TYPE = 10
    NETWORK_BYTES = 17  # of a network in `Translation.excluded`: its length in bits, then 16 bytes


cdef bint is_in(const uint8_t *address, const uint8_t *network) noexcept nogil:
    cdef int whole = network[0] // 8, rest = network[0] % 8
    if memcmp(address, network + 1, whole) != 0:
        return False
    return rest == 0 or (address[whole] ^ network[1 + whole]) >> (8 - rest) == 0


cdef bint lacks_addresses(const uint8_t *wire, const Plain *plain, const uint8_t *key, Py_ssize_t name_bytes, bytes excluded) noexcept:
    cdef const uint8_t *networks = <const uint8_t *>PyBytes_AS_STRING(excluded)
    cdef Py_ssize_t count = PyBytes_GET_SIZE(excluded) // NETWORK_BYTES, i
    cdef const uint8_t *record
    cdef bint found = False
    cdef int at
    if u16(key + name_bytes) != TYPE_AAAA or plain.rcode != 0:
        return False
    for at in range(plain.ancount):
        record = wire + plain.body_at + plain.ttl_at[at] - TYPE_BEFORE_TTL
        if u16(record) == TYPE_AAAA:
            found = True
            for i in range(count):
                if is_in(record + RDATA_BEHIND_TYPE, networks + i * NETWORK_BYTES):
                    return True
    return not found


def has_to_change(bytes wire not None, bytes key not None, bytes excluded not None):
    """The same of `wire`, whose question `key` begins with; None where that is not a plain answer."""
    cdef Plain plain
    cdef Bounds bounds
    cdef Py_ssize_t name_bytes = 0
    cdef const uint8_t *raw = <const uint8_t *>PyBytes_AS_STRING(wire)
    cdef const uint8_t *asked = <const uint8_t *>PyBytes_AS_STRING(key)
    while key[name_bytes]:
        name_bytes += 1 + key[name_bytes]
    bounds.min_ttl_s, bounds.max_ttl_s, bounds.max_negative_ttl_s = 0, 86400, 3600
    if not read_plain(raw, PyBytes_GET_SIZE(wire), asked, name_bytes + 1, False, &bounds, &plain):
        return None
    return lacks_addresses(raw, &plain, asked, name_bytes + 1, excluded)
