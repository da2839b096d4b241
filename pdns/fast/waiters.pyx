"""Who waits for a question on its way. `waiters.pxd` has the contract."""

# specification: pdns/reference/in_flight.py:ReferenceInFlight

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from pdns.fast.batch cimport port_of
from pdns.fast.clients cimport ADDRESS_BYTES, packed
from pdns.fast.udp cimport Datagram
from pdns.fast.wire cimport put16, put32

from pdns.core.in_flight import Waiter

cdef enum:
    PLACE_BYTES = 26  # address, port, id; the port has more than its 16 bits where streams share one


cdef bytes place_of(waiter, int64_t port):
    """Where a client's own retransmission would wait."""
    cdef uint8_t place[PLACE_BYTES]
    cdef Datagram query
    cdef bytes address
    cdef uint16_t query_id
    if type(waiter) is Datagram:
        query = waiter
        memcpy(place, query.client_at, ADDRESS_BYTES)
        port = port_of(&query._peer)
        query_id = query.q.id
    else:
        address = packed(waiter.address)
        memcpy(place, PyBytes_AS_STRING(address), ADDRESS_BYTES)
        query_id = waiter.query.id
    put32(place + ADDRESS_BYTES, <uint32_t>(port >> 32))
    put32(place + ADDRESS_BYTES + 4, <uint32_t>port)
    put16(place + ADDRESS_BYTES + 8, query_id)
    return PyBytes_FromStringAndSize(<char *>place, PLACE_BYTES)


cdef as_waiter(waiter):
    """What Python knows as one."""
    if type(waiter) is not Datagram:
        return waiter
    return Waiter(waiter, waiter.client, waiter.address, waiter.transport, waiter.reply, waiter.started_s)
