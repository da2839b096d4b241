"""What needs no decision. `fast_path.pxd` has the contract."""

# specification: pdns/reference/first_stages.py:FirstStages
# specification: pdns/reference/service.py:ReferenceService

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, uint8_t, uint16_t
from libc.string cimport memcpy

from pdns.fast.clients cimport ADDRESS_BYTES, Known, packed, text_of
from pdns.fast.event_writer cimport MAX_TEXT_BYTES, Noted
from pdns.fast.cache_record cimport (
    BLOCKED, CACHE, ERROR, LOCAL, NO_EDE, REFUSED, SILENT, STALE, TRUNCATED, UPSTREAM, ede_of, listed_of,
)  # fmt: skip
from pdns.fast.render cimport escape, render, render_structured, write_opt, write_truncated
from pdns.fast.stats cimport UDP, BlockSlots
from pdns.fast.wire cimport (
    CD, HEADER_BYTES, QR, RA, RD, SOUND, TC, UNKNOWN_OPCODE, Fault, parse_question, put16, put32, rcode_of, set_policy, write_refusal,
)  # fmt: skip

from time import perf_counter

from pdns.fast.cache import SOURCE_NUMBERS
from pdns.wire import protocol as p
from pdns.wire.transport import Transport
from pdns.core import resolver as specification
from pdns.core.credentials import NO_CREDENTIAL

cdef object _UDP = Transport.UDP
cdef dict _TRANSPORT_NUMBERS = {transport: number for number, transport in enumerate(Transport)}

cdef enum:
    DROP
    TRUNCATE
    REFUSE
    STRUCTURED_ROOM = 2048
cdef dict _ACTIONS = {"drop": DROP, "truncate": TRUNCATE, "refuse": REFUSE}

cdef bytes _STRANGER = specification.STRANGER_TEXT
cdef bytes _OVER_LIMIT = specification.OVER_LIMIT_TEXT
cdef int _PROHIBITED = p.EDE_PROHIBITED
cdef int _REFUSED_RCODE = p.REFUSED
cdef double _REFRESH_SHARE = specification.REFRESH_SHARE
cdef double _REFRESH_MIN_LIFE_S = specification.REFRESH_MIN_LIFE_S

cdef uint8_t _buffer[MAX_TCP_BYTES]  # for answers over TCP, one at a time


cdef uint8_t _for_resolvers[256]  # types whose queries are no attempts to reach a blocked name
for _type in p.FOR_RESOLVERS:
    _for_resolvers[_type] = True


cdef class PendingQuery(Query):

    cdef void settle(self, FastPath fast_path, const ParsedPacket *heard, const uint8_t *address, Py_ssize_t decide) noexcept:
        """It is what was heard from `address`. `decide` is what `FastPath.take` said, or DECIDE_CLEAN."""
        memcpy(&self.q, &heard.question, sizeof(Question))
        self.hash = heard.hash
        memcpy(self.client_at, address, ADDRESS_BYTES)
        self._fast_path, self.number, self.needs_recheck = fast_path, heard.client, decide == DECIDE_REMEMBERED
        self.skips_local = decide == DECIDE_CLEAN or fast_path.first_sight.skips_local(&self.q)

    @property
    def client(self):
        """As `ClientTable.lookup`."""
        return self._fast_path._clients.clients[self.number]


cdef class FastPath:
    """One for each worker. `adopt` changes its rules between two packets."""

    def __init__(self, AnswerCache cache not None, stats, bytes cookie_secret not None, saw=None, limits=None, EventWriter events=None):
        """`saw` as `MonitorLog.saw`, `limits` the memory of `RateLimiter`."""
        self._cache, self._cookie_secret, self._saw, self._limits, self._events = cache, cookie_secret, saw, limits, events
        self._stats, self.first_sight, self.check = stats, FirstSight(), AnswerCheck()

    def adopt(self, rules, primaries, blocker):
        """Answer by `rules`, a `RuleSet`, from now on. `primaries` is asked about messages that are no queries, if it is true;
        `blocker` is `Resolver.blocker`."""
        self.check.adopt(rules)
        self.first_sight.pause()
        config = rules.config
        policies, marks = rules.policy.tenant_policies, rules.client_marks
        if (
            config is not self._config or policies != self._tenant_policies or marks.listed is not self._listed_clients
            or rules.credentials is not self._credentials
        ):  # fmt: skip
            self._tenant_policies, self._listed_clients, self._credentials = policies, marks.listed, rules.credentials
            self._clients = ClientTable(config.access, config.tenant, policies, marks, rules.credentials, self._clients)
            self.clients_epoch += 1
        if config is not self._config:
            self._configure(rules, primaries)
        self.first_sight.adopt(rules, self._special_filter_keys, blocker)

    def _configure(self, rules, primaries):
        config = rules.config
        self._config, self._special_filter_keys, self._primaries = config, rules.special_filter_keys, primaries or None
        self._options = Options(self._cookie_secret, config.server)
        self._limiter = RateLimiter(config.rate_limit, self._limits)
        self._verified_limiter = RateLimiter(config.rate_limit, self._limits, verified=True)
        self._limit_action = _ACTIONS[config.rate_limit.action]
        self._max_udp_bytes = config.server.max_udp_answer_bytes
        self._max_stale_s, self._stale_ttl_s = config.cache.max_stale_s, config.cache.stale_ttl_s
        self._refresh_ahead_hits = config.cache.refresh_ahead_hits
        if self._fast_stats is None:
            self._fast_stats = FastStats(self._stats, self._clients.clients, self._cache.attributions)

    def note_in(self, AskedNames asked):
        """Note the names that are answered and not blocked in `asked`; None: nowhere."""
        self._asked = asked

    def copy_in(self, QueryTap tap):
        """Copy queries in `tap`; None: nowhere."""
        self._tap = tap

    def client(self, str address not None):
        """Who is at `address`."""
        return self._clients.lookup(address)

    def admits(self, str address not None, credential not None):
        """As `pdns.worker.service.Service.admits`."""
        cdef Known known
        cdef bytes client = packed(address)
        return self.identify(<const uint8_t *>PyBytes_AS_STRING(client), credential, &known) == 1

    def answer(self, bytes wire not None, str address not None, transport not None, double now, credential=NO_CREDENTIAL):
        """The answer to a message; None for silence; an `PendingQuery` when Python is to decide. `now` is of the clock of the cache."""
        cdef double began_s = perf_counter()
        cdef PendingQuery asked
        cdef ParsedPacket heard
        cdef Known known
        cdef bytes client = packed(address)
        cdef int source = ERROR
        cdef Py_ssize_t size
        self.refused = False
        self.identify(<const uint8_t *>PyBytes_AS_STRING(client), credential, &known)
        self.parse_known(<const uint8_t *>PyBytes_AS_STRING(wire), PyBytes_GET_SIZE(wire), &known, &heard)
        size = self.take(
            &heard, <const uint8_t *>PyBytes_AS_STRING(wire), <const uint8_t *>PyBytes_AS_STRING(client),
            _TRANSPORT_NUMBERS[transport], now, &source, _buffer,
        )  # fmt: skip
        if size == SILENCE:
            return None
        if size < 0:
            asked = PendingQuery.__new__(PendingQuery)
            asked.settle(self, &heard, <const uint8_t *>PyBytes_AS_STRING(client), size)
            asked.stream = transport is not _UDP
            return asked
        answer = PyBytes_FromStringAndSize(<char *>_buffer, size)
        self._fast_stats.lasted(source, 1, perf_counter() - began_s)
        return answer

    def send_cached(self, PendingQuery asked not None, str source not None, transport not None, double now, double began_s):
        """The answer to `asked`, which came at `began_s` of `time.perf_counter`, that is in the cache now, counted under `source`;
        None for silence. Raises `LookupError`."""
        cdef int number = SOURCE_NUMBERS[source]
        cdef Py_ssize_t size = self.render_known(asked, number, _TRANSPORT_NUMBERS[transport], now, _buffer)
        if size == SILENCE:
            return None
        self._fast_stats.lasted(number, 1, perf_counter() - began_s)
        return PyBytes_FromStringAndSize(<char *>_buffer, size)

    cdef Py_ssize_t render_known(self, PendingQuery asked, int source, int transport, double now, uint8_t *out) except -3:
        cdef CacheRecord *record = self._cache.find(asked.q.key, asked.q.key_bytes)
        if record == NULL:
            raise LookupError
        return self._render(record, &asked.q, asked.number, source, transport, False, now, out, asked.client_at)

    cdef Py_ssize_t most_bytes(self, const Question *question, int transport) noexcept nogil:
        if transport != UDP:
            return MAX_TCP_BYTES
        return question.udp_bytes if question.udp_bytes < self._max_udp_bytes else self._max_udp_bytes

    cdef int parse(self, const uint8_t *wire, Py_ssize_t size, const uint8_t *address, ParsedPacket *heard) except -1:
        """Read a message and find out who sent it. What may be remembered of it is then on its way from memory."""
        self.parsed += 1
        self._read(wire, size, self._clients.find(address), heard)
        return 0

    cdef int parse_known(self, const uint8_t *wire, Py_ssize_t size, const Known *known, ParsedPacket *heard) except -1:
        """`parse` for a client that was identified."""
        self._read(wire, size, known, heard)
        return 0

    cdef int identify(self, const uint8_t *address, object credential, Known *out) except -1:
        """Who has `credential` and is at `address`; good until `clients_epoch` changes. Returns 0 when it has a token that is not valid:
        `out` is then a client that may not ask. Counts what is refused."""
        if credential is NO_CREDENTIAL:
            memcpy(out, self._clients.find(address), sizeof(Known))
            return 1
        identity = self._clients.find_credential(address, credential, out)
        if identity.refusal:
            self._stats.add("credentials_refused_total", 1, identity.refusal)
        return not identity.is_unknown

    cdef inline void _read(self, const uint8_t *wire, Py_ssize_t size, const Known *known, ParsedPacket *heard) noexcept:
        heard.client, heard.allowed = known.number, known.allowed
        heard.size = <uint32_t>size
        heard.fault = parse_question(wire, size, &heard.question)
        if heard.fault == SOUND:
            set_policy(&heard.question, known.policy)
            heard.hash = self._cache.hash_of(heard.question.key, heard.question.key_bytes)
            self._cache.expect(heard.hash)

    cdef Py_ssize_t take(
        self, ParsedPacket *heard, const uint8_t *wire, const uint8_t *address, int transport, double now, int *source, uint8_t *out
    ) except -3:
        """Take up one message; its answer is written to `out`, which has room for the longest that the transport carries.

        Returns the size of the answer, SILENCE, or DECIDE. `source` is where an answer came from: how long it took is the caller's
        to count.
        """
        cdef Question *question = &heard.question
        cdef CacheRecord *record
        cdef Py_ssize_t size
        cdef RateLimiter limiter
        cdef bint verified = transport != UDP
        if heard.fault == UNKNOWN_OPCODE and self._primaries is not None:
            size = self._take_notify(heard, wire, address, now, out)
            if size:
                source[0] = LOCAL
                return size
        if heard.fault != SOUND:
            size = write_refusal(wire, heard.fault, question, out)
            if size == 0:
                self._fast_stats.dropped_not_a_query()
                return SILENCE
            source[0] = ERROR
            self._fast_stats.response(heard.client, ERROR, rcode_of(heard.fault))
            return size
        self._fast_stats.query(heard.client, transport, question.qtype)
        if self._tap is not None:
            self._tap.see(question, heard.client, self._clients.clients, address, transport, now)
        if question.has_options:
            verified = self._options.take_up(question, address, transport, now)
        if not heard.allowed:
            source[0] = REFUSED
            self.refused = True
            return self._refuse(question, heard.client, _STRANGER, False, out)
        limiter = self._verified_limiter if verified else self._limiter
        if limiter.on and not limiter.admits_address(address, now):
            self.refused = True
            if self._limit_action == DROP:
                self._fast_stats.dropped_rate_limit()
                return SILENCE
            source[0] = REFUSED
            return self._refuse(question, heard.client, _OVER_LIMIT, self._limit_action == TRUNCATE and transport == UDP, out)
        if not question.flags & RD:  # without RD a client could learn what others asked
            return DECIDE
        record = self._cache.find_hashed(heard.hash, question.key, question.key_bytes)
        if record == NULL:
            return DECIDE
        if record.rules_epoch != self._cache._header.rules_epoch:
            if record.rules_epoch < self._cache.same_but_feeds_since or not self.check.stays(record, question):
                return DECIDE_REMEMBERED
            record.rules_epoch = <uint32_t>self._cache._header.rules_epoch
        if now < record.expires_s:
            if self._is_worth_refreshing(record, now):
                return DECIDE_REMEMBERED
            source[0] = CACHE if record.source == UPSTREAM else record.source
            record.hits += 1
            record.visited = True
            return self._render(record, question, heard.client, source[0], transport, False, now, out, address)
        if record.source == UPSTREAM and now < record.expires_s + self._max_stale_s and now < record.retry_s:
            source[0] = STALE
            record.hits += 1
            record.visited = True
            return self._render(record, question, heard.client, STALE, transport, True, now, out, address)
        return DECIDE_REMEMBERED

    cdef Py_ssize_t _take_notify(self, ParsedPacket *heard, const uint8_t *wire, const uint8_t *address, double now, uint8_t *out) except -3:
        """As `pdns.state.zone_changes.Primaries.answer`. Returns the size of the answer, 0 for none."""
        answer = self._primaries.answer(PyBytes_FromStringAndSize(<const char *>wire, heard.size), text_of(address), now)
        if answer is None:
            return 0
        memcpy(out, PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer))
        self._fast_stats.response(heard.client, LOCAL, 0)
        return PyBytes_GET_SIZE(answer)

    cdef Py_ssize_t _render(
        self, CacheRecord *record, Question *question, uint16_t client, int source, int transport, bint stale, double now, uint8_t *out,
        const uint8_t *address,
    ) except -3:
        cdef Py_ssize_t max_bytes = self.most_bytes(question, transport)
        cdef const BlockSlots *slots
        if record.attribution:
            if record.silent == TRUNCATED and max_bytes == MAX_TCP_BYTES:
                return DECIDE_REMEMBERED
            if question.qtype >= 256 or not _for_resolvers[question.qtype]:
                slots = self._fast_stats.blocked(client, record.attribution)
                if record.listed_bytes == 0:
                    self._log_monitored(record, question, client, address)
                if self._events is not None and slots.count:
                    self._note(record, question, client, transport, address, slots, now)
            if record.silent == SILENT:
                return SILENCE
            if record.silent == TRUNCATED:
                self._fast_stats.response(client, source, record.rcode)
                return write_truncated(question, out)
        if self._asked is not None and (record.attribution == 0 or record.listed_bytes == 0):
            self._note_name(record, question, client)
        self._fast_stats.response(client, source, record.rcode)
        if question.structured and record.ede_code != NO_EDE:
            return self._render_structured(record, question, max_bytes, stale, now, out)
        return render(record, question, now, max_bytes, self._stale_ttl_s if stale else -1, out)

    cdef Py_ssize_t _render_structured(
        self, CacheRecord *record, Question *question, Py_ssize_t max_bytes, bint stale, double now, uint8_t *out
    ) except -3:
        """An answer with an Extended DNS Error, for a client that understands structured ones."""
        cdef uint8_t text[STRUCTURED_ROOM]
        cdef Py_ssize_t at
        cdef bytes head, tail, short_text
        cdef Query query
        structured = self._cache.structured[record.attribution]
        if structured is not None and record.more_ede_bytes == 0:
            head, tail, short_text = structured
            if PyBytes_GET_SIZE(head) + 2 * record.ede_bytes + PyBytes_GET_SIZE(tail) <= STRUCTURED_ROOM:
                at = PyBytes_GET_SIZE(head)
                memcpy(text, PyBytes_AS_STRING(head), at)
                at += escape(ede_of(record), record.ede_bytes, text + at)
                memcpy(text + at, PyBytes_AS_STRING(tail), PyBytes_GET_SIZE(tail))
                return render_structured(
                    record, question, now, max_bytes, text, at + PyBytes_GET_SIZE(tail),
                    <const uint8_t *>PyBytes_AS_STRING(short_text), PyBytes_GET_SIZE(short_text), out,
                )  # fmt: skip
        query = Query.__new__(Query)
        memcpy(&query.q, question, sizeof(Question))
        answer = self._cache.entry_of(record).render(query, now, max_bytes, stale_ttl_s=self._stale_ttl_s if stale else -1)
        memcpy(out, PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer))
        return PyBytes_GET_SIZE(answer)

    cdef int _note_name(self, const CacheRecord *record, const Question *question, uint16_t client) except -1:
        """Most names are asked again and again: the question's own mark is looked for first, for it costs no digest."""
        if not self._asked.knows(self._asked.query_mark(record.hash, client)):
            self._asked.write(question.key, question.name_bytes, self._clients.clients[client].tenant)
        return 0

    cdef int _note(
        self, CacheRecord *record, const Question *question, uint16_t client, int transport, const uint8_t *address, const BlockSlots *slots,
        double now,
    ) except -1:
        """As `pdns.worker.service` does it for an answer that it gives."""
        cdef Noted noted
        noted.address, noted.key_hash, noted.qtype, noted.transport = address, record.hash, question.qtype, transport
        noted.qname, noted.qname_bytes = question.key, question.name_bytes
        noted.listed, noted.listed_bytes = listed_of(record), record.listed_bytes
        noted.text, noted.text_bytes = ede_of(record), 0
        if record.listed_bytes and record.ede_code != NO_EDE:
            noted.text_bytes = record.ede_bytes if record.ede_bytes < MAX_TEXT_BYTES else MAX_TEXT_BYTES
        noted.now = now
        return self._events.see(&noted, client, self._clients.tenants[client], slots)

    cdef int _log_monitored(self, CacheRecord *record, const Question *question, uint16_t client, const uint8_t *address) except -1:
        """As `pdns.worker.service` does it for an answer that only feeds in monitor mode would have blocked."""
        if self._saw is not None:
            name = PyBytes_FromStringAndSize(<const char *>question.key, question.name_bytes)
            self._saw(name, self._clients.clients[client].tenant, text_of(address), self._cache.attributions[record.attribution][1])
        return 0

    cdef Py_ssize_t _refuse(self, Question *question, uint16_t client, bytes text, bint truncate, uint8_t *out) except -3:
        """REFUSED with the reason, or with `truncate` nothing but TC."""
        cdef Py_ssize_t size = HEADER_BYTES + question.bytes
        put16(out, question.id)
        put16(out + 2, QR | RA | (question.flags & (RD | CD)) | (TC if truncate else _REFUSED_RCODE))
        put16(out + 4, 1)
        put32(out + 6, 0)
        put16(out + 10, 1 if question.edns else 0)
        memcpy(out + HEADER_BYTES, question.section, question.bytes)
        if question.edns:
            size += write_opt(
                out + size, question, NO_EDE if truncate else _PROHIBITED,
                <const uint8_t *>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text),
            )  # fmt: skip
        self._fast_stats.response(client, REFUSED, _REFUSED_RCODE)
        return size

    cdef bint _is_worth_refreshing(self, CacheRecord *record, double now) noexcept nogil:
        """As `pdns.core.resolver.worth_refreshing` once this hit is counted."""
        cdef double life_s = record.expires_s - record.stored_s
        return (
            self._refresh_ahead_hits > 0
            and record.hits + 1 >= self._refresh_ahead_hits
            and record.source == UPSTREAM
            and not record.refreshing
            and life_s >= _REFRESH_MIN_LIFE_S
            and (record.expires_s - now) * _REFRESH_SHARE < life_s
        )
