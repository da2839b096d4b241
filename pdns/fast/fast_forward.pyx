"""The common case of forwarding. `fast_forward.pxd` says what that is."""

# specification: pdns/upstream/forwarder.py:Forwarder

import logging
from functools import partial

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINVAL, EIO, EMSGSIZE, ENOBUFS, EOPNOTSUPP
from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from pdns.fast.batch cimport BATCH
from pdns.fast.checks cimport must
from pdns.fast.clock cimport clock_s
from pdns.fast.cache_record cimport ERROR, NO_EDE, UPSTREAM, body_of, ttls_of
from pdns.fast.dns64 cimport lacks_addresses
from pdns.fast.private cimport has_private_address
from pdns.fast.render cimport write_opt
from pdns.fast.response cimport Plain, read_plain
from pdns.fast.stats cimport UDP
from pdns.fast.tunnels cimport TunnelMeter
from pdns.fast.udp cimport MOST_ANSWER_BYTES
from pdns.fast.upstream cimport MOST_IN_A_ROW, MOST_QUERIES, MOST_QUERY_BYTES
from pdns.fast.upstream_query cimport ARCOUNT_AT, CASE_BITS, KEY_DO, mix_case, write_query
from pdns.fast.wire cimport CD, HEADER_BYTES, KEY_TAIL_BYTES, MAX_QUESTION_BYTES, QR, RA, RD, Question, put16, put32, u16

from pdns.wire import protocol as p
from pdns.core.in_flight import REASONS

cdef enum:
    TYPE_AND_CLASS_BYTES = 4

cdef int _OTHER = p.EDE_OTHER
cdef int _SERVFAIL = p.SERVFAIL

_log = logging.getLogger("pdns.worker.service")


cdef int _longest_first(list begun, int *order) noexcept:
    """The places of `begun`, by the sizes of their questions. Returns how many."""
    cdef Py_ssize_t sizes[BATCH]
    cdef Py_ssize_t size
    cdef int count = <int>len(begun), turn, at
    must(count <= BATCH)
    for turn in range(count):
        size = PyBytes_GET_SIZE((<Flight>begun[turn]).key)
        at = turn
        while at > 0 and sizes[at - 1] < size:
            sizes[at], order[at] = sizes[at - 1], order[at - 1]
            at -= 1
        sizes[at], order[at] = size, turn
    return count


cdef class FastForward(ReplyHandler):
    """One for each worker. `punt(flight)` gives the `UpstreamQuestion` of a flight, and whom to tell its end; `refuse(waiter, why,
    now)` answers whoever came in no datagram."""

    def __init__(self, AnswerCache cache not None, FastPath fast_path not None, InFlight in_flight not None, TunnelMeter tunnels not None, stats, punt, refuse):
        self._cache, self._fast_path, self._in_flight, self._stats, self._punt = cache, fast_path, in_flight, stats, punt
        self._refuse, self._tunnels = refuse, tunnels
        in_flight._hash_key = cache._hash_key  # nothing is in flight yet
        tunnels.hash_domains_with(in_flight._hash_key)
        self._written = []
        self._nat64 = self._excluded = b""

    def adopt(self, rules):
        """Judge answers by `rules`, a `RuleSet`, and keep them within its bounds, from now on. The fast path has adopted it before."""
        cache = rules.config.cache
        self._bounds.min_ttl_s, self._bounds.max_ttl_s = cache.min_ttl_s, cache.max_ttl_s
        self._bounds.max_negative_ttl_s = cache.max_negative_ttl_s
        self._blocks_private = rules.private_answers.enabled
        self._nat64 = rules.private_answers.nat64
        self._has_dns64, self._excluded = rules.dns64.enabled, rules.dns64.excluded

    def ask(self, list queries not None, pool, forwarder, bint exact, double now, double due_s):
        """Ask the upstream of `pool`, in a case that answers must keep if `exact`, until `due_s`. Gives those of `queries` that
        Python must take care of."""
        cdef SocketSet socket_set = pool.socket_set
        cdef Datagram query
        cdef Flight flight
        cdef list left = [], begun = [], askers = []
        cdef str why
        cdef Holder client
        cdef uint64_t domain
        socket_set.carrier, socket_set.forwarder = self, forwarder
        try:
            for query in queries:
                flight = self._in_flight.of(query.hash, query.q.key, query.q.key_bytes)
                if flight is not None:
                    if flight.stale_given:
                        left.append(query)
                    elif not self._in_flight.wait(flight, query):
                        self._stats.dropped("waiters_limit")
                    continue
                client, domain = self._in_flight.client_at(query.client_at), self._in_flight.domain_of(query)
                why = self._in_flight.room_for(client, domain, now)
                if why:
                    self._overloaded(query, why, now)
                    continue
                flight = self._in_flight.begin(query, client, domain, now)
                begun.append(flight)
                askers.append(query)
                flight.rules_epoch, flight.sent_s, flight.due_s = self._cache._header.rules_epoch, now, due_s
                if self._tunnels.on:
                    flight.name_hash = self._tunnels.expect(&query.q, domain, query.number, self._fast_path._clients.clients)
                if len(begun) == BATCH:
                    self._send_all(begun, askers, pool, exact, now, left)
                    begun, askers = [], []
            self._send_all(begun, askers, pool, exact, now, left)
        except Exception:
            for flight in begun:
                self._abandon(flight)
            for query in left:
                self._stats.dropped("internal_error")
            raise
        return left

    cdef int _send_all(self, list begun, list askers, pool, bint exact, double now, list left) except -1:
        """Send the queries of `begun`, which were asked by `askers`, at most a batch, and add to `left` whoever waits for one that no
        socket takes. The longest go first: those of one size leave together."""
        cdef SocketSet socket_set = pool.socket_set
        cdef int order[BATCH]
        cdef UdpSocket socket = None
        cdef Flight flight
        cdef Datagram query
        cdef list sockets = pool.sockets
        cdef int turn, most = 0
        cdef bint has_enough = pool.has_enough
        for turn in range(_longest_first(begun, order)):
            flight = begun[order[turn]]
            if flight._holder is None:
                continue  # it made room for one behind it
            if socket is None:
                try:
                    socket = sockets[socket_set.below(len(sockets))] if has_enough else pool.pick(now)
                except OSError:
                    left.extend(self._in_flight.end(flight))
                    continue
                # while there is room for more sockets each query gets a new one, and later none gets many
                most = 1 if socket.used == 0 else min(MOST_IN_A_ROW, MOST_QUERIES - socket.used)
            try:
                self._write(socket_set, socket, flight, exact, now)
                if self._tunnels.on:
                    query = askers[order[turn]]
                    self._tunnels.saw_question(&query.q, flight.name_hash, flight._domain, query.number, query.client_at, now)
            except Exception:
                _log.exception("a query could not be asked")
                self._abandon(flight)
                continue
            if socket_set.outbox.count >= most:
                self._send(socket_set, socket, now)
                pool.sent(socket)
                has_enough = pool.has_enough
                socket = None
        if socket is not None:
            self._send(socket_set, socket, now)
            pool.sent(socket)
        return 0

    cdef int _abandon(self, Flight flight) except -1:
        """End `flight` if nothing was sent for it. Whoever waits for it gets nothing, and may ask again."""
        if flight._holder is not None and flight.socket is None and flight.forward is None:
            for _ in self._in_flight.end(flight):
                self._stats.dropped("internal_error")
        return 0

    def shed(self, Flight flight not None, str why not None, double now):
        """End `flight`, which is in the forwarding kernel: whoever waits for it is told `why`."""
        if flight.socket is not None:
            (<UdpSocket>flight.socket).shed(flight)
        for query in self._in_flight.end(flight):
            self._overloaded(query, why, now)

    cdef int _overloaded(self, query, str why, double now) except -1:
        """Say SERVFAIL with the reason, which is not remembered: as `pdns.core.resolver.Resolver.overloaded`."""
        cdef Datagram datagram
        cdef const Question *question
        cdef uint8_t *out
        cdef bytes text
        cdef Py_ssize_t size
        self._stats.dropped(REASONS[why])
        if type(query) is not Datagram:
            self._refuse(query, why, now)
            return 0
        datagram = query
        question = &datagram.q
        text = why.encode()
        out = datagram._listener._room(MOST_ANSWER_BYTES)
        size = HEADER_BYTES + question.bytes
        put16(out, question.id)
        put16(out + 2, QR | RA | (question.flags & (RD | CD)) | _SERVFAIL)
        put16(out + 4, 1)
        put32(out + 6, 0)
        put16(out + ARCOUNT_AT, 1 if question.edns else 0)
        memcpy(out + HEADER_BYTES, question.section, question.bytes)
        if question.edns:
            size += write_opt(out + size, question, _OTHER, <const uint8_t *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        datagram._listener._send(size, &datagram._peer)
        self._fast_path._fast_stats.response(datagram.number, ERROR, _SERVFAIL)
        self._fast_path._fast_stats.lasted(ERROR, 1, clock_s() - datagram.started_s)
        return 0

    cdef int _write(self, SocketSet socket_set, UdpSocket socket, Flight flight, bint exact, double now) except -1:
        """Write the query of `flight`, and let it wait for its answer."""
        cdef uint8_t *out = socket_set.outbox.room(MOST_QUERY_BYTES)
        cdef const uint8_t *key = <const uint8_t *>PyBytes_AS_STRING(flight.key)
        cdef Py_ssize_t at, size = PyBytes_GET_SIZE(flight.key) - KEY_TAIL_BYTES
        must(out != NULL)
        must(TYPE_AND_CLASS_BYTES < size <= MAX_QUESTION_BYTES)
        flight.exact, flight.section_bytes = exact, <uint16_t>size
        memcpy(flight.section, key, size)
        if exact:
            for at in range(0, size - TYPE_AND_CLASS_BYTES, CASE_BITS):
                mix_case(flight.section + at, min(size - TYPE_AND_CLASS_BYTES - at, CASE_BITS), socket_set.draw())
        flight.query_id, flight.socket = socket.add(flight, now), socket
        socket_set.in_fast_forward += 1
        socket_set.outbox.add(write_query(out, flight.query_id, flight.section, size, key[size]), NULL)
        return 0

    cdef int _send(self, SocketSet socket_set, UdpSocket socket, double now) except -1:
        """Send what was written."""
        cdef int at = 0, tried = -1, error = 0
        if socket_set.joins:
            socket_set.outbox.join()
        try:
            while True:
                at = socket_set.outbox.send(socket._fd, at, &error)
                if at >= socket_set.outbox.count:
                    break
                if socket_set.outbox.is_joined(at) and error in (EINVAL, EIO, EMSGSIZE, EOPNOTSUPP):
                    socket_set.joins = False  # not on this path: IPsec, a small MTU, an adapter without checksums
                    socket_set.outbox.split(at)
                elif error == EAGAIN or error == ENOBUFS or tried == at:
                    if socket_set.outbox.is_joined(at):
                        socket_set.outbox.split(at)  # so that no more are lost than must be
                    else:
                        at += 1  # as good as lost on the way: it will be sent again
                else:
                    tried = at  # the ICMP error of an earlier query comes up here; this one was not sent
                    socket.failed(error, now)
                    if socket._fd < 0:
                        break  # all was asked anew elsewhere
        finally:
            socket_set.outbox.clear()  # what is left in it would go out from the next socket
        return 0

    # ---- what comes back

    cdef int take(self, Flight flight, UdpSocket socket, const uint8_t *wire, Py_ssize_t size, double now) except -1:
        cdef Plain plain
        cdef CacheRecord *record
        cdef SocketSet socket_set = socket.socket_set
        cdef Py_ssize_t name_bytes = flight.section_bytes - 4
        cdef const uint8_t *key = <const uint8_t *>PyBytes_AS_STRING(flight.key)
        if (
            size < HEADER_BYTES + flight.section_bytes
            or memcmp(wire + HEADER_BYTES, flight.section, flight.section_bytes) != 0
            or flight.rules_epoch != self._cache._header.rules_epoch
            or not read_plain(wire, size, key, name_bytes, key[flight.section_bytes] & KEY_DO, &self._bounds, &plain)
            or (self._blocks_private and has_private_address(wire, &plain, self._nat64))
            or (self._has_dns64 and lacks_addresses(wire, &plain, key, name_bytes, self._excluded))
            or self._fast_path.check.leads_to_listed(wire, &plain)
            or not flight.has_only_datagrams()
        ):
            return self._hand_over(flight, socket, wire, size)
        plain.ad = plain.ad and socket_set.trusts_ad
        record = self._store(flight, wire, &plain, now)
        if record == NULL:
            return self._hand_over(flight, socket, wire, size)
        self._count(socket_set, socket.server.name, now - flight.sent_s)
        socket_set.case_kept |= flight.exact
        socket_set.saw_opt |= plain.edns
        socket.landed(flight)
        for query in self._in_flight.end(flight):
            try:
                self._answer(query, record, now)
            except Exception:
                _log.exception("an answer could not be given")
        return 0

    cdef int _hand_over(self, Flight flight, UdpSocket socket, const uint8_t *wire, Py_ssize_t size) except -1:
        """Let Python make of it what it can."""
        if flight.shed:
            socket.landed(flight)
            return 0
        socket.punt(flight)
        socket.socket_set.events.arrived(socket, PyBytes_FromStringAndSize(<const char *>wire, size))
        return 0

    cdef punt(self, Flight flight, UdpSocket socket):
        cdef SocketSet socket_set = socket.socket_set
        cdef bytes section = PyBytes_FromStringAndSize(<char *>flight.section, flight.section_bytes)
        question, done = self._punt(flight)
        attempt = socket_set.forwarder.adopt(question, done, socket, flight.query_id, section, flight.sent_s, exact=bool(flight.exact))
        flight.cancel = partial(socket_set.forwarder.cancel, attempt.exchange)
        return attempt

    cdef CacheRecord *_store(self, Flight flight, const uint8_t *wire, Plain *plain, double now) noexcept:
        """As `pdns.core.cacheable`. NULL when it is too large."""
        cdef CacheRecord shape
        cdef CacheRecord *record
        cdef int at
        memset(&shape, 0, sizeof(CacheRecord))
        shape.source = UPSTREAM
        shape.rules_epoch = flight.rules_epoch
        shape.stored_s = now
        shape.expires_s = now + plain.lifetime_s
        shape.ede_code = NO_EDE
        shape.rcode, shape.ad, shape.ancount, shape.nscount = plain.rcode, plain.ad, plain.ancount, plain.nscount
        shape.key_bytes = flight.section_bytes + KEY_TAIL_BYTES
        shape.body_bytes, shape.ttl_count = plain.body_bytes, plain.ttl_count
        shape.turn_at, shape.turn_bytes, shape.turn_count = plain.turn_at, plain.turn_bytes, <uint8_t>plain.turn_count
        record = self._cache.begin_hashed(flight._hash, <const uint8_t *>PyBytes_AS_STRING(flight.key), &shape)
        if record == NULL:
            return NULL
        memcpy(body_of(record), wire + plain.body_at, plain.body_bytes)
        for at in range(plain.ttl_count):
            put32(body_of(record) + plain.ttl_at[at], plain.ttl_s[at])
            put16(ttls_of(record) + 2 * at, plain.ttl_at[at])
        self._cache.finish(record)
        return record

    cdef int _answer(self, Datagram query, CacheRecord *record, double now) except -1:
        cdef UdpListener listener = query._listener
        cdef FastPath fast_path = self._fast_path
        cdef uint8_t *out = listener._room(MOST_ANSWER_BYTES)
        cdef Py_ssize_t size = fast_path._render(
            record, &query.q, query.number, UPSTREAM, UDP, False, now, out, query.client_at
        )
        if size:
            if not listener._collecting:
                listener._collecting = True
                self._written.append(listener)
            listener._send(size, &query._peer)
            fast_path._fast_stats.lasted(UPSTREAM, 1, now - query.started_s)
        return listener.answered(query)

    cdef int _count(self, SocketSet socket_set, name, double duration_s) except -1:
        if not socket_set.has_slots:
            socket_set.ok_slot, *histogram = self._stats.upstream_slots(name, "ok")
            for at, slot in enumerate(histogram):
                socket_set.histogram[at] = slot
            socket_set.has_slots = True
        self._fast_path._fast_stats._values[socket_set.ok_slot] += 1
        self._fast_path._fast_stats.spread(socket_set.histogram, 1, duration_s)
        socket_set.answers += 1
        socket_set.took_s += duration_s
        return 0

    cdef int taken(self, SocketSet socket_set, double now) except -1:
        cdef UdpListener listener
        for listener in self._written:
            listener._collecting = False
            listener._flush()
        self._written.clear()
        if socket_set.answers:
            socket_set.forwarder.heard(socket_set.server, socket_set.answers, socket_set.took_s / socket_set.answers, now, case_kept=bool(socket_set.case_kept), saw_opt=bool(socket_set.saw_opt))
            socket_set.answers, socket_set.took_s = 0, 0
            socket_set.case_kept = socket_set.saw_opt = False
        return 0
