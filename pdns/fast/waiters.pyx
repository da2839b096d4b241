"""Who waits for a question on its way. `waiters.pxd` has the contract."""

# specification: pdns/reference/in_flight.py:ReferenceInFlight

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from pdns.fast.batch cimport port_of
from pdns.fast.clients cimport ADDRESS_BYTES, packed
from pdns.fast.udp cimport Datagram
from pdns.fast.wire cimport put16

from pdns.core.in_flight import Waiter

cdef enum:
    PLACE_BYTES = 20  # address, port, id


cdef bytes place_of(waiter, int port):
    """Where a client's own retransmission would wait."""
    cdef uint8_t place[PLACE_BYTES]
    cdef Datagram query
    cdef bytes address
    if type(waiter) is Datagram:
        query = waiter
        memcpy(place, query.client_at, ADDRESS_BYTES)
        put16(place + ADDRESS_BYTES, port_of(&query._peer))
        put16(place + ADDRESS_BYTES + 2, query.q.id)
    else:
        address = packed(waiter.address)
        memcpy(place, PyBytes_AS_STRING(address), ADDRESS_BYTES)
        put16(place + ADDRESS_BYTES, port)
        put16(place + ADDRESS_BYTES + 2, waiter.query.id)
    return PyBytes_FromStringAndSize(<char *>place, PLACE_BYTES)


cdef as_waiter(waiter):
    """What Python knows as one."""
    if type(waiter) is not Datagram:
        return waiter
    return Waiter(waiter, waiter.client, waiter.address, waiter.transport, waiter.reply, waiter.started_s)
