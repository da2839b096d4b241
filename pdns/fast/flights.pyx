"""Questions on their way upstream. `flights.pxd` has the shape, `pdns.core.flights` the specification.

Who waits is a `Datagram`, or whatever `join` was given; to Python all are `Waiter`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.string cimport memcmp, memcpy

from pdns.fast.batch cimport address_of, port_of
from pdns.fast.clients cimport ADDRESS_BYTES, packed
from pdns.fast.wire cimport put16

from pdns.core import flights as specification
from pdns.core.flights import Waiter

cdef enum:
    PLACE_BYTES = 20  # address, port, id


cdef bytes place_of(waiter, int port):
    """Where a client's own retransmission would wait."""
    cdef uint8_t place[PLACE_BYTES]
    cdef Datagram query
    cdef bytes address
    if type(waiter) is Datagram:
        query = waiter
        address_of(&query._peer, place)
        put16(place + ADDRESS_BYTES, port_of(&query._peer))
        put16(place + ADDRESS_BYTES + 2, query.q.id)
    else:
        address = packed(waiter.address)
        memcpy(place, PyBytes_AS_STRING(address), ADDRESS_BYTES)
        put16(place + ADDRESS_BYTES, port)
        put16(place + ADDRESS_BYTES + 2, waiter.query.id)
    return PyBytes_FromStringAndSize(<char *>place, PLACE_BYTES)


cdef class Flight:

    @property
    def waiting(self):
        return len(self._waiters) if self._waiters is not None else 0 if self._first is None else 1

    @property
    def query(self):
        """Of one who waits."""
        waiter = self._first if self._waiters is None else next(iter(self._waiters.values()))
        return waiter if type(waiter) is Datagram else waiter.query

    cdef bint has_only_datagrams(self) noexcept:
        if self._waiters is not None:
            for waiter in self._waiters.values():
                if type(waiter) is not Datagram:
                    return False
        return True


cdef class Flights:

    def __init__(self, max_flights, max_per_client):
        self._flights = {}
        self._per_client = {}
        self._last_client = bytes(ADDRESS_BYTES)
        self.limit(max_flights, max_per_client)

    def __len__(self):
        return len(self._flights)

    def limit(self, max_flights, max_per_client):
        self._max_flights, self._max_per_client = max_flights, max_per_client

    def get(self, bytes key not None):
        return self._flights.get(key)

    def full(self, str address not None):
        if len(self._flights) >= self._max_flights:
            return specification.FULL
        if address and self._per_client.get(packed(address), 0) >= self._max_per_client:
            return specification.FULL_FOR_CLIENT
        return ""

    def start(self, forward, double now):
        cdef Flight flight = self.begin(forward.key, now)
        flight.forward = forward
        return flight

    def join(self, Flight flight not None, int port, waiter):
        return self._join(flight, port, waiter.query if type(waiter.query) is Datagram else waiter)

    def land(self, Flight flight not None):
        return [as_waiter(waiter) for waiter in self.end(flight)]

    def release(self, Flight flight not None):
        return [as_waiter(waiter) for waiter in self.leave(flight)]

    # ---- for other kernels

    cdef Flight of(self, bytes key):
        return self._flights.get(key)

    cdef bint has_room(self, Datagram query) except -1:
        """Whether one more question of this client can be taken up."""
        return len(self._flights) < self._max_flights and self._per_client.get(self._client_of(query), 0) < self._max_per_client

    cdef Flight begin(self, bytes key, double now):
        cdef Flight flight = Flight.__new__(Flight)
        flight.key = key
        flight.started_s = now
        self._flights[key] = flight
        return flight

    cdef bint wait(self, Flight flight, Datagram query) except -1:
        """As `join`."""
        return self._join(flight, 0, query)

    cdef list end(self, Flight flight):
        """As `land`."""
        self._flights.pop(flight.key, None)
        return self.leave(flight)

    cdef list leave(self, Flight flight):
        """Whoever waits, as they joined, in order of arrival."""
        cdef list waiters
        if flight._waiters is not None:
            waiters = list(flight._waiters.values())
            flight._waiters = None
        elif flight._first is not None:
            waiters = [flight._first]
            flight._first = None
        else:
            return []
        for waiter in waiters:
            client = self._client_of(waiter)
            left = self._per_client[client] - 1
            if left:
                self._per_client[client] = left
            else:
                del self._per_client[client]
        return waiters

    cdef bytes _client_of(self, waiter):
        cdef uint8_t address[ADDRESS_BYTES]
        if type(waiter) is not Datagram:
            return packed(waiter.address)
        address_of(&(<Datagram>waiter)._peer, address)
        if memcmp(address, PyBytes_AS_STRING(self._last_client), ADDRESS_BYTES) != 0:
            self._last_client = PyBytes_FromStringAndSize(<char *>address, ADDRESS_BYTES)
        return self._last_client

    cdef bint _join(self, Flight flight, int port, waiter) except -1:
        cdef bytes place
        if flight._first is None and flight._waiters is None:
            if type(waiter) is Datagram:  # most have nobody else, and need no place
                flight._first = waiter
                self._count(waiter)
                return True
            flight._waiters = {}
        elif flight._waiters is None:
            flight._waiters = {place_of(flight._first, 0): flight._first}
            flight._first = None
        place = place_of(waiter, port)
        if place not in flight._waiters:
            if len(flight._waiters) >= specification.MAX_WAITERS:
                return False
            self._count(waiter)
        flight._waiters[place] = waiter
        return True

    cdef int _count(self, waiter) except -1:
        client = self._client_of(waiter)
        self._per_client[client] = self._per_client.get(client, 0) + 1
        return 0


def as_waiter(waiter):
    """What Python knows as one."""
    if type(waiter) is not Datagram:
        return waiter
    return Waiter(waiter, waiter.client, waiter.address, "udp", waiter.reply, waiter.started_s)
