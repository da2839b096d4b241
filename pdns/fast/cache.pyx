"""The answer cache in one flat arena. `cache.pxd` has its shape."""

# specification: pdns/reference/cache.py:ReferenceCache
# specification: pdns/core/entry.py:Entry

import mmap
import os

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from pdns.fast.hashing cimport siphash
from pdns.fast.wire cimport (
    AD, CD, HEADER_BYTES, OPT_BYTES, QR, RA, RCODE_MASK, RD, TC, TYPE_OPT, Query, Question, put16, put32, u16, u32,
)  # fmt: skip

from pdns.wire import protocol as p
from pdns.core.block_answer import fill
from pdns.core.entry import Entry, Verdict, ede_option
from pdns.wire.message import parse_options
from pdns.wire.names import to_text
from pdns.core.outcome import BLOCK_STORED, Answer

cdef extern from *:
    """
    #define pdns_barrier() __asm__ __volatile__("" ::: "memory")
    #define pdns_prefetch(at) __builtin_prefetch(at)
    """
    void pdns_prefetch(const void *at) noexcept nogil
    void pdns_barrier() noexcept nogil

SOURCES = ("blocked", "cache", "upstream", "stale", "local", "refused", "error")
SOURCE_NUMBERS = {name: number for number, name in enumerate(SOURCES)}

cdef bytes _MAGIC = b"pdnsarn2"
cdef enum:
    HEADER_ROOM = 256
    LEAST_BYTES = 65536
    CACHE_LINE_BYTES = 64
    BYTES_A_BUCKET = 64
    LEAST_PROBATION_BYTES = 65536
    PROBATION_SHARE = 10
    MOST_ATTRIBUTIONS = 65535
    FILLER_BYTES = 8  # as much of a record as says that it is one
    NEVER_SEEN = 0xFFFFFFFF
    EDE_TEXT_BYTES = 200
    EDE_TEXT_ROOM = 208  # the last octet spelt may take three more than fit
    MOST_PREPARED = 1024
    NXDOMAIN = 3


cdef inline uint32_t ghost_of(uint64_t hash) noexcept nogil:
    return <uint32_t>(hash >> 32) | 1


cdef class AnswerCache:
    """As `pdns.core.cache.AnswerCache`, but that `get` gives a copy.

    `fd`: memory to keep the answers in, of whatever size it has; what a worker before left in it is taken over, every
    answer to be decided again before it is given. It stays open, and is the caller's to close.
    """

    def __cinit__(self, max_bytes, int fd=-1):
        cdef uint64_t[2] words
        drawn = os.urandom(16)
        memcpy(words, <const char *>drawn, 16)
        self._hash_key.k0, self._hash_key.k1 = words[0], words[1]
        self._buckets = self._ghosts = NULL
        self.attributions = [(None, ())]
        self._attribution_numbers = {(None, ()): 0}
        self._prepared = {}
        self._map(max_bytes, fd)

    def __dealloc__(self):
        self._free_index()

    def __len__(self):
        return self._live

    @property
    def size_bytes(self):
        return self._live_bytes

    @property
    def rules_epoch(self):
        return self._header.rules_epoch

    def new_rules(self):
        self._header.rules_epoch += 1

    def resize(self, max_bytes, int fd=-1):
        """Move to other memory, with as many answers as it has room for."""
        cdef AnswerCache before = AnswerCache.__new__(AnswerCache, 4096)
        if fd < 0 and max_bytes == <Py_ssize_t>self._arena_bytes:
            return
        cdef uint64_t rules_epoch = self._header.rules_epoch
        before._arena, before._header, before._mapping = self._arena, self._header, self._mapping
        self._free_index()
        self._map(max_bytes, fd)
        if self._header.rules_epoch < rules_epoch:
            self._header.rules_epoch = rules_epoch
        self._copy(before, &before._header.main)
        self._copy(before, &before._header.probation)

    def leave(self):
        """Go on with nothing, in little memory of its own: what there was is for another to take over."""
        cdef uint64_t rules_epoch = self._header.rules_epoch
        self._free_index()
        self._map(LEAST_BYTES, -1)
        self._header.rules_epoch = rules_epoch

    def get(self, bytes key not None):
        cdef Record *record = self._find(key)
        if record == NULL:
            return None
        record.hits += 1
        record.visited = True
        return self._entry(record)

    def put(self, bytes key not None, entry):
        cdef Record shape
        cdef Record *record
        cdef bytes body = entry.body, counts = entry.counts, ede_text = b"", listed = b"", more_ede = b""
        cdef Py_ssize_t at
        verdict = entry.verdict
        memset(&shape, 0, sizeof(Record))
        shape.ede_code = NO_EDE
        if entry.ede is not None:
            shape.ede_code, ede_text = entry.ede
            more_ede = b"".join(map(ede_option, entry.more_ede))
        if verdict is not None:
            listed = verdict.listed
        shape.silent = entry.silent
        number = self.attribution(verdict, entry.monitored)
        if PyBytes_GET_SIZE(key) > 0xFFFF or PyBytes_GET_SIZE(body) > MAX_RECORD_BYTES or number > MOST_ATTRIBUTIONS:
            self.remove(key)
            return False
        shape.source = SOURCE_NUMBERS[entry.source]
        shape.rules_epoch, shape.stored_s, shape.expires_s, shape.retry_s = entry.rules_epoch, entry.stored_s, entry.expires_s, entry.retry_s
        shape.rcode, shape.ad, shape.refreshing, shape.attribution = entry.rcode, entry.ad, entry.refreshing, number
        shape.ancount, shape.nscount = u16(<const uint8_t *>PyBytes_AS_STRING(counts)), u16(<const uint8_t *>PyBytes_AS_STRING(counts) + 2)
        shape.key_bytes, shape.body_bytes, shape.ttl_count = PyBytes_GET_SIZE(key), PyBytes_GET_SIZE(body), len(entry.ttls)
        shape.ede_bytes, shape.more_ede_bytes = PyBytes_GET_SIZE(ede_text), PyBytes_GET_SIZE(more_ede)
        shape.listed_bytes = PyBytes_GET_SIZE(listed)
        shape.turn_at, shape.turn_bytes, shape.turn_count = entry.rotation
        record = self.begin(<const uint8_t *>PyBytes_AS_STRING(key), &shape)
        if record == NULL:
            return False
        memcpy(body_of(record), PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body))
        at = 0
        for place, _ in entry.ttls:
            put16(ttls_of(record) + 2 * at, place)
            at += 1
        memcpy(ede_of(record), PyBytes_AS_STRING(ede_text), PyBytes_GET_SIZE(ede_text))
        memcpy(ede_of(record) + shape.ede_bytes, PyBytes_AS_STRING(more_ede), PyBytes_GET_SIZE(more_ede))
        memcpy(listed_of(record), PyBytes_AS_STRING(listed), PyBytes_GET_SIZE(listed))
        self.finish(record)
        return True

    def block(self, Query query not None, policy_key, template, int listed_bytes, double now):
        """As `pdns.core.cache.AnswerCache.block`; a query that a front has taken up has the policy in its key."""
        cdef Prepared prepared = self._last_prepared
        cdef Record shape
        cdef Record *record
        cdef uint8_t text[EDE_TEXT_ROOM]
        cdef Py_ssize_t at
        cdef uint8_t *listed = query.q.key + query.q.name_bytes - listed_bytes
        if prepared is None or prepared.template is not template:
            prepared = self._prepare(template)
        if prepared.shape.expires_s > 0 and prepared.shape.attribution:
            memcpy(&shape, &prepared.shape, sizeof(Record))
            shape.rules_epoch = self._header.rules_epoch
            shape.stored_s = now
            shape.expires_s += now
            shape.key_bytes = query.q.key_bytes
            shape.listed_bytes = listed_bytes
            shape.ede_bytes = write_ede_text(prepared, listed, text)
            record = self.begin(query.q.key, &shape)
            if record != NULL:
                memcpy(body_of(record), PyBytes_AS_STRING(prepared.body), shape.body_bytes)
                if shape.nscount:
                    put16(body_of(record), soa_owner(&query.q, listed_bytes, shape.rcode))
                for at in range(shape.ttl_count):
                    put16(ttls_of(record) + 2 * at, prepared.ttls[at])
                memcpy(ede_of(record), text, shape.ede_bytes)
                memcpy(listed_of(record), listed, listed_bytes)
                self.finish(record)
                return BLOCK_STORED
        qname = PyBytes_FromStringAndSize(<char *>query.q.key, query.q.name_bytes)
        return Answer(fill(template, qname, qname[query.q.name_bytes - listed_bytes :], now, self._header.rules_epoch), "blocked")

    def _prepare(self, template):
        cdef Prepared prepared = self._prepared.get(id(template))
        if prepared is None:
            if len(self._prepared) >= MOST_PREPARED:
                self._prepared.clear()
            prepared = self._prepared[id(template)] = Prepared.__new__(Prepared)
            entry = fill(template, b"\0", b"\0", 0.0, 0)
            prepared.template, prepared.body = template, entry.body
            prepared.ede_head, prepared.ede_tail = template.ede_head, template.ede_tail
            memset(&prepared.shape, 0, sizeof(Record))
            prepared.shape.source = BLOCKED
            prepared.shape.expires_s = template.ttl_s
            prepared.shape.rcode, prepared.shape.silent = entry.rcode, entry.silent
            prepared.shape.ede_code = entry.ede[0]
            prepared.shape.ancount, prepared.shape.nscount = int.from_bytes(entry.counts[:2]), int.from_bytes(entry.counts[2:])
            prepared.shape.body_bytes, prepared.shape.ttl_count = len(entry.body), len(entry.ttls)
            for at, (place, _) in enumerate(entry.ttls):
                prepared.ttls[at] = place
            number = self.attribution(entry.verdict, entry.monitored)
            prepared.shape.attribution = number if number <= MOST_ATTRIBUTIONS else 0
        self._last_prepared = prepared
        return prepared

    def allowed_again(self, bytes key not None, tuple monitored not None):
        cdef Record *record = self._find(key)
        number = self.attribution(None, monitored)
        if record != NULL and number <= MOST_ATTRIBUTIONS:
            record.rules_epoch = self._header.rules_epoch
            record.attribution = number

    def refreshing(self, bytes key not None):
        cdef Record *record = self._find(key)
        if record != NULL:
            record.refreshing = True

    def retry_after(self, bytes key not None, double retry_s):
        cdef Record *record = self._find(key)
        if record != NULL:
            record.retry_s = retry_s

    def remove(self, bytes key not None):
        cdef Record *record = self._find(key)
        if record != NULL:
            self.unlink(record)

    # ---- for other kernels

    cdef uint64_t hash_of(self, const uint8_t *key, size_t key_bytes) noexcept nogil:
        return siphash(self._hash_key, key, key_bytes)

    cdef void expect(self, uint64_t hash) noexcept nogil:
        """A key with that hash will be looked for soon: have its place in the index at hand, then (`expect_record`) its record."""
        pdns_prefetch(&self._buckets[hash & self._mask])

    cdef void expect_record(self, uint64_t hash) noexcept nogil:
        cdef uint32_t place = self._buckets[hash & self._mask]
        if place:
            pdns_prefetch(self._arena + <size_t>place * RECORD_UNIT)
            pdns_prefetch(self._arena + <size_t>place * RECORD_UNIT + CACHE_LINE_BYTES)
            pdns_prefetch(self._arena + <size_t>place * RECORD_UNIT + 2 * CACHE_LINE_BYTES)

    cdef Record *find(self, const uint8_t *key, size_t key_bytes) noexcept nogil:
        """The record under `key`, NULL when there is none. Good until the next `begin`."""
        return self.find_hashed(siphash(self._hash_key, key, key_bytes), key, key_bytes)

    cdef Record *find_hashed(self, uint64_t hash, const uint8_t *key, size_t key_bytes) noexcept nogil:
        cdef uint32_t place = self._buckets[hash & self._mask]
        cdef Record *record
        while place:
            record = <Record *>(self._arena + <size_t>place * RECORD_UNIT)
            must(<size_t>place * RECORD_UNIT + record.size <= self._arena_bytes)
            must(record.state == LIVE)
            must(octets_of(record) <= record.size)
            if record.hash == hash and record.key_bytes == key_bytes and memcmp(key_of(record), key, key_bytes) == 0:
                return record
            place = record.next
        return NULL

    cdef Record *begin(self, const uint8_t *key, Record *shape) noexcept nogil:
        """Room for a record of this shape in place of what is under `key`, its fixed part and key filled in; the rest is
        the caller's to write, then `finish`. NULL when it is too large to be kept: then nothing is under `key`."""
        cdef Record *old = self.find(key, shape.key_bytes)
        cdef Ring *ring = &self._header.probation
        cdef size_t size = octets_of(shape)
        cdef Record *record
        shape.size = <uint32_t>((size + RECORD_UNIT - 1) & ~<size_t>(RECORD_UNIT - 1))
        shape.state = LIVE
        shape.in_main = False
        shape.visited = False
        if old != NULL:
            if old.in_main:
                ring = &self._header.main
                shape.in_main = True
                shape.visited = True
            shape.hash = old.hash
            self.unlink(old)
        else:
            shape.hash = siphash(self._hash_key, key, shape.key_bytes)
            if self._ghosts[shape.hash & self._mask] == ghost_of(shape.hash):  # it left too early: asked again all the same
                self._ghosts[shape.hash & self._mask] = 0
                ring = &self._header.main
                shape.in_main = True
        if shape.size > MAX_RECORD_BYTES or shape.size > ring.size // 2:
            return NULL
        self._make_room(ring, shape.size)
        shape.seen_minute = NEVER_SEEN
        shape.seen_client = NEVER_SEEN
        record = self._at(ring, ring.head)
        memcpy(record, shape, sizeof(Record))
        memcpy(key_of(record), key, shape.key_bytes)
        return record

    cdef void finish(self, Record *record) noexcept nogil:
        cdef Ring *ring = &self._header.main if record.in_main else &self._header.probation
        must(record == self._at(ring, ring.head))
        must(octets_of(record) <= record.size)
        must(record.size <= ring.size - ring.head % ring.size)
        must(ring.head + record.size - ring.tail <= ring.size)
        pdns_barrier()
        ring.head += record.size
        self._link(record)

    cdef void unlink(self, Record *record) noexcept nogil:
        """Forget it. Its place is free once the ring's tail has passed."""
        cdef uint32_t *place = &self._buckets[record.hash & self._mask]
        cdef uint32_t wanted = <uint32_t>(<size_t>(<uint8_t *>record - self._arena) // RECORD_UNIT)
        while place[0]:
            if place[0] == wanted:
                place[0] = record.next
                self._live -= 1
                self._live_bytes -= record.size
                record.state = GONE
                return
            place = &(<Record *>(self._arena + <size_t>place[0] * RECORD_UNIT)).next

    cdef int attribution(self, verdict, tuple monitored) except -1:
        """The number of what blocks are counted by; above MOST_ATTRIBUTIONS when there are too many."""
        if verdict is None and not monitored:
            return 0
        wanted = (None if verdict is None else (verdict.feed, verdict.category, verdict.action, verdict.also), monitored)
        number = self._attribution_numbers.get(wanted)
        if number is None:
            number = len(self.attributions)
            if number > MOST_ATTRIBUTIONS:
                return number
            self.attributions.append(wanted)
            self._attribution_numbers[wanted] = number
        return number

    # ---- the arena

    def _map(self, max_bytes, int fd):
        """Take up the memory, and what sound records it holds."""
        cdef Py_buffer view
        cdef size_t buckets = 64, probation
        cdef uint64_t size
        size = <uint64_t>max_bytes if fd < 0 else os.fstat(fd).st_size
        mapping = mmap.mmap(fd, size)  # anonymous for -1
        PyObject_GetBuffer(mapping, &view, PyBUF_WRITABLE)
        cdef uint8_t *arena = <uint8_t *>view.buf
        PyBuffer_Release(&view)  # the mapping is never closed or resized while this object holds it
        while buckets * BYTES_A_BUCKET < size:
            buckets *= 2
        self._buckets = <uint32_t *>calloc(buckets, sizeof(uint32_t))
        self._ghosts = <uint32_t *>calloc(buckets, sizeof(uint32_t))
        if self._buckets == NULL or self._ghosts == NULL:
            raise MemoryError
        self._mask = buckets - 1
        self._mapping, self._arena, self._arena_bytes = mapping, arena, size
        self._header = <Header *>arena
        self._live, self._live_bytes = 0, 0
        probation = (size - HEADER_ROOM) // PROBATION_SHARE
        if probation < LEAST_PROBATION_BYTES:
            probation = min(LEAST_PROBATION_BYTES, (size - HEADER_ROOM) // 2)
        probation -= probation % RECORD_UNIT
        if memcmp(self._header.magic, <const char *>_MAGIC, 8) == 0 and self._header.arena_bytes == size and self._has_sound_rings(probation):
            self._header.rules_epoch += 1
            self._take_over(&self._header.main)
            self._take_over(&self._header.probation)
            return
        memset(self._header, 0, sizeof(Header))
        self._header.arena_bytes = size
        self._header.rules_epoch = 1
        self._header.probation.start = HEADER_ROOM
        self._header.probation.size = probation
        self._header.main.start = HEADER_ROOM + probation
        self._header.main.size = (size - HEADER_ROOM - probation) & ~<uint64_t>(RECORD_UNIT - 1)
        memcpy(self._header.magic, <const char *>_MAGIC, 8)

    cdef void _free_index(self) noexcept:
        free(self._buckets)
        free(self._ghosts)
        self._buckets = self._ghosts = NULL

    cdef bint _has_sound_rings(self, uint64_t probation_bytes) noexcept nogil:
        cdef Ring *probation = &self._header.probation
        cdef Ring *main = &self._header.main
        return (
            probation.start == HEADER_ROOM and probation.size == probation_bytes and main.start == HEADER_ROOM + probation_bytes
            and main.size == (self._arena_bytes - main.start) // RECORD_UNIT * RECORD_UNIT
            and (probation.head | probation.tail | main.head | main.tail) % RECORD_UNIT == 0
            and probation.tail <= probation.head and probation.head - probation.tail <= probation.size
            and main.tail <= main.head and main.head - main.tail <= main.size
        )

    cdef Record *_at(self, Ring *ring, uint64_t position) noexcept nogil:
        return <Record *>(self._arena + ring.start + position % ring.size)

    cdef void _link(self, Record *record) noexcept nogil:
        cdef uint32_t *place = &self._buckets[record.hash & self._mask]
        record.next = place[0]
        place[0] = <uint32_t>(<size_t>(<uint8_t *>record - self._arena) // RECORD_UNIT)
        self._live += 1
        self._live_bytes += record.size

    cdef bint _fits(self, Ring *ring, uint64_t size) noexcept nogil:
        """Whether `size` octets in one piece are free at the head, or behind the end of the ring that is too short for them."""
        cdef uint64_t to_end = ring.size - ring.head % ring.size
        return ring.size - (ring.head - ring.tail) >= (size if size <= to_end else to_end + size)

    cdef void _make_room(self, Ring *ring, uint64_t size) noexcept nogil:
        """Leave `size` octets in one piece at the head. The oldest go, but for those that have earned another turn."""
        while not self._fits(ring, size):
            self._drop_oldest(ring)
        self._skip_end(ring, size)

    cdef void _skip_end(self, Ring *ring, uint64_t size) noexcept nogil:
        """Go to the start of the ring if there are fewer than `size` octets to its end."""
        cdef uint64_t to_end = ring.size - ring.head % ring.size
        cdef Record *filler
        if size > to_end:
            filler = self._at(ring, ring.head)
            filler.size = <uint32_t>to_end
            filler.state = FILLER
            pdns_barrier()
            ring.head += to_end

    cdef void _drop_oldest(self, Ring *ring) noexcept nogil:
        cdef Record *record = self._at(ring, ring.tail)
        cdef Record *following
        cdef uint8_t again[MAX_RECORD_BYTES]
        cdef Record *copy = <Record *>again
        cdef Ring *main = &self._header.main
        must(ring.tail < ring.head)
        must(record.size >= FILLER_BYTES)
        must(record.size <= ring.head - ring.tail)
        if record.state != LIVE:
            ring.tail += record.size
            return
        if ring.tail + record.size < ring.head:  # the next to go; of a filler only the first octets are within the ring
            following = self._at(ring, ring.tail + record.size)
            if following.state == LIVE:
                self.expect(following.hash)
        if not record.visited and (ring == main or not self._fits(main, record.size)):
            self.unlink(record)
            ring.tail += record.size
            self.evictions += 1
            if ring != main:
                self._ghosts[record.hash & self._mask] = ghost_of(record.hash)
            return
        memcpy(again, record, record.size)
        self.unlink(record)
        ring.tail += copy.size
        pdns_barrier()
        copy.state, copy.in_main, copy.visited = LIVE, True, False
        if ring == main:
            if not self._fits(main, copy.size):  # the end of the ring is in the way
                self.evictions += 1
                return
            self._skip_end(main, copy.size)
        else:
            self._make_room(main, copy.size)
        record = self._at(main, main.head)
        memcpy(record, again, copy.size)
        self.finish(record)

    cdef void _take_over(self, Ring *ring) noexcept:
        """Index what a worker before left, as far as it is sound. Only forwarded answers: the others cost nothing to make."""
        cdef uint64_t position = ring.tail
        cdef Record *record
        cdef Record *twin
        while position < ring.head:
            record = self._at(ring, position)
            if not self._is_sound(ring, record, position):
                break
            if record.state == LIVE:
                record.hash = siphash(self._hash_key, key_of(record), record.key_bytes)
                twin = self.find(key_of(record), record.key_bytes)
                if twin != NULL:  # the writer was killed while it moved one
                    self.unlink(twin)
                if record.source == UPSTREAM:
                    record.attribution, record.refreshing = 0, False
                    record.in_main = ring == &self._header.main
                    self._link(record)
                else:
                    record.state = GONE
            position += record.size
        ring.head = position

    cdef bint _is_sound(self, Ring *ring, Record *record, uint64_t position) noexcept nogil:
        cdef uint64_t to_end = ring.size - position % ring.size, parts
        cdef Py_ssize_t at
        if to_end < FILLER_BYTES or record.size < FILLER_BYTES or record.size % RECORD_UNIT or record.size > to_end:
            return False
        if record.size > ring.head - position or record.state > FILLER:
            return False
        if record.state != LIVE:
            return True
        if record.size < sizeof(Record) or record.size > MAX_RECORD_BYTES or record.source >= SOURCE_COUNT:
            return False
        parts = octets_of(record)
        if parts > record.size or record.size - parts >= RECORD_UNIT:
            return False
        if record.turn_at + record.turn_bytes * record.turn_count > record.body_bytes:
            return False
        for at in range(record.ttl_count):
            if u16(ttls_of(record) + 2 * at) + 4 > record.body_bytes:
                return False
        return True

    cdef void _copy(self, AnswerCache before, Ring *ring) noexcept:
        """Every live record of one of another arena's rings, oldest first. Its owner knows them by the same numbers."""
        cdef uint64_t position = ring.tail
        cdef Record *record
        cdef Record *copy
        cdef Record shape
        while position < ring.head:
            record = before._at(ring, position)
            if record.state == LIVE:
                memcpy(&shape, record, sizeof(Record))
                copy = self.begin(key_of(record), &shape)
                if copy != NULL:
                    memcpy(body_of(copy), body_of(record), record.size - sizeof(Record) - record.key_bytes)
                    copy.visited = record.visited or record.in_main
                    self.finish(copy)
            position += record.size

    cdef Record *_find(self, bytes key):
        return self.find(<const uint8_t *>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))

    cdef _entry(self, Record *record):
        cdef Py_ssize_t at
        cdef int place
        cdef uint8_t counts[4]
        cdef uint8_t *body = body_of(record)
        put16(counts, record.ancount)
        put16(counts + 2, record.nscount)
        ttls = []
        for at in range(record.ttl_count):
            place = u16(ttls_of(record) + 2 * at)
            ttls.append((place, u32(body + place)))
        decided, monitored = self.attributions[record.attribution]
        verdict = None
        if decided is not None:
            listed = PyBytes_FromStringAndSize(<char *>listed_of(record), record.listed_bytes)
            verdict = Verdict(decided[0], decided[1], listed, decided[2], decided[3])
        ede, more_ede = None, ()
        if record.ede_code != NO_EDE:
            ede = (record.ede_code, PyBytes_FromStringAndSize(<char *>ede_of(record), record.ede_bytes))
            more = parse_options(PyBytes_FromStringAndSize(<char *>ede_of(record) + record.ede_bytes, record.more_ede_bytes))
            more_ede = tuple([(int.from_bytes(data[:2]), data[2:]) for _, data in more])
        entry = Entry(
            record.rcode, SOURCES[record.source], record.stored_s, 0,
            body=PyBytes_FromStringAndSize(<char *>body, record.body_bytes), counts=PyBytes_FromStringAndSize(<char *>counts, 4),
            ttls=tuple(ttls), ad=bool(record.ad), ede=ede, verdict=verdict, monitored=monitored, rules_epoch=record.rules_epoch,
            more_ede=more_ede, rotation=(record.turn_at, record.turn_bytes, record.turn_count),
        )  # fmt: skip
        entry.expires_s = record.expires_s
        entry.retry_s = record.retry_s
        entry.hits = record.hits
        entry.visited = bool(record.visited)
        entry.refreshing = bool(record.refreshing)
        return entry


# ---- parts of an answer to a listed name

cdef inline unsigned int soa_owner(const Question *question, int listed_bytes, uint16_t rcode) noexcept nogil:
    """As `pdns.core.answers.soa_owner`, of a name that ends in the listed one."""
    cdef unsigned int above = question.name_bytes - listed_bytes
    if rcode == NXDOMAIN and above == 0 and question.key[0]:
        above = 1 + question.key[0]
    return 0xC000 | (HEADER_BYTES + above)


# ---- the text of an Extended DNS Error

cdef uint16_t write_ede_text(Prepared prepared, const uint8_t *listed, uint8_t *out) noexcept:
    """As `pdns.core.block_answer.ede_text`: the name in presentation format (RFC 1035, 5.1) between head and tail, cut where it is
    too long. `out` has EDE_TEXT_ROOM."""
    cdef Py_ssize_t at = 0, left
    at = append(out, 0, <const uint8_t *>PyBytes_AS_STRING(prepared.ede_head), PyBytes_GET_SIZE(prepared.ede_head))
    if listed[0] == 0:
        at = append(out, at, b".", 1)
    while listed[0] and at < EDE_TEXT_BYTES:
        left = listed[0]
        listed += 1
        while left:
            if at < EDE_TEXT_BYTES:
                at += write_octet(out + at, listed[0])
            listed += 1
            left -= 1
        if listed[0] and at < EDE_TEXT_BYTES:
            at = append(out, at, b".", 1)
    if at < EDE_TEXT_BYTES:
        at = append(out, at, <const uint8_t *>PyBytes_AS_STRING(prepared.ede_tail), PyBytes_GET_SIZE(prepared.ede_tail))
    return <uint16_t>(at if at < EDE_TEXT_BYTES else EDE_TEXT_BYTES)


cdef inline Py_ssize_t append(uint8_t *out, Py_ssize_t at, const uint8_t *text, Py_ssize_t size) noexcept nogil:
    if size > EDE_TEXT_BYTES - at:
        size = EDE_TEXT_BYTES - at
    memcpy(out + at, text, size)
    return at + size


cdef inline int write_octet(uint8_t *out, uint8_t octet) noexcept nogil:
    """One octet of a label as `pdns.wire.names.to_text` spells it: one, two or four characters."""
    cdef int kind = _spelling[octet]
    if kind == 1:
        out[0] = octet
    elif kind == 2:
        out[0] = 92  # a backslash
        out[1] = octet
    else:
        out[0] = 92
        out[1] = 48 + octet // 100
        out[2] = 48 + octet // 10 % 10
        out[3] = 48 + octet % 10
    return kind


cdef uint8_t _spelling[256]  # how many characters it takes
for _octet in range(256):
    _spelling[_octet] = len(to_text(bytes([1, _octet, 0])))


# ---- an answer for one client

cdef int _STALE, _STALE_NXDOMAIN
_STALE, _STALE_NXDOMAIN = p.EDE_STALE, p.EDE_STALE_NXDOMAIN


cdef Py_ssize_t render(
    Record *record, const Question *question, double now, Py_ssize_t max_bytes, int32_t stale_ttl_s, uint8_t *out
) noexcept nogil:
    """Writes what `pdns.core.entry.Entry.render` gives, and returns its size. `out` has room for `max_bytes`, at least 512."""
    cdef unsigned int flags = QR | RA | (question.flags & (RD | CD)) | (record.rcode & RCODE_MASK)
    cdef Py_ssize_t at = HEADER_BYTES, opt_bytes = 0, size, i, place
    cdef int ede_code = NO_EDE
    cdef Py_ssize_t ede_bytes = 0, more_bytes = 0
    cdef int64_t age_s
    cdef uint32_t ttl_s
    if record.ad and (question.want_dnssec or question.flags & AD):  # RFC 6840, 5.8
        flags |= AD
    if question.edns:
        opt_bytes = OPT_BYTES + question.option_bytes
        if stale_ttl_s >= 0:
            ede_code = _STALE_NXDOMAIN if record.rcode == 3 else _STALE
        elif record.ede_code != NO_EDE:
            ede_code = record.ede_code
            ede_bytes, more_bytes = record.ede_bytes, record.more_ede_bytes
        if ede_code != NO_EDE:
            opt_bytes += 6 + ede_bytes + more_bytes
    size = HEADER_BYTES + question.bytes + record.body_bytes + opt_bytes
    if size > max_bytes and ede_code != NO_EDE:
        ede_code = NO_EDE
        size += OPT_BYTES + question.option_bytes - opt_bytes
    put16(out, question.id)
    put16(out + 4, 1)
    memcpy(out + at, question.section, question.bytes)
    at += question.bytes
    if size > max_bytes:
        put16(out + 2, flags | TC)
        put32(out + 6, 0)
    else:
        put16(out + 2, flags)
        put16(out + 6, record.ancount)
        put16(out + 8, record.nscount)
        if record.turn_count:
            copy_turned(record, question.id, out + at)
        else:
            memcpy(out + at, body_of(record), record.body_bytes)
        age_s = <int64_t>(now - record.stored_s)
        if age_s > 0 or stale_ttl_s >= 0:
            for i in range(record.ttl_count):
                place = u16(ttls_of(record) + 2 * i)
                must(place + 4 <= record.body_bytes)
                ttl_s = u32(out + at + place)
                if stale_ttl_s >= 0:
                    ttl_s = <uint32_t>stale_ttl_s
                else:
                    ttl_s = <uint32_t>(ttl_s - age_s) if ttl_s > age_s else 0
                put32(out + at + place, ttl_s)
        at += record.body_bytes
    put16(out + 10, 1 if question.edns else 0)
    if question.edns:
        at += write_opt(out + at, question, ede_code, ede_of(record), ede_bytes, more_bytes)
    must(at <= max_bytes)
    return at


cdef void copy_turned(Record *record, uint16_t query_id, uint8_t *out) noexcept nogil:
    """Writes the body with its addresses in the turn of this query: two runs change places."""
    cdef const uint8_t *body = body_of(record)
    cdef size_t first = record.turn_at, all_bytes = record.turn_bytes * record.turn_count
    cdef size_t turned = (query_id % record.turn_count) * record.turn_bytes
    must(first + all_bytes <= record.body_bytes)
    memcpy(out, body, first)
    memcpy(out + first, body + first + turned, all_bytes - turned)
    memcpy(out + first + all_bytes - turned, body + first, turned)
    memcpy(out + first + all_bytes, body + first + all_bytes, record.body_bytes - first - all_bytes)


cdef Py_ssize_t write_opt(
    uint8_t *out, const Question *question, int ede_code, const uint8_t *text, Py_ssize_t text_bytes, Py_ssize_t more_bytes=0
) noexcept nogil:
    """Our OPT record (RFC 6891), with Extended DNS Errors (RFC 8914) unless the code is NO_EDE, and the options that the query
    asked for. Returns its size."""
    cdef Py_ssize_t at = OPT_BYTES
    out[0] = 0
    put16(out + 1, TYPE_OPT)
    put16(out + 3, 1232)
    put32(out + 5, 0x8000 if question.want_dnssec else 0)
    if ede_code != NO_EDE:
        at += write_ede(out + at, ede_code, text, text_bytes)
        memcpy(out + at, text + text_bytes, more_bytes)
        at += more_bytes
    if question.option_bytes:
        memcpy(out + at, question.options, question.option_bytes)
        at += question.option_bytes
    put16(out + 9, <unsigned int>(at - OPT_BYTES))
    return at


cdef inline Py_ssize_t write_ede(uint8_t *out, int ede_code, const uint8_t *text, Py_ssize_t text_bytes) noexcept nogil:
    put16(out, OPTION_EDE)
    put16(out + 2, <unsigned int>(2 + text_bytes))
    put16(out + 4, <unsigned int>ede_code)
    memcpy(out + 6, text, text_bytes)
    return 6 + text_bytes
