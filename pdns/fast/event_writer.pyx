"""Events of blocked and monitored queries. `event_writer.pxd` has the shape."""

# specification: pdns/reference/event_writer.py:ReferenceEventWriter

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from pdns.fast.checks cimport must
from pdns.fast.clients cimport ADDRESS_BYTES, is_ipv4, packed
from pdns.fast.wire cimport MAX_NAME_BYTES
from pdns.fast.xxh3 cimport XXH3_DIGEST_BYTES, XXH3_MOST_BYTES, xxh128, xxh128_head

from pdns.core import client_identity
from pdns.telemetry import event_ring

cdef enum:
    SALT_BYTES = 16
    REPEATS = 1
    BLOCKED = 2
    NOTHING = 0
    PSEUDONYM = 1
    ADDRESS = 2
    MAPPED_BITS = 96
    HEAD = 0
    WEIGHT = 1
    NOTED = 2
    MONITORED = 3
    MORE_CLIENTS = 64

assert (FIXED_BYTES, RECORD_BYTES, MAX_SLOTS) == (event_ring.FIXED_BYTES, event_ring.RECORD_BYTES, event_ring.MAX_SLOTS)
assert (PLACES, DOMAIN_PLACES, PROBES) == (event_ring.PLACES, event_ring.DOMAIN_PLACES, event_ring.PROBES)
assert (sizeof(Place), SLOT_BYTES) == (event_ring.PLACE_BYTES, event_ring.SLOT_BYTES)
assert (COUNTS, MAX_TEXT_BYTES, sizeof(FixedRecord)) == (event_ring.COUNTS, event_ring.MAX_TEXT_BYTES, FIXED_BYTES)
assert (NOTHING, PSEUDONYM, ADDRESS) == (client_identity.NOTHING, client_identity.PSEUDONYM, client_identity.ADDRESS)

cdef double _MINUTE_S = event_ring.MINUTE_S
cdef int _SWEPT = event_ring.SWEPT
cdef uint64_t _CLIENT_MARK = event_ring.CLIENT_MARK
cdef uint64_t _DOMAIN_MARK = event_ring.DOMAIN_MARK
cdef uint8_t _salt[SALT_BYTES]
memcpy(_salt, <const char *>(<bytes>event_ring.SALT), SALT_BYTES)
cdef uint8_t _no_client[ADDRESS_BYTES]
memset(_no_client, 0, ADDRESS_BYTES)
cdef dict _NUMBERS = {transport: number for number, transport in enumerate(event_ring.TRANSPORTS)}


cdef class EventWriter:

    def __init__(self, ring, bytes key not None, AnswerCache cache not None):
        cdef Py_buffer view
        cdef uint8_t *memory
        self._ring, self._key, self._cache = ring, key, cache
        self._memory = ring.memory
        PyObject_GetBuffer(self._memory, &view, PyBUF_WRITABLE)
        memory = <uint8_t *>view.buf
        PyBuffer_Release(&view)  # the memory is there as long as the process
        self._words = <uint64_t *>(memory + 32)
        self._places = <Place *>(memory + <Py_ssize_t>event_ring.TABLE_AT)
        self._repeats = memory + <Py_ssize_t>event_ring.REPEATS_AT
        self._records = memory + <Py_ssize_t>ring.records_at
        self._capacity = ring.capacity
        self._most_questions = max(1, event_ring.MOST_QUESTIONS // ring.workers)
        self._most_records = max(1, event_ring.MOST_RECORDS // ring.workers)
        self._most_records_and_clients = max(2, event_ring.MOST_RECORDS_AND_CLIENTS // ring.workers)
        self.configure(lambda _tenant: client_identity.ClientView())

    def __dealloc__(self):
        free(self._view_of_client)

    def configure(self, views):
        self._views = views
        memset(self._view_of_client, 0, self._room * sizeof(View))

    def note(
        self, bytes key not None, str tenant not None, str address not None, transport not None, bytes qname not None, int qtype,
        bytes listed not None, bytes text not None, tuple slots not None, double now,
    ):  # fmt: skip
        hashed = self._cache.hash_of(<const uint8_t *>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        self.note_hashed(hashed, tenant, address, transport, qname, qtype, listed, text, slots, now)

    def note_hashed(
        self, uint64_t key_hash, str tenant not None, str address not None, transport not None, bytes qname not None, int qtype,
        bytes listed not None, bytes text not None, tuple slots not None, double now,
    ):  # fmt: skip
        cdef bytes at = packed(address)
        cdef Noted noted
        cdef uint32_t places[MAX_SLOTS]
        cdef BlockSlots counted
        cdef uint32_t number
        if not slots:
            raise IndexError("a query is counted in a slot at least")
        must(PyBytes_GET_SIZE(qname) <= MAX_NAME_BYTES and PyBytes_GET_SIZE(listed) <= MAX_NAME_BYTES)
        noted.address, noted.key_hash, noted.qtype = <const uint8_t *>PyBytes_AS_STRING(at), key_hash, qtype
        noted.transport, noted.now = _NUMBERS[transport], now
        noted.qname, noted.qname_bytes = <const uint8_t *>PyBytes_AS_STRING(qname), PyBytes_GET_SIZE(qname)
        noted.listed, noted.listed_bytes = <const uint8_t *>PyBytes_AS_STRING(listed), PyBytes_GET_SIZE(listed)
        noted.text, noted.text_bytes = <const uint8_t *>PyBytes_AS_STRING(text), min(PyBytes_GET_SIZE(text), MAX_TEXT_BYTES)
        noted.view = view_of(self._views(tenant))
        counted.slot, counted.count = places, min(len(slots), MAX_SLOTS)
        for number in range(counted.count):
            places[number] = slots[number]
        self._take_up(&noted, tenant, &counted)

    def sweep(self, double now):
        cdef int _at
        self._begin_minute(now)
        for _at in range(_SWEPT):
            self._write_if_over(&self._places[self._next_swept])
            self._next_swept = (self._next_swept + 1) % (PLACES + DOMAIN_PLACES)

    def flush(self, double now):
        cdef int at
        self._begin_minute(now)
        for at in range(PLACES + DOMAIN_PLACES):
            self._write_if_over(&self._places[at])

    cdef int see(self, Noted *noted, uint16_t client, str tenant, const BlockSlots *slots) except -1:
        cdef View *views
        if client >= self._room:
            views = <View *>realloc(self._view_of_client, (client + MORE_CLIENTS) * sizeof(View))
            if views == NULL:
                raise MemoryError
            memset(views + self._room, 0, (client + MORE_CLIENTS - self._room) * sizeof(View))
            self._view_of_client, self._room = views, client + MORE_CLIENTS
        views = &self._view_of_client[client]
        if not views.is_known:
            views[0] = view_of(self._views(tenant))
        noted.view = views[0]
        return self._take_up(noted, tenant, slots)

    cdef int _take_up(self, Noted *noted, str tenant, const BlockSlots *slots) except -1:
        cdef uint8_t seen[ADDRESS_BYTES]
        cdef uint64_t asked, counted = noted.transport | <uint64_t>slots.slot[0] << 8
        self._begin_minute(noted.now)
        self._words[NOTED] += 1
        if noted.listed_bytes == 0:
            self._words[MONITORED] += 1
        if noted.view.kind == NOTHING:
            memset(seen, 0, ADDRESS_BYTES)
        else:
            memcpy(seen, noted.address, ADDRESS_BYTES)
            if noted.view.kind == ADDRESS:
                mask(seen, kept_bits(&noted.view, noted.address))
        asked = mixed(noted.key_hash, seen, counted)
        if self._repeated(&self._places[asked % PLACES], asked, noted, True, tenant, slots):
            return 0
        return self._first(noted, seen, asked, counted, tenant, slots)

    cdef int _first(self, Noted *noted, const uint8_t *seen, uint64_t asked, uint64_t counted, str tenant, const BlockSlots *slots) except -1:
        """It is no repeat of the same question."""
        cdef uint64_t domain = hash_of(noted.listed, noted.listed_bytes) if noted.listed_bytes else hash_of(noted.qname, noted.qname_bytes)
        cdef uint64_t pair = mixed(domain, seen, counted) ^ _CLIENT_MARK
        cdef uint64_t whole = mixed(domain, _no_client, counted) ^ _DOMAIN_MARK
        cdef Place *place = &self._places[pair % PLACES]
        cdef Place *whole_place = self._domain_place(whole)
        cdef uint32_t of_pair, of_domain
        cdef uint8_t *record
        if self._repeated(place, pair, noted, True, tenant, slots) or self._repeated(whole_place, whole, noted, False, tenant, slots):
            return 0
        of_pair, of_domain = count_of(self._pairs, pair), count_of(self._domains, domain)
        if of_pair < self._most_questions and of_domain < self._most_records:
            set_count(self._pairs, pair, of_pair + 1)
            set_count(self._domains, domain, of_domain + 1)
            self._open(&self._places[asked % PLACES], asked)
            record = self._next()
            self._fill(record, noted, True, tenant, slots)
            self._written(record, 1)
        elif of_domain < self._most_records_and_clients:
            set_count(self._domains, domain, of_domain + 1)
            self._open(place, pair)
            self._repeated(place, pair, noted, True, tenant, slots)
        else:
            self._open(whole_place, whole)
            self._repeated(whole_place, whole, noted, False, tenant, slots)
        return 0

    cdef void _begin_minute(self, double now) noexcept nogil:
        cdef uint32_t minute
        if self._minute_ends_s - _MINUTE_S <= now < self._minute_ends_s:
            return
        minute = <uint32_t>(now / _MINUTE_S)
        memset(self._pairs, 0, sizeof(self._pairs))
        memset(self._domains, 0, sizeof(self._domains))
        self._minute, self._minute_ends_s = minute, (minute + 1) * _MINUTE_S

    cdef void _write_if_over(self, Place *place) noexcept nogil:
        if place.key and place.minute != self._minute:
            self._write_repeats(place)
            place.key, place.repeats = 0, 0

    cdef Place *_domain_place(self, uint64_t key) noexcept nogil:
        cdef Place *place
        cdef int probe
        for probe in range(PROBES):
            place = &self._places[PLACES + (key + probe) % DOMAIN_PLACES]
            if place.key == 0 or place.key == key or place.minute != self._minute:
                return place
        return &self._places[PLACES + key % DOMAIN_PLACES]

    cdef bint _repeated(self, Place *place, uint64_t key, Noted *noted, bint with_client, str tenant, const BlockSlots *slots) except -1:
        if place.key != key or place.minute != self._minute:
            return False
        if place.repeats == 0:  # counted once its record is whole: a successor would write half of one
            self._fill(self._record_of(place), noted, with_client, tenant, slots)
            place.first_s = noted.now
        place.last_s = noted.now
        place.repeats += 1
        return True

    cdef void _open(self, Place *place, uint64_t key) noexcept nogil:
        self._write_repeats(place)
        place.repeats = 0
        place.key, place.minute = key, self._minute

    cdef uint8_t *_record_of(self, Place *place) noexcept nogil:
        return self._repeats + (place - self._places) * RECORD_BYTES

    cdef int _fill(self, uint8_t *record, Noted *noted, bint with_client, str tenant, const BlockSlots *slots) except -1:
        cdef FixedRecord *fixed = <FixedRecord *>record
        cdef uint8_t *at = record + FIXED_BYTES
        cdef bytes stands_for
        memset(record + PREFIX_BYTES, 0, FIXED_BYTES - PREFIX_BYTES)
        fixed.first_s = fixed.last_s = noted.now
        if with_client and noted.view.kind != NOTHING:
            fixed.client_kind = noted.view.kind
            if noted.view.kind == ADDRESS:
                fixed.client_bits = kept_bits(&noted.view, noted.address)
                memcpy(fixed.client, noted.address, ADDRESS_BYTES)
                mask(fixed.client, fixed.client_bits)
            else:
                stands_for = client_identity.pseudonym(
                    self._key, tenant, PyBytes_FromStringAndSize(<const char *>noted.address, ADDRESS_BYTES)
                )
                memcpy(fixed.client, PyBytes_AS_STRING(stands_for), PyBytes_GET_SIZE(stands_for))
        fixed.qtype, fixed.transport, fixed.flags = noted.qtype, noted.transport, BLOCKED if noted.listed_bytes else 0
        fixed.slot_count = slots.count if slots.count < MAX_SLOTS else MAX_SLOTS
        memcpy(at, slots.slot, fixed.slot_count * SLOT_BYTES)
        at += fixed.slot_count * SLOT_BYTES
        fixed.qname_bytes, fixed.listed_bytes, fixed.text_bytes = noted.qname_bytes, noted.listed_bytes, noted.text_bytes
        memcpy(at, noted.qname, noted.qname_bytes)
        at += noted.qname_bytes
        memcpy(at, noted.listed, noted.listed_bytes)
        at += noted.listed_bytes
        memcpy(at, noted.text, noted.text_bytes)
        return 0

    cdef void _write_repeats(self, Place *place) noexcept nogil:
        cdef uint8_t *record
        cdef FixedRecord *fixed
        if place.repeats == 0:
            return
        record = self._next()
        fixed = <FixedRecord *>record
        memcpy(record, self._record_of(place), RECORD_BYTES)
        fixed.first_s, fixed.last_s, fixed.flags = place.first_s, place.last_s, fixed.flags | REPEATS
        self._written(record, place.repeats)

    cdef uint8_t *_next(self) noexcept nogil:
        """Where the next record goes."""
        return self._records + self._words[HEAD] % self._capacity * RECORD_BYTES

    cdef void _written(self, uint8_t *record, uint32_t weight) noexcept nogil:
        cdef FixedRecord *fixed = <FixedRecord *>record
        fixed.before, fixed.weight, fixed.unused = self._words[WEIGHT], weight, 0
        self._words[WEIGHT] += weight
        self._words[HEAD] += 1


cdef View view_of(told) except *:
    cdef View view
    view.is_known = True
    view.kind, view.ipv4_bits, view.ipv6_bits = told
    return view


cdef uint64_t hash_of(const uint8_t *name, Py_ssize_t size) except? 0:
    """As pdns.telemetry.event_ring.name_hash."""
    cdef uint8_t salted[SALT_BYTES + MAX_NAME_BYTES]
    cdef uint8_t digest[XXH3_DIGEST_BYTES]
    if size + SALT_BYTES > XXH3_MOST_BYTES:
        return event_ring.name_hash(PyBytes_FromStringAndSize(<const char *>name, size))
    memcpy(salted, _salt, SALT_BYTES)
    memcpy(salted + SALT_BYTES, name, size)
    xxh128(salted, SALT_BYTES + size, digest)
    return xxh128_head(digest)


cdef int kept_bits(const View *view, const uint8_t *address) noexcept nogil:
    return MAPPED_BITS + view.ipv4_bits if is_ipv4(address) else view.ipv6_bits


cdef void mask(uint8_t *address, int bits) noexcept nogil:
    cdef int at = bits // 8
    if bits % 8:
        address[at] &= <uint8_t>(0xFF00 >> (bits % 8))
        at += 1
    while at < ADDRESS_BYTES:
        address[at] = 0
        at += 1


cdef uint64_t mixed(uint64_t hash_, const uint8_t *address, uint64_t counted) noexcept nogil:
    cdef uint64_t low, high, value
    memcpy(&low, address, 8)
    memcpy(&high, address + 8, 8)
    value = hash_ ^ low * <uint64_t>0x9E3779B97F4A7C15
    value ^= value >> 32
    value = (value ^ high ^ counted) * <uint64_t>0xBF58476D1CE4E5B9
    value ^= value >> 29
    return value if value else 1


cdef uint32_t count_of(const Count *counts, uint64_t tag) noexcept nogil:
    cdef const Count *found = &counts[tag % COUNTS]
    return found.count if found.tag == tag else 0


cdef void set_count(Count *counts, uint64_t tag, uint32_t count) noexcept nogil:
    counts[tag % COUNTS].tag, counts[tag % COUNTS].count = tag, count
