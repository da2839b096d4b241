"""DNS over UDP by the batch: the compiled twin of `pdns.reference.udp_listener`.

What the fast path can answer goes out with the batch it came in with; the rest is handed to the service as a list.
"""

# specification: pdns/reference/udp_listener.py:ReferenceUdpListener

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, ENOBUFS, ENOMEM
from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcpy, memset

from pdns.fast.batch cimport BATCH, Inbox, Outbox, Peer, address_of, port_of
from pdns.fast.clients cimport ADDRESS_BYTES, text_of
from pdns.fast.clock cimport clock_s
from pdns.fast.cache_record cimport BLOCKED, SOURCE_COUNT, CacheRecord
from pdns.fast.checks cimport must
from pdns.fast.fast_path cimport DECIDE, DECIDE_CLEAN
from pdns.fast.first_sight cimport BLOCKED_ALIKE, CLEAN, FirstSight, Sight
from pdns.fast.matcher cimport Search
from pdns.fast.proxy_header cimport HEADER_SOUND, HeaderFault, ProxyHeader, read_header, reason_of
from pdns.fast.stats cimport UDP
from pdns.fast.wire cimport SOUND, Question

from pdns.fast.cache import SOURCE_NUMBERS
from pdns.net.edge import BugLog
from pdns.net.sockets import kernel_drops
from pdns.net.udp import MAX_QUERY_BYTES, WILDCARDS, junk_reason
from pdns.wire.transport import Transport

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(object)

cdef object _UDP = Transport.UDP

cdef Py_ssize_t _MAX_QUERY_BYTES = MAX_QUERY_BYTES


cdef class Datagram(PendingQuery):
    """A query that came in a datagram."""

    @property
    def address(self):
        """The client's address as text, without scope."""
        return text_of(self.client_at)

    @property
    def port(self):
        """Where the answer goes."""
        return port_of(&self._peer)

    @property
    def transport(self):
        return _UDP

    @property
    def batched(self):
        return True

    def send_cached(self, str source not None, double now):
        """Send the answer that is in the cache now, counted under `source`. Raises `LookupError` when there is none."""
        self.send_known(SOURCE_NUMBERS[source], now)

    cdef int send_known(self, int source, double now) except -1:
        cdef UdpListener listener = self._listener
        cdef Py_ssize_t size = self._fast_path.render_known(self, source, UDP, now, listener._room(MOST_ANSWER_BYTES))
        if size:
            listener._send(size, &self._peer)
            self._fast_path._fast_stats.lasted(source, 1, clock_s() - self.started_s)
        return 0

    def reply(self, bytes wire not None):
        """Send `wire` to who asked, with the next batch."""
        self._listener._queue(wire, &self._peer)


cdef class CleanQueries:

    def __len__(self):
        return self.count

    def datagrams(self):
        """All of them, to keep."""
        return [self.datagram(number) for number in range(self.count)]

    cdef Datagram datagram(self, int number):
        must(0 <= number < self.count)
        return self.listener._datagram(self.places[number], DECIDE_CLEAN, self.started_s)


cdef class UdpListener:
    """As `pdns.reference.udp_listener.ReferenceUdpListener`. With a `fast_path`, the service gets what that cannot answer by `on_queries`: a list of
    `Datagram` and `CleanQueries`; without one every datagram, by `on_message`.
    """

    def __init__(self, sock, service, loop, stats, FastPath fast_path=None):
        self._sock, self._service, self._loop, self._stats, self._fast_path = sock, service, loop, stats, fast_path
        self._bugs = BugLog(loop.time)
        self._own_host, self._own_port = sock.getsockname()[:2]
        self._inbox = Inbox(_MAX_QUERY_BYTES, controlled=self._own_host in WILDCARDS)
        self._outbox = Outbox(MOST_ANSWER_BYTES)
        self._clean = CleanQueries.__new__(CleanQueries)
        self._clean.listener = self
        self._spare = []
        self._fd = sock.fileno()
        self.resume()

    def resume(self):
        if not self._reading and self._sock.fileno() >= 0:
            self._reading = True
            self._loop.add_reader(self._fd, self.read_now)

    def pause(self):
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def trust(self, networks not None):
        """Peers in `networks`, and no others, send a PROXY protocol header before each message from now on."""
        self._balancers = Balancers(networks) if networks else None

    def close(self):
        self.pause()
        if self._fd >= 0:
            self._flush()
            self._fd = -1
            self._spare.clear()
        self._sock.close()

    @property
    def kernel_drops(self):
        return kernel_drops(self._sock)

    def read_now(self):
        """Take a batch of what has arrived."""
        cdef int count, at
        if self._fd < 0:
            return
        count = self._inbox.receive(self._fd)
        if count < 0:
            if count != -EAGAIN:
                self._stats.dropped("udp_receive_error")
            return
        self._collecting = True
        try:
            if self._fast_path is not None:
                self._answer(count)
            else:
                self._pass_on(count)
        finally:
            self._collecting = False
            self._flush()

    cdef int _parse_batch(self, int count, int *sound) except -1:
        """Read every datagram of the batch before the first is answered: by then memory has brought what is asked for. `sound` gets
        the places of those that may be answered; returns how many."""
        cdef int at, heard = 0
        cdef bint has_balancers = self._balancers is not None
        for at in range(count):
            if not self._is_sound(at, &self._peers[at]):
                continue
            address_of(&self._peers[at], self._addresses[at])
            if has_balancers and not self._unwrap(at, self._addresses[at]):
                continue
            try:
                self._fast_path.parse(self._inbox.raw(at), self._inbox.size(at), self._addresses[at], &self._heard[at])
            except Exception as error:
                self._bugs.caught(error, "the reading of a datagram")
                continue
            sound[heard] = at
            heard += 1
        for at in range(heard):
            if self._heard[sound[at]].fault == SOUND:
                self._fast_path._cache.expect_record(self._heard[sound[at]].hash)
        return heard

    cdef int _answer(self, int count) except -1:
        cdef double began_s = clock_s(), lasted_s
        cdef int unknown[BATCH]
        cdef int source
        memset(self._answered, 0, sizeof(self._answered))
        self._undecided, self._clean.count, self._clean.started_s = [], 0, began_s
        count = self._take_all(count, began_s, unknown)
        if count:
            self._look_at(unknown, count, began_s)
        self._flush()
        lasted_s = clock_s() - began_s
        for source in range(SOURCE_COUNT):
            if self._answered[source]:
                self._fast_path._fast_stats.lasted(source, self._answered[source], lasted_s)
        undecided, self._undecided = self._undecided, None
        if undecided or self._clean.count:
            try:
                self._service.on_queries(undecided, self._clean)
            except Exception as error:
                self._bugs.caught(error, "the decision about a query")
        return 0

    cdef int _take_all(self, int count, double now, int *unknown) except -1:
        """Answer what the fast path can. `unknown` gets the places of those that the first sight takes; returns how many."""
        cdef FastPath fast_path = self._fast_path
        cdef int sound[BATCH]
        cdef int at, turn, source = 0, left = 0
        cdef Py_ssize_t size
        for turn in range(self._parse_batch(count, sound)):
            at = sound[turn]
            try:
                size = fast_path.take(
                    &self._heard[at], self._inbox.raw(at), self._addresses[at], UDP, now, &source, self._room(MOST_ANSWER_BYTES)
                )
            except Exception as error:
                self._bugs.caught(error, "the answer to a datagram")
                continue
            if size > 0:
                self._outbox.add(size, &self._peers[at])
                self._answered[source] += 1
            elif size == DECIDE and fast_path.first_sight.takes(&self._heard[at].question):
                unknown[left] = at
                left += 1
            elif size < 0:
                self._undecided.append(self._datagram(at, size, now))
        return left

    cdef int _look_at(self, const int *unknown, int count, double now) except -1:
        """Block what is listed as others were, and tell clean names from those that Python decides about."""
        cdef FirstSight first_sight = self._fast_path.first_sight
        cdef const Question *questions[BATCH]
        cdef Search searches[BATCH]
        cdef ParsedPacket *heard
        cdef CacheRecord *record = NULL
        cdef Sight sight
        cdef Py_ssize_t size
        cdef int at, turn
        for turn in range(count):
            questions[turn] = &self._heard[unknown[turn]].question
            self._fast_path._cache.expect_new(self._heard[unknown[turn]].hash)
        first_sight.expect(questions, searches, count)
        for turn in range(count):
            at = unknown[turn]
            heard = &self._heard[at]
            size = DECIDE
            try:
                sight = first_sight.look(&heard.question, &searches[turn], heard.hash, now, &record)
                if sight == CLEAN:
                    self._clean.places[self._clean.count] = at
                    self._clean.count += 1
                    continue
                if sight == BLOCKED_ALIKE:
                    size = self._fast_path._render(
                        record, &heard.question, heard.client, BLOCKED, UDP, False, now, self._room(MOST_ANSWER_BYTES), self._addresses[at]
                    )
            except Exception:
                size = DECIDE  # it will be raised again where it is logged, at worst after the block was counted
            if size > 0:
                self._outbox.add(size, &self._peers[at])
                self._answered[BLOCKED] += 1
            elif size < 0:
                self._undecided.append(self._datagram(at, size, now))
        return 0

    cdef Datagram _datagram(self, int at, Py_ssize_t decide, double started_s):
        """The query at a place of the batch, to keep. `decide` as for `PendingQuery.settle`."""
        cdef Datagram datagram = self._spare.pop() if self._spare else Datagram.__new__(Datagram)
        memcpy(&datagram._peer, &self._peers[at], sizeof(Peer))
        datagram.monitored = False
        datagram.settle(self._fast_path, &self._heard[at], self._addresses[at], decide)
        datagram._listener, datagram.started_s = self, started_s
        return datagram

    cdef int answered(self, Datagram datagram) except -1:
        """Keep `datagram` for another query, unless something else holds it. For `FastForward.take` alone, which has it in a list and in
        a variable."""
        if Py_REFCNT(datagram) == 2 and self._fd >= 0 and len(self._spare) < MOST_SPARE:
            self._spare.append(datagram)
        return 0

    cdef int _pass_on(self, int count) except -1:
        cdef Datagram datagram
        cdef int at
        for at in range(count):
            datagram = Datagram.__new__(Datagram)
            if not self._is_sound(at, &datagram._peer):
                continue
            address_of(&datagram._peer, datagram.client_at)
            if self._balancers is not None and not self._unwrap(at, datagram.client_at):
                continue
            datagram._listener = self
            wire = PyBytes_FromStringAndSize(<const char *>self._inbox.raw(at), self._inbox.size(at))
            try:
                self._service.on_message(wire, datagram.address, datagram.port, _UDP, datagram.reply)
            except Exception as error:
                self._bugs.caught(error, "the answer to a datagram")
        return 0

    cdef bint _is_sound(self, int at, Peer *peer) except -1:
        """Whether a datagram may be answered; what may not is counted."""
        cdef bint unicast = self._inbox.peer(at, peer)
        cdef uint16_t port = port_of(peer)
        cdef uint8_t address[ADDRESS_BYTES]
        if port == 0 or port == self._own_port or self._inbox.size(at) > _MAX_QUERY_BYTES:
            address_of(peer, address)
            reason = junk_reason(self._inbox.size(at), text_of(address), port, self._own_host)
            if reason:
                self._stats.dropped(reason)
                return False
        if not unicast:
            self._stats.dropped("udp_not_unicast")
        return unicast

    cdef bint _unwrap(self, int at, uint8_t *client) except -1:
        """Take the PROXY header off a datagram of the peer `client` if it is a load balancer, which may name another client in its
        place. False: it may not be answered, which is counted."""
        cdef ProxyHeader header
        cdef HeaderFault fault
        if not self._balancers.has(client):
            return True
        fault = read_header(self._inbox.raw(at), self._inbox.size(at), &header)
        if fault != HEADER_SOUND:
            self._stats.dropped(reason_of(fault))
            return False
        self._inbox.strip(at, header.size)
        if header.names_client:
            memcpy(client, header.client, ADDRESS_BYTES)
        return True

    cdef int _queue(self, bytes wire, Peer *peer) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(wire)
        if size > MOST_ANSWER_BYTES:
            self._stats.dropped("udp_send_error")
            return 0
        memcpy(self._room(size), PyBytes_AS_STRING(wire), size)
        self._send(size, peer)
        return 0

    cdef uint8_t *_room(self, Py_ssize_t size):
        """Where to write an answer of at most `size` bytes."""
        cdef uint8_t *room = self._outbox.room(size)
        if room == NULL:
            self._flush()
            room = self._outbox.room(size)
        return room

    cdef int _send(self, Py_ssize_t size, Peer *peer) except -1:
        """Let what was written to `_room` go out with the batch."""
        if self._fd < 0:
            return 0
        self._outbox.add(size, peer)
        if not (self._collecting or self._flush_planned):
            self._flush_planned = True
            self._loop.call_soon(self._flush)
        return 0

    cpdef _flush(self):
        """Send what waits."""
        cdef int error = 0, lost
        self._flush_planned = False
        if self._outbox.count and self._fd >= 0:
            lost = self._outbox.flush(self._fd, &error)
            for _ in range(lost):
                self._stats.dropped("udp_send_buffer_full" if error in (EAGAIN, ENOBUFS, ENOMEM) else "udp_send_error")
