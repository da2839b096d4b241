"""The answer cache. `cache.pxd` has its shape."""

# specification: pdns/reference/cache.py:ReferenceCache
# specification: pdns/core/entry.py:Entry
# specification: pdns/core/case.py:reference

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from pdns.fast.arena cimport Ring
from pdns.fast.query cimport Query
from pdns.fast.cache_record cimport (
    BLOCKED, LIVE, MAX_RECORD_BYTES, NO_EDE, SILENT, TRUNCATED, CacheRecord, body_of, ede_of, key_of, listed_of, ttls_of,
)  # fmt: skip
from pdns.fast.wire cimport HEADER_BYTES, KEY_TAIL_BYTES, Question, put16, u16, u32
from pdns.fast.xxh3 cimport XXH3_DIGEST_BYTES, XXH3_MOST_BYTES, xxh128, xxh128_head

from pdns.core import case
from pdns.core.block_answer import ede_room, fill
from pdns.core.entry import Entry, Verdict, ede_option
from pdns.wire.message import parse_options
from pdns.wire.names import to_text
from pdns.core.outcome import BLOCK_STORED, Answer

SOURCES = ("blocked", "cache", "upstream", "stale", "local", "refused", "error")
SOURCE_NUMBERS = {name: number for number, name in enumerate(SOURCES)}

cdef enum:
    MOST_ATTRIBUTIONS = 65535
    EDE_TEXT_ROOM = 208  # the last byte spelt may take three more than fit
    REFERENCE_BYTES = 9
    REFERENCE_DIGITS = 7
    SALT_BYTES = 16
    CLOSING = 41
    HYPHEN = 45
    DOT = 46
    MOST_PREPARED = 1024
    NXDOMAIN = 3


cdef class AnswerCache(Arena):
    """As `pdns.core.cache.AnswerCache`, but that `get` gives a copy."""

    def __cinit__(self, max_bytes, int fd=-1):
        self.attributions, self.structured = [(None, ())], [None]
        self._attribution_numbers = {(None, (), None): 0}
        self._prepared = {}

    def get(self, bytes key not None):
        cdef CacheRecord *record = self._find(key)
        if record == NULL:
            return None
        record.hits += 1
        record.visited = True
        return self.entry_of(record)

    def peek(self, bytes key not None):
        cdef CacheRecord *record = self._find(key)
        return None if record == NULL else self.entry_of(record)

    def keys_of(self, bytes name not None, bint below, uint64_t start, int most):
        """As `pdns.core.cache.AnswerCache.keys_of`. `start` is a place in a ring, whose lowest bit says which one: what moves from
        probation to the main ring meanwhile is met there."""
        cdef Ring *ring = &self._header.main if start & 1 else &self._header.probation
        cdef uint64_t place = start & ~<uint64_t>1
        cdef CacheRecord *record
        cdef list found = []
        place = max(place, ring.tail)
        while most > 0:
            if place >= ring.head:
                if ring == &self._header.main:
                    return found, -1
                ring = &self._header.main
                place = ring.tail
                continue
            record = self._at(ring, place)
            if record.state == LIVE and is_of(record, name, below):
                found.append(PyBytes_FromStringAndSize(<char *>key_of(record), record.key_bytes))
            place += record.size
            most -= 1
        return found, place | (ring == &self._header.main)

    def put(self, bytes key not None, entry):
        cdef CacheRecord shape
        cdef CacheRecord *record
        cdef bytes body = entry.body, counts = entry.counts, ede_text = b"", listed = b"", more_ede = b""
        cdef Py_ssize_t at
        verdict = entry.verdict
        memset(&shape, 0, sizeof(CacheRecord))
        shape.ede_code = NO_EDE
        if entry.ede is not None:
            shape.ede_code, ede_text = entry.ede
            more_ede = b"".join(map(ede_option, entry.more_ede))
        if verdict is not None:
            listed = verdict.listed
        shape.silent = TRUNCATED if entry.tcp_only else SILENT if entry.silent else 0
        number = self.attribution(verdict, entry.monitored, entry.structured)
        if PyBytes_GET_SIZE(key) > 0xFFFF or PyBytes_GET_SIZE(body) > MAX_RECORD_BYTES or number > MOST_ATTRIBUTIONS:
            self.remove(key)
            return False
        shape.source = SOURCE_NUMBERS[entry.source]
        shape.rules_epoch, shape.stored_s, shape.expires_s, shape.retry_s = entry.rules_epoch, entry.stored_s, entry.expires_s, entry.retry_s
        shape.route_mark = entry.route_mark
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
        """As `pdns.core.cache.AnswerCache.block`; a query that a fast path has taken up has the policy in its key."""
        cdef Prepared prepared = self.prepare(template)
        if self.block_as(&query.q, self.hash_of(query.q.key, query.q.key_bytes), prepared, listed_bytes, now) != NULL:
            return BLOCK_STORED
        qname = PyBytes_FromStringAndSize(<char *>query.q.key, query.q.name_bytes)
        entry = fill(template, qname, qname[query.q.name_bytes - listed_bytes :], now, self._header.rules_epoch)
        if prepared.shape.ttl_count > MOST_TTLS and entry.expires_s > now:
            self.put(PyBytes_FromStringAndSize(<char *>query.q.key, query.q.key_bytes), entry)
        return Answer(entry, "blocked")

    cdef CacheRecord *block_as(self, const Question *question, uint64_t hash, Prepared prepared, int listed_bytes, double now) except? NULL:
        """Keep the answer to `question`, whose key has that hash, as `block` does. NULL when it cannot be kept."""
        cdef CacheRecord shape
        cdef CacheRecord *record
        cdef uint8_t text[EDE_TEXT_ROOM]
        cdef const uint8_t *listed = question.key + question.name_bytes - listed_bytes
        cdef Py_ssize_t at
        if prepared.shape.expires_s <= 0 or prepared.shape.attribution == 0:
            return NULL
        memcpy(&shape, &prepared.shape, sizeof(CacheRecord))
        shape.rules_epoch = self._header.rules_epoch
        shape.stored_s = now
        shape.expires_s += now
        shape.key_bytes = question.key_bytes
        shape.listed_bytes = listed_bytes
        shape.ede_bytes = write_ede_text(prepared, listed, listed_bytes, text)
        record = self.begin_hashed(hash, question.key, &shape)
        if record == NULL:
            return NULL
        memcpy(body_of(record), PyBytes_AS_STRING(prepared.body), shape.body_bytes)
        if shape.nscount:
            put16(body_of(record), soa_owner(question, listed_bytes, shape.rcode))
        for at in range(shape.ttl_count):
            put16(ttls_of(record) + 2 * at, prepared.ttls[at])
        memcpy(ede_of(record), text, shape.ede_bytes)
        memcpy(listed_of(record), listed, listed_bytes)
        self.finish(record)
        return record

    cdef Prepared prepare(self, template):
        """What `block_as` needs of `template`."""
        cdef Prepared prepared = self._prepared.get(id(template))
        if prepared is None:
            if len(self._prepared) >= MOST_PREPARED:
                self._prepared.clear()
            prepared = self._prepared[id(template)] = Prepared.__new__(Prepared)
            entry = fill(template, b"\0", b"\0", 0.0, 0)
            prepared.template, prepared.body = template, entry.body
            prepared.ede_head, prepared.ede_tail, prepared.ede_room = template.ede_head, template.ede_tail, ede_room(template)
            prepared.case_key = template.case_key
            memset(&prepared.shape, 0, sizeof(CacheRecord))
            prepared.shape.source = BLOCKED
            prepared.shape.expires_s = template.ttl_s
            prepared.shape.rcode = entry.rcode
            prepared.shape.silent = TRUNCATED if entry.tcp_only else SILENT if entry.silent else 0
            prepared.shape.ede_code = entry.ede[0]
            prepared.shape.ancount, prepared.shape.nscount = int.from_bytes(entry.counts[:2]), int.from_bytes(entry.counts[2:])
            prepared.shape.body_bytes, prepared.shape.ttl_count = len(entry.body), len(entry.ttls)
            for at, (place, _) in enumerate(entry.ttls[:MOST_TTLS]):
                prepared.ttls[at] = place
            number = self.attribution(entry.verdict, entry.monitored, entry.structured)
            prepared.shape.attribution = number if number <= MOST_ATTRIBUTIONS and len(entry.ttls) <= MOST_TTLS else 0
        return prepared

    def allowed_again(self, bytes key not None, tuple monitored not None):
        cdef CacheRecord *record = self._find(key)
        number = self.attribution(None, monitored)
        if record != NULL and number <= MOST_ATTRIBUTIONS:
            record.rules_epoch = self._header.rules_epoch
            record.attribution = number

    def refreshing(self, bytes key not None):
        cdef CacheRecord *record = self._find(key)
        if record != NULL:
            record.refreshing = True

    def retry_after(self, bytes key not None, double retry_s):
        cdef CacheRecord *record = self._find(key)
        if record != NULL:
            record.retry_s = retry_s

    def remove(self, bytes key not None):
        cdef CacheRecord *record = self._find(key)
        if record != NULL:
            self.unlink(record)

    cdef int attribution(self, verdict, tuple monitored, structured=None) except -1:
        """The number of what blocks are counted by, and of their structured errors; above MOST_ATTRIBUTIONS when there are too many."""
        if verdict is None and not monitored and structured is None:
            return 0
        counted = (None if verdict is None else (verdict.feed, verdict.category, verdict.action, verdict.also), monitored)
        wanted = (*counted, structured)
        number = self._attribution_numbers.get(wanted)
        if number is None:
            number = len(self.attributions)
            if number > MOST_ATTRIBUTIONS:
                return number
            self.attributions.append(counted)
            self.structured.append(structured)
            self._attribution_numbers[wanted] = number
        return number

    cdef CacheRecord *_find(self, bytes key):
        return self.find(<const uint8_t *>PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))

    cdef entry_of(self, CacheRecord *record):
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
            route_mark=record.route_mark, more_ede=more_ede, structured=self.structured[record.attribution], rotation=(record.turn_at, record.turn_bytes, record.turn_count),
        )  # fmt: skip
        entry.expires_s = record.expires_s
        entry.retry_s = record.retry_s
        entry.hits = record.hits
        entry.visited = bool(record.visited)
        entry.refreshing = bool(record.refreshing)
        return entry


cdef bint is_of(CacheRecord *record, bytes name, bint below) except -1:
    """As `pdns.reference.cache.is_of`."""
    cdef const uint8_t *asked = key_of(record)
    cdef Py_ssize_t left = <Py_ssize_t>record.key_bytes - 4 - KEY_TAIL_BYTES, wanted = PyBytes_GET_SIZE(name)
    while below and left > wanted:
        left -= 1 + asked[0]
        asked += 1 + asked[0]
    return left == wanted and memcmp(asked, PyBytes_AS_STRING(name), wanted) == 0


# ---- parts of an answer to a listed name

cdef inline unsigned int soa_owner(const Question *question, int listed_bytes, uint16_t rcode) noexcept nogil:
    """As `pdns.core.answers.soa_owner`, of a name that ends in the listed one."""
    cdef unsigned int above = question.name_bytes - listed_bytes
    if rcode == NXDOMAIN and above == 0 and question.key[0]:
        above = 1 + question.key[0]
    return 0xC000 | (HEADER_BYTES + above)


# ---- the text of an Extended DNS Error

cdef uint16_t write_ede_text(Prepared prepared, const uint8_t *listed, int listed_bytes, uint8_t *out) except 0:
    """As `pdns.core.block_answer.ede_text`: the name in presentation format (RFC 1035, 5.1) between head and tail, cut where it is
    too long, then the case reference. `out` has EDE_TEXT_ROOM."""
    cdef const uint8_t *name = listed
    cdef const uint8_t *end_of_label
    cdef Py_ssize_t at = PyBytes_GET_SIZE(prepared.ede_head), end = at + prepared.ede_room, tail_bytes = PyBytes_GET_SIZE(prepared.ede_tail)
    memcpy(out, PyBytes_AS_STRING(prepared.ede_head), at)
    if name[0] == 0:
        out[at] = DOT
        at += 1
    while name[0] and at <= end:
        end_of_label = name + 1 + name[0]
        name += 1
        while name < end_of_label and at <= end:
            if _spelling[name[0]] == 1:
                out[at] = name[0]
                at += 1
            else:
                at += write_byte(out + at, name[0])
            name += 1
        if name == end_of_label and name[0] and at <= end:
            out[at] = DOT
            at += 1
    if at > end:
        at = end
        memset(out + at - 3, DOT, 3)
    memcpy(out + at, PyBytes_AS_STRING(prepared.ede_tail), tail_bytes)
    at += tail_bytes
    write_reference(out + at, prepared.case_key ^ name_key(listed, listed_bytes))
    at += REFERENCE_BYTES
    out[at] = CLOSING
    return <uint16_t>(at + 1)


cdef uint64_t name_key(const uint8_t *listed, int listed_bytes) except? 0:
    """As `pdns.core.case.name_key`."""
    cdef uint8_t salted[XXH3_MOST_BYTES]
    cdef uint8_t digest[XXH3_DIGEST_BYTES]
    if SALT_BYTES + listed_bytes > XXH3_MOST_BYTES:
        return case.name_key(PyBytes_FromStringAndSize(<const char *>listed, listed_bytes))
    memcpy(salted, _salt, SALT_BYTES)
    memcpy(salted + SALT_BYTES, listed, listed_bytes)
    xxh128(salted, SALT_BYTES + listed_bytes, digest)
    return xxh128_head(digest)


cdef inline void write_reference(uint8_t *out, uint64_t key) noexcept nogil:
    """As `pdns.core.case.spelt`."""
    cdef unsigned int digit, check = 0
    cdef int at
    for at in range(REFERENCE_DIGITS):
        digit = <unsigned int>(key >> (59 - 5 * at)) & 31
        check = (check << 1 ^ (37 if check & 16 else 0)) ^ digit
        out[at if at < 4 else at + 1] = _alphabet[digit]
    out[4] = HYPHEN
    out[8] = _alphabet[check << 1 ^ (37 if check & 16 else 0)]


cdef inline int write_byte(uint8_t *out, uint8_t byte) noexcept nogil:
    """One byte of a label as `pdns.wire.names.to_text` spells it: one, two or four characters."""
    cdef int kind = _spelling[byte]
    if kind == 1:
        out[0] = byte
    elif kind == 2:
        out[0] = 92  # a backslash
        out[1] = byte
    else:
        out[0] = 92
        out[1] = 48 + byte // 100
        out[2] = 48 + byte // 10 % 10
        out[3] = 48 + byte % 10
    return kind


cdef uint8_t _salt[SALT_BYTES]
memcpy(_salt, <const char *>(<bytes>case.SALT), SALT_BYTES)
cdef uint8_t _alphabet[32]
for _at, _char in enumerate(case.ALPHABET.encode()):
    _alphabet[_at] = _char
cdef uint8_t _spelling[256]  # how many characters it takes
for _byte in range(256):
    _spelling[_byte] = len(to_text(bytes([1, _byte, 0])))
