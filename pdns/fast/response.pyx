"""Plain responses. `response.pxd` has the contract."""

# specification: pdns/core/cacheable.py:cacheable

from libc.string cimport memcmp, memset

from pdns.fast.checks cimport must
from pdns.fast.wire cimport (
    AD, HEADER_BYTES, MAX_NAME_BYTES, OPCODE_MASK, QR, RCODE_MASK, TC, TYPE_OPT, Reader, check_options, fold, reader, seek,
    skip_name, take, u16, u32,
)  # fmt: skip

from pdns.wire import protocol as p
from pdns.wire.rdata import SHAPES, VARIABLE

cdef enum:
    TYPE_A = 1
    TYPE_CNAME = 5
    TYPE_SOA = 6
    TYPE_AAAA = 28
    TYPE_DNAME = 39
    TYPE_RRSIG = 46
    TYPE_NSEC = 47
    TYPE_NSEC3 = 50
    TYPE_SVCB = 64
    TYPE_HTTPS = 65
    TYPE_ANY = 255
    CLASS_IN = 1
    RCODE_NXDOMAIN = 3
    AT_QNAME = 0xC00C  # a pointer to the question
    POINTER = 0xC0
    LEAST_SOA_BYTES = 22
    TTL_SIGN_BIT = 0x80000000
    OPTION_EDE = 15
    TYPES = 261  # every type whose RDATA has names in it is below

cdef struct Names:  # `pdns.wire.rdata.Shape`
    uint8_t fixed
    uint8_t strings
    uint8_t count
    bint folded
    bint exact
    bint varies  # left to Python

cdef Names _names[TYPES]
memset(_names, 0, sizeof(_names))
for _rtype, _shape in SHAPES.items():
    _names[_rtype].fixed, _names[_rtype].strings, _names[_rtype].count = _shape.fixed, _shape.strings, _shape.names
    _names[_rtype].folded, _names[_rtype].exact = _shape.folded, _shape.exact
for _rtype in VARIABLE:
    _names[_rtype].varies = True
assert max(*SHAPES, *VARIABLE) < TYPES

cdef struct ResourceRecord:
    const uint8_t *start  # of the owner
    const uint8_t *rdata
    const uint8_t *end
    uint16_t rtype
    uint16_t rclass
    uint32_t ttl_s
    bint at_root


cdef bint read_record(Reader *r, Py_ssize_t size, ResourceRecord *out) noexcept nogil:
    """One record, checked as `pdns.wire.message` does. False when it is not sound."""
    cdef const uint8_t *head
    cdef uint16_t rdata_bytes
    out.start = r.at
    if skip_name(r, size, &out.at_root):
        return False
    head = take(r, 10)
    if head == NULL:
        return False
    out.rtype = u16(head)
    out.rclass = u16(head + 2)
    out.ttl_s = u32(head + 4)
    rdata_bytes = u16(head + 8)
    out.rdata = take(r, rdata_bytes)
    if out.rdata == NULL:
        return False
    out.end = r.at
    if out.rtype == TYPE_A or out.rtype == TYPE_AAAA:
        return out.rclass != CLASS_IN or rdata_bytes == (4 if out.rtype == TYPE_A else 16)
    if out.rtype < TYPES and _names[out.rtype].count:
        return has_sound_names(r, size, out)
    return out.rtype >= TYPES or not _names[out.rtype].varies


cdef bint has_sound_names(Reader *r, Py_ssize_t size, ResourceRecord *record) noexcept nogil:
    cdef Reader walk = r[0]
    cdef const Names *names = &_names[record.rtype]
    cdef bint is_root = False
    cdef const uint8_t *string
    cdef int left
    if not seek(&walk, (record.rdata - r.start) + names.fixed, size):
        return False
    for left in range(names.strings):
        string = take(&walk, 1)
        if string == NULL or string >= record.end or take(&walk, string[0]) == NULL:
            return False
    if walk.at > record.end:
        return False
    for left in range(names.count):
        if skip_name(&walk, size, &is_root) or walk.at > record.end:
            return False
    if names.exact and walk.at != record.end:
        return False
    return record.rtype != TYPE_SOA or record.end - record.rdata >= LEAST_SOA_BYTES


cdef bint has_our_label(const uint8_t *wire, const uint8_t *at) noexcept nogil:
    """Whether a label before the first pointer of the name at `at`, which was found sound, has capitals and is one of the
    question's, in the same letter case."""
    cdef const uint8_t *asked
    cdef int i
    while 0 < at[0] < POINTER:
        for i in range(1, at[0] + 1):
            if 65 <= at[i] <= 90:
                asked = wire + HEADER_BYTES
                while asked[0]:
                    if memcmp(asked, at, at[0] + 1) == 0:
                        return True
                    asked += 1 + asked[0]
                break
        at += 1 + at[0]
    return False


cdef bint has_our_case(Reader *r, Py_ssize_t size, const ResourceRecord *record) noexcept nogil:
    """Whether a name has the letter case that we asked in: then `pdns.core.cacheable` writes it anew."""
    cdef Reader walk = r[0]
    cdef const Names *names
    cdef bint is_root = False
    cdef int left
    if has_our_label(r.start, record.start):
        return True
    if record.rtype >= TYPES or not _names[record.rtype].folded:
        return False
    names = &_names[record.rtype]
    seek(&walk, (record.rdata - r.start) + names.fixed, size)
    for left in range(names.strings):
        take(&walk, walk.at[0] + 1)
    for left in range(names.count):
        if has_our_label(r.start, walk.at):
            return True
        skip_name(&walk, size, &is_root)
    return False


cdef inline uint32_t bounded(uint32_t ttl_s, const Bounds *bounds) noexcept nogil:
    if ttl_s & TTL_SIGN_BIT:
        return bounds.max_ttl_s
    if ttl_s > bounds.max_ttl_s:
        ttl_s = bounds.max_ttl_s
    return ttl_s if ttl_s > bounds.min_ttl_s else bounds.min_ttl_s


cdef Py_ssize_t expand(const uint8_t *wire, Py_ssize_t size, const uint8_t *start, uint8_t *out) noexcept nogil:
    """Writes the name at `start`, which was found sound. Returns its size."""
    cdef Reader walk = reader(wire, size)
    cdef const uint8_t *at
    cdef Py_ssize_t written = 0, i
    cdef uint8_t byte
    seek(&walk, start - wire, size)
    while True:
        at = take(&walk, 1)
        if at == NULL:
            return 0
        byte = at[0]
        if byte >= POINTER:
            at = take(&walk, 1)
            if at == NULL or not seek(&walk, ((byte & 63) << 8) | at[0], size):
                return 0
            continue
        at = take(&walk, byte)
        if at == NULL or written + 1 + byte > MAX_NAME_BYTES:
            return 0
        out[written] = byte
        fold(out + written + 1, at, byte)
        written += 1 + byte
        if byte == 0:
            return written


cdef bint is_at_or_below(const uint8_t *name, Py_ssize_t name_bytes, const uint8_t *above, Py_ssize_t above_bytes) noexcept nogil:
    cdef Py_ssize_t step
    while name_bytes > above_bytes:
        step = 1 + name[0]
        name += step
        name_bytes -= step
    return name_bytes == above_bytes and memcmp(name, above, name_bytes) == 0


cdef bint add_target(const uint8_t *wire, Py_ssize_t size, const uint8_t *start, Plain *out) noexcept nogil:
    cdef Name *target = &out.targets[out.target_count]
    if out.target_count >= MOST_TARGETS:
        return False
    target.bytes = <uint16_t>expand(wire, size, start, target.raw)
    out.target_count += 1
    return True


cdef inline void add_ttl(const ResourceRecord *record, const uint8_t *body, uint32_t ttl_s, Plain *out) noexcept nogil:
    must(out.ttl_count < MOST_TTLS)
    out.ttl_at[out.ttl_count] = <uint16_t>(record.rdata - 6 - body)
    out.ttl_s[out.ttl_count] = ttl_s
    out.ttl_count += 1
    if ttl_s < out.lifetime_s:
        out.lifetime_s = ttl_s


cdef bint is_new(const Plain *out, const uint8_t *qname, Py_ssize_t name_bytes) noexcept nogil:
    """Whether the last target is no name that the chain has had."""
    cdef const Name *last = &out.targets[out.target_count - 1]
    cdef int at
    if last.bytes == name_bytes and memcmp(last.raw, qname, name_bytes) == 0:
        return False
    for at in range(out.target_count - 1):
        if out.targets[at].bytes == last.bytes and memcmp(out.targets[at].raw, last.raw, last.bytes) == 0:
            return False
    return True


cdef bint may_turn(const ResourceRecord *record, const uint8_t *body, Plain *out) noexcept nogil:
    """Let an address take its turn. False when its record does not begin as those before it do."""
    cdef uint16_t at = <uint16_t>(record.start - body)
    cdef Py_ssize_t head_bytes = record.rdata - 10 - record.start
    if record.rtype != TYPE_A and record.rtype != TYPE_AAAA:
        return True
    if record.rclass != CLASS_IN:
        return False
    if out.turn_count == 0:
        out.turn_at, out.turn_bytes = at, <uint16_t>(record.end - record.start)
    elif record.end - record.start != out.turn_bytes or memcmp(record.start, body + out.turn_at, head_bytes) != 0:
        return False
    out.turn_count += 1
    return True


cdef bint read_answer(
    Reader *r, Py_ssize_t size, const uint8_t *key, Py_ssize_t name_bytes, const Bounds *bounds, bint *answered, Plain *out
) noexcept nogil:
    """The chain in its order, and behind it the records of the type that was asked for."""
    cdef const uint8_t *body = r.at
    cdef const uint8_t *end = NULL  # where the last name of the chain stands; NULL: it is the question's
    cdef uint8_t owner[MAX_NAME_BYTES]
    cdef Py_ssize_t owner_bytes
    cdef uint16_t at, qtype = u16(key + name_bytes)
    cdef ResourceRecord record
    cdef Name *last
    if out.ancount >= MOST_TTLS:  # one is left for an SOA
        return False
    for at in range(out.ancount):
        if not read_record(r, size, &record):
            return False
        if end == NULL:
            if u16(record.start) != AT_QNAME:
                return False
        elif record.start[0] < POINTER or (u16(record.start) & 0x3FFF) != end - r.start:
            last = &out.targets[out.target_count - 1]
            owner_bytes = expand(r.start, size, record.start, owner)
            if owner_bytes != last.bytes or memcmp(owner, last.raw, owner_bytes) != 0:
                return False
        if has_our_case(r, size, &record):
            return False
        add_ttl(&record, body, bounded(record.ttl_s, bounds), out)
        if record.rtype == qtype:
            answered[0] = True
            if not may_turn(&record, body, out):
                return False
        elif record.rtype == TYPE_CNAME and record.rclass == CLASS_IN and not answered[0]:
            if not add_target(r.start, size, record.rdata, out) or not is_new(out, key, name_bytes):
                return False
            end = record.rdata
        else:
            return False
        if record.rtype == TYPE_HTTPS or record.rtype == TYPE_SVCB:
            out.hints = True
            if record.rdata[2] != 0 and (end != NULL or not add_target(r.start, size, record.rdata + 2, out)):
                return False  # behind a chain: its last name must stay the last target
    return True


cdef bint read_authority(
    Reader *r, Py_ssize_t size, uint16_t count, const uint8_t *body, const uint8_t *key, Py_ssize_t name_bytes, bint want_dnssec,
    bint negative, const Bounds *bounds, Plain *out
) noexcept nogil:
    """Of a negative answer the SOA, which comes first; nothing of another."""
    cdef const uint8_t *end = key
    cdef Py_ssize_t end_bytes = name_bytes, owner_bytes
    cdef uint8_t owner[MAX_NAME_BYTES]
    cdef ResourceRecord record
    cdef uint32_t ttl_s
    cdef uint16_t at
    if negative and out.target_count:
        end, end_bytes = out.targets[out.target_count - 1].raw, out.targets[out.target_count - 1].bytes
    for at in range(count):
        if not read_record(r, size, &record):
            return False
        if want_dnssec and (record.rtype == TYPE_NSEC or record.rtype == TYPE_NSEC3 or record.rtype == TYPE_RRSIG):
            return False
        if not negative:
            continue
        if at:
            if record.rtype == TYPE_SOA:
                return False
            continue
        if record.rtype != TYPE_SOA:
            return False
        owner_bytes = expand(r.start, size, record.start, owner)
        if not is_at_or_below(end, end_bytes, owner, owner_bytes):
            return False
        if record.start[0] < POINTER and owner_bytes == name_bytes and memcmp(owner, key, name_bytes) == 0:
            return False  # in letter case that no client chose
        if has_our_case(r, size, &record):
            return False
        ttl_s = bounded(record.ttl_s, bounds)
        ttl_s = min(ttl_s, u32(record.end - 4), bounds.max_negative_ttl_s)
        add_ttl(&record, body, ttl_s, out)
        out.nscount = 1
        out.body_bytes = <uint16_t>(r.at - body)
    return not negative or out.nscount == 1


cdef bint has_ede(const uint8_t *option, const uint8_t *end) noexcept nogil:
    """Whether there is an Extended DNS Error among options that are sound."""
    while option < end:
        if u16(option) == OPTION_EDE:
            return True
        option += 4 + u16(option + 2)
    return False


cdef bint read_additional(Reader *r, Py_ssize_t size, uint16_t count, Plain *out) noexcept nogil:
    cdef ResourceRecord record
    cdef uint16_t at
    for at in range(count):
        if not read_record(r, size, &record):
            return False
        if record.rtype == TYPE_OPT:
            if out.edns or not record.at_root or record.ttl_s >> 24:
                return False
            out.edns = True
            if check_options(record.rdata, record.end - record.rdata) or has_ede(record.rdata, record.end):
                return False
    return True  # bytes after the last record are ignored


cdef bint read_plain(
    const uint8_t *wire, Py_ssize_t size, const uint8_t *key, Py_ssize_t name_bytes, bint want_dnssec, const Bounds *bounds, Plain *out
) noexcept nogil:
    cdef Reader r = reader(wire, size)
    cdef const uint8_t *head = take(&r, HEADER_BYTES)
    cdef const uint8_t *body
    cdef uint16_t flags, qtype = u16(key + name_bytes)
    cdef bint answered = False
    if head == NULL or size > MAX_RESPONSE_BYTES or take(&r, name_bytes + 4) == NULL:
        return False
    flags = u16(head + 2)
    if flags & (QR | OPCODE_MASK | TC) != QR or u16(head + 4) != 1 or qtype == TYPE_CNAME or qtype == TYPE_DNAME or qtype == TYPE_ANY:
        return False
    body = r.at
    out.rcode = flags & RCODE_MASK
    out.ad = flags & AD != 0
    out.edns = out.hints = False
    out.ancount, out.nscount, out.ttl_count, out.target_count = u16(head + 6), 0, 0, 0
    out.turn_at = out.turn_bytes = out.turn_count = 0
    out.lifetime_s = bounds.max_ttl_s
    if not read_answer(&r, size, key, name_bytes, bounds, &answered, out):
        return False
    if out.rcode != 0 and (out.rcode != RCODE_NXDOMAIN or answered):
        return False
    if out.turn_count < 2:
        out.turn_at = out.turn_bytes = out.turn_count = 0
    out.body_at = <uint16_t>(body - wire)
    out.body_bytes = <uint16_t>(r.at - body)
    return (
        read_authority(&r, size, u16(head + 8), body, key, name_bytes, want_dnssec, not answered, bounds, out)
        and read_additional(&r, size, u16(head + 10), out)
        and out.lifetime_s > 0
    )
