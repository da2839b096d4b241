"""Questions on their way upstream. `in_flight.pxd` has the shape."""

# specification: pdns/reference/in_flight.py:ReferenceInFlight

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from pdns.fast.clients cimport ADDRESS_BYTES, is_ipv4, new_hash_key, packed
from pdns.fast.hashing cimport siphash
from pdns.fast.query cimport domain_of
from pdns.fast.waiters cimport as_waiter, place_of

from pdns.core import in_flight as specification
from pdns.wire import names

cdef str _FULL = specification.FULL, _FULL_FOR_CLIENT = specification.FULL_FOR_CLIENT, _FULL_FOR_DOMAIN = specification.FULL_FOR_DOMAIN
cdef str _MADE_ROOM = specification.MADE_ROOM, _IMPATIENT = specification.IMPATIENT
cdef Py_ssize_t _LOOKED_AT = specification.LOOKED_AT, _ENDED_AT_ONCE = specification.ENDED_AT_ONCE
cdef double _LEAST_PATIENCE = specification.LEAST_PATIENCE
cdef bytes _NO_CLIENT = bytes(ADDRESS_BYTES)


cdef class Holder:
    pass


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


cdef class InFlight:

    def __init__(self, max_in_flight, max_per_client, patience_s=10.0, prefixes=(32, 56)):
        self.shed = lambda flight, _why: self.land(flight)
        memset(self._places, 0, sizeof(self._places))
        self._holders = {}
        self._ranked = [None]
        self._last = self._holder_of(_NO_CLIENT)
        self._hash_key = new_hash_key()
        memset(self._domains, 0, sizeof(self._domains))
        self.limit(max_in_flight, max_per_client, patience_s, prefixes)

    def __len__(self):
        return self._count

    def limit(self, max_in_flight, max_per_client, patience_s=10.0, prefixes=(32, 56)):
        cdef Flight flight
        self._max_in_flight, self._max_per_client, self._patience_s = max_in_flight, max_per_client, patience_s
        self._small = max(max_in_flight // specification.SMALL_PART, 1)
        self._max_of_domain = max(max_in_flight // specification.DOMAIN_PART, 1)
        if (self._prefix_bits[0], self._prefix_bits[1]) == (96 + prefixes[0], prefixes[1]):
            return
        flight = self._oldest
        while flight is not None:
            self._count_all_out(flight)
            flight = flight._newer
        self._prefix_bits[0], self._prefix_bits[1] = 96 + prefixes[0], prefixes[1]
        self._keep(self._holder_of(_NO_CLIENT))
        flight = self._oldest
        while flight is not None:
            self._count_all_in(flight)
            flight = flight._newer

    @property
    def is_full(self):
        return self._count >= self._max_in_flight

    def get(self, bytes key not None):
        return self.of(self.hash_of(key), <const uint8_t *>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))

    def room(self, str address not None, bytes qname not None, double now):
        return self.room_for(self._holder_at(address), self.hash_of(names.domain_of(qname)), now)

    def start(self, forward, double now, str address not None=""):
        cdef Flight flight = Flight.__new__(Flight)
        flight.key, flight._hash, flight.forward, flight.started_s = forward.key, self.hash_of(forward.key), forward, now
        self._start(flight, self._holder_at(address), self.hash_of(names.domain_of(forward.qname)))
        return flight

    def join(self, Flight flight not None, int64_t port, waiter):
        return self._join(flight, port, waiter.query if type(waiter.query) is Datagram else waiter)

    def land(self, Flight flight not None):
        return [as_waiter(waiter) for waiter in self.end(flight)]

    def release(self, Flight flight not None):
        return [as_waiter(waiter) for waiter in self.leave(flight)]

    # ---- for other kernels

    cdef Flight of(self, uint64_t hash, const uint8_t *key, Py_ssize_t key_bytes):
        """The one of that key, of which this is the hash."""
        cdef PyObject *at = self._places[hash % KEY_PLACES]
        cdef Flight flight
        while at != NULL:
            flight = <Flight>at
            if flight._hash == hash and PyBytes_GET_SIZE(flight.key) == key_bytes and memcmp(PyBytes_AS_STRING(flight.key), key, key_bytes) == 0:
                return flight
            at = flight._next
        return None

    cdef uint64_t hash_of(self, bytes key) noexcept:
        return siphash(self._hash_key, <const uint8_t *>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))

    cdef uint64_t domain_of(self, Datagram query) noexcept:
        """What `room_for` and `begin` take."""
        cdef Py_ssize_t at = domain_of(&query.q)
        return siphash(self._hash_key, query.q.key + at, query.q.name_bytes - at)

    cdef str room_for(self, Holder client, uint64_t domain, double now):
        """As `room`."""
        cdef Flight spare
        cdef uint32_t of_domain
        cdef bint has_share
        if client.waiting >= self._max_per_client:
            return _FULL if self._count >= self._max_in_flight else _FULL_FOR_CLIENT
        if 2 * self._count > self._max_in_flight:
            self._lose_patience(now)
        of_domain = min(self._domains[0][domain % DOMAIN_PLACES], self._domains[1][(domain >> 32) % DOMAIN_PLACES])
        if self._count < self._max_in_flight and of_domain < <size_t>self._max_of_domain:
            return ""
        has_share = client.held >= max(self._fair_share(), self._small)
        if of_domain >= <size_t>self._max_of_domain:
            spare = None if has_share else self._spare(False, domain)
            if spare is None:
                return _FULL_FOR_DOMAIN
            self.shed(spare, _MADE_ROOM)
        if self._count >= self._max_in_flight:
            if has_share:
                return _FULL
            self.shed(self._dispensable(), _MADE_ROOM)
        return _FULL if self._count >= self._max_in_flight else ""

    cdef Flight begin(self, Datagram query, Holder client, uint64_t domain, double now):
        """As `start`, then `join` of `query`."""
        cdef Flight flight = Flight.__new__(Flight)
        if client.held == 0 and client.waiting == 0:  # making room may have forgotten it
            client = self._holders.setdefault(client.key, client)
        flight.key = PyBytes_FromStringAndSize(<char *>query.q.key, query.q.key_bytes)
        flight._hash, flight.started_s = query.hash, now
        flight._first, flight._first_holder = query, client
        self._count_in(client)
        self._start(flight, client, domain)
        return flight

    cdef bint wait(self, Flight flight, Datagram query) except -1:
        """As `join`."""
        return self._join(flight, 0, query)

    cdef list end(self, Flight flight):
        """As `land`."""
        cdef Holder holder = flight._holder
        if holder is not None:
            flight._holder = None
            self._take_out(flight)
            self._count -= 1
            self._domains[0][flight._domain % DOMAIN_PLACES] -= 1
            self._domains[1][(flight._domain >> 32) % DOMAIN_PLACES] -= 1
            if flight._older is None:
                self._oldest = flight._newer
            else:
                flight._older._newer = flight._newer
            if flight._newer is None:
                self._newest = flight._older
            else:
                flight._newer._older = flight._older
            if flight._own_older is None:
                holder.oldest = flight._own_newer
            else:
                flight._own_older._own_newer = flight._own_newer
            if flight._own_newer is None:
                holder.newest = flight._own_older
            else:
                flight._own_newer._own_older = flight._own_older
            flight._older = flight._newer = flight._own_older = flight._own_newer = None
            self._unrank(holder)
            holder.held -= 1
            self._rank(holder)
            self._forget(holder)
        return self.leave(flight)

    cdef list leave(self, Flight flight):
        """Whoever waits, as they joined, in order of arrival."""
        cdef list waiters = list(flight._waiters.values()) if flight._waiters is not None else [flight._first] if flight._first is not None else []
        self._count_all_out(flight)
        flight._waiters = flight._first = None
        return waiters

    # ---- shares

    cdef Py_ssize_t _fair_share(self) noexcept:
        return max(self._count // max(self._holding, 1), 1)

    cdef int _lose_patience(self, double now) except -1:
        cdef Flight oldest
        cdef double free
        cdef Py_ssize_t _
        for _ in range(_ENDED_AT_ONCE):
            free = <double>(self._max_in_flight - self._count) / <double>self._max_in_flight
            oldest = self._spare(True, 0)
            if oldest is None or now - oldest.started_s <= self._patience_s * max(2 * free, _LEAST_PATIENCE):
                return 0
            self.shed(oldest, _IMPATIENT)
        return 0

    cdef Flight _dispensable(self):
        cdef Holder largest = self._ranked[self._most]
        cdef Flight spare
        if largest.held > max(2 * self._fair_share(), self._small):
            return largest.oldest
        spare = self._spare(True, 0)
        return largest.oldest if spare is None else spare

    cdef Flight _spare(self, bint any_domain, uint64_t domain):
        cdef Py_ssize_t share = self._fair_share(), _
        cdef Flight flight = self._oldest
        for _ in range(_LOOKED_AT):
            if flight is None:
                return None
            if flight._holder.held >= share and (any_domain or flight._domain == domain):
                return flight
            flight = flight._newer
        return None

    cdef Holder _holder_of(self, bytes client):
        cdef Holder holder = self._holders.get(client)
        if holder is None:
            holder = self._holders[client] = Holder.__new__(Holder)
            holder.key = client
        return holder

    cdef int _start(self, Flight flight, Holder holder, uint64_t domain) except -1:
        flight._next = self._places[flight._hash % KEY_PLACES]
        self._places[flight._hash % KEY_PLACES] = <PyObject *>flight
        self._count += 1
        flight._holder, flight._domain = holder, domain
        self._domains[0][domain % DOMAIN_PLACES] += 1
        self._domains[1][(domain >> 32) % DOMAIN_PLACES] += 1
        flight._older = self._newest
        if self._newest is None:
            self._oldest = flight
        else:
            self._newest._newer = flight
        self._newest = flight
        flight._own_older = holder.newest
        if holder.newest is None:
            holder.oldest = flight
        else:
            holder.newest._own_newer = flight
        holder.newest = flight
        self._unrank(holder)
        holder.held += 1
        self._rank(holder)
        return 0

    cdef void _take_out(self, Flight flight) noexcept:
        cdef PyObject **place = &self._places[flight._hash % KEY_PLACES]
        while place[0] != <PyObject *>flight:
            if place[0] == NULL:
                return
            place = &(<Flight>place[0])._next
        place[0], flight._next = flight._next, NULL

    cdef int _rank(self, Holder holder) except -1:
        cdef Holder first
        if holder.held == 0:
            return 0
        self._holding += 1
        if holder.held == len(self._ranked):
            self._ranked.append(None)
        first = self._ranked[holder.held]
        if first is not None:
            holder.after, first.before = first, holder
        self._ranked[holder.held] = holder
        if holder.held > self._most:
            self._most = holder.held
        return 0

    cdef int _unrank(self, Holder holder) except -1:
        if holder.held == 0:
            return 0
        self._holding -= 1
        if holder.before is None:
            self._ranked[holder.held] = holder.after
            if holder.after is None and holder.held == self._most:
                self._most -= 1
        else:
            holder.before.after = holder.after
        if holder.after is not None:
            holder.after.before = holder.before
        holder.before = holder.after = None
        return 0

    cdef int _forget(self, Holder holder) except -1:
        if holder.held == 0 and holder.waiting == 0 and holder is not self._last and self._holders.get(holder.key) is holder:
            del self._holders[holder.key]
        return 0

    # ---- who waits

    cdef Holder client_at(self, const uint8_t *address):
        """The client at `address`, which is known by its prefix."""
        cdef uint8_t prefix[ADDRESS_BYTES]
        cdef int bits = self._prefix_bits[0 if is_ipv4(address) else 1]
        memset(prefix, 0, ADDRESS_BYTES)
        memcpy(prefix, address, bits // 8)
        if bits % 8:
            prefix[bits // 8] = <uint8_t>(address[bits // 8] & (0xFF00 >> (bits % 8)))
        if memcmp(prefix, PyBytes_AS_STRING(self._last.key), ADDRESS_BYTES) != 0:
            self._keep(self._holder_of(PyBytes_FromStringAndSize(<char *>prefix, ADDRESS_BYTES)))
        return self._last

    cdef int _keep(self, Holder holder) except -1:
        """Most queries come after one of the same client: it is kept, even when it holds nothing."""
        cdef Holder before = self._last
        self._last = holder
        return self._forget(before)

    cdef Holder _holder_at(self, str address):
        if not address:
            self._keep(self._holder_of(_NO_CLIENT))
            return self._last
        wanted = packed(address)
        return self.client_at(<const uint8_t *>PyBytes_AS_STRING(wanted))

    cdef Holder _client_of(self, waiter):
        return self.client_at((<Datagram>waiter).client_at) if type(waiter) is Datagram else self._holder_at(waiter.address)

    cdef bint _join(self, Flight flight, int64_t port, waiter) except -1:
        cdef bytes place
        cdef Holder holder
        if flight._first is None and flight._waiters is None:
            if type(waiter) is Datagram:  # most questions have one waiter, which needs no place
                flight._first, flight._first_holder = waiter, self._client_of(waiter)
                self._count_in(flight._first_holder)
                return True
            flight._waiters = {}
        elif flight._waiters is None:
            flight._waiters = {place_of(flight._first, 0): flight._first}
            flight._first = flight._first_holder = None
        place = place_of(waiter, port)
        if place not in flight._waiters:
            holder = self._client_of(waiter)
            if flight._waiters and (
                len(flight._waiters) >= specification.MAX_WAITERS
                or self._waiting >= max(specification.MAX_WAITERS_ON_AVERAGE * self._max_in_flight, specification.MAX_WAITERS)
                or holder.waiting >= self._max_per_client
            ):
                return False
            self._count_in(holder)
        flight._waiters[place] = waiter
        return True

    cdef int _count_all_in(self, Flight flight) except -1:
        """Whoever waits for `flight`."""
        if flight._first is not None:
            flight._first_holder = self._client_of(flight._first)
            self._count_in(flight._first_holder)
        elif flight._waiters is not None:
            for waiter in flight._waiters.values():
                self._count_in(self._client_of(waiter))
        return 0

    cdef int _count_all_out(self, Flight flight) except -1:
        if flight._first is not None:
            self._count_out(flight._first_holder)
            flight._first_holder = None
        elif flight._waiters is not None:
            for waiter in flight._waiters.values():
                self._count_out(self._client_of(waiter))
        return 0

    cdef int _count_in(self, Holder holder) except -1:
        holder.waiting += 1
        self._waiting += 1
        return 0

    cdef int _count_out(self, Holder holder) except -1:
        holder.waiting -= 1
        self._waiting -= 1
        return self._forget(holder)
