"""Plain responses. `response.pxd` has the contract; `pdns.core.message`, `chain`, `responsecheck` and `distill` are the specification."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memset

from pdns.fast.wire cimport (
    AD, HEADER_BYTES, OPCODE_MASK, QR, RCODE_MASK, TC, TYPE_OPT, Reader, check_options, put32, reader, seek, skip_name, take, u16, u32,
)  # fmt: skip

from pdns.core import protocol as p
from pdns.core.entry import Entry
from pdns.core.message import RDATA_NAMES

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
    CLASS_IN = 1
    RCODE_NXDOMAIN = 3
    AT_QNAME = 0xC00C  # a pointer to the question
    POINTER = 0xC0
    LEAST_SOA_BYTES = 22
    TTL_SIGN_BIT = 0x80000000
    TYPES = 66  # every type whose RDATA has names in it is below

cdef struct Names:  # in the RDATA of a type: so many, behind so many octets
    uint8_t behind
    uint8_t count
    bint exact  # nothing may follow

cdef Names _names[TYPES]
memset(_names, 0, sizeof(_names))
for _rtype, (_behind, _count) in RDATA_NAMES.items():
    _names[_rtype].behind, _names[_rtype].count = _behind, _count
    _names[_rtype].exact = _rtype in (p.NS, p.CNAME, p.PTR, p.DNAME, p.MX)
assert max(RDATA_NAMES) < TYPES

cdef struct Record:
    const uint8_t *start  # of the owner
    const uint8_t *rdata
    const uint8_t *end
    uint16_t rtype
    uint32_t ttl_s
    bint at_root


cdef bint read_record(Reader *r, Py_ssize_t size, Record *out) noexcept nogil:
    """One record, checked as `pdns.core.message` does. False when it is not sound."""
    cdef const uint8_t *head
    cdef uint16_t rdata_bytes
    out.start = r.at
    if skip_name(r, size, &out.at_root):
        return False
    head = take(r, 10)
    if head == NULL:
        return False
    out.rtype = u16(head)
    out.ttl_s = u32(head + 4)
    rdata_bytes = u16(head + 8)
    out.rdata = take(r, rdata_bytes)
    if out.rdata == NULL:
        return False
    out.end = r.at
    if out.rtype == TYPE_A or out.rtype == TYPE_AAAA:
        return u16(head + 2) != CLASS_IN or rdata_bytes == (4 if out.rtype == TYPE_A else 16)
    if out.rtype < TYPES and _names[out.rtype].count:
        return has_sound_names(r, size, out)
    return True


cdef bint has_sound_names(Reader *r, Py_ssize_t size, Record *record) noexcept nogil:
    cdef Reader walk = r[0]
    cdef const Names *names = &_names[record.rtype]
    cdef bint is_root = False
    cdef int left
    if not seek(&walk, (record.rdata - r.start) + names.behind, size):
        return False
    for left in range(names.count):
        if skip_name(&walk, size, &is_root) or walk.at > record.end:
            return False
    if names.exact and walk.at != record.end:
        return False
    return record.rtype != TYPE_SOA or record.end - record.rdata >= LEAST_SOA_BYTES


cdef inline uint32_t bounded(uint32_t ttl_s, const Bounds *bounds) noexcept nogil:
    if ttl_s & TTL_SIGN_BIT:
        return bounds.max_ttl_s
    if ttl_s > bounds.max_ttl_s:
        ttl_s = bounds.max_ttl_s
    return ttl_s if ttl_s > bounds.min_ttl_s else bounds.min_ttl_s


cdef bint is_above(const uint8_t *wire, const uint8_t *start, Py_ssize_t name_bytes) noexcept nogil:
    """Whether the owner at `start` is a pointer to a label of the question, or the root where that is not the question."""
    cdef Py_ssize_t label = HEADER_BYTES, to
    if start[0] == 0:
        return name_bytes > 1
    if start[0] < POINTER:
        return False
    to = u16(start) & 0x3FFF
    while label < to and wire[label]:
        label += 1 + wire[label]
    return label == to


cdef bint leads_elsewhere(const Record *record, bint addresses_listed) noexcept nogil:
    """Whether feeds may have something to say of what the record leads to."""
    if record.rtype == TYPE_A or record.rtype == TYPE_AAAA:
        return addresses_listed
    if record.rtype == TYPE_HTTPS or record.rtype == TYPE_SVCB:
        return addresses_listed or record.rdata[2] != 0  # the target is the owner itself
    return record.rtype == TYPE_CNAME or record.rtype == TYPE_DNAME


cdef bint read_plain(
    const uint8_t *wire, Py_ssize_t size, const uint8_t *key, Py_ssize_t name_bytes, bint want_dnssec, bint addresses_listed,
    const Bounds *bounds, Plain *out
) noexcept nogil:
    cdef Reader r = reader(wire, size)
    cdef const uint8_t *head = take(&r, HEADER_BYTES)
    cdef const uint8_t *body
    cdef Record record
    cdef uint16_t flags, at, qtype = u16(key + name_bytes)
    cdef uint32_t soa_ttl_s
    cdef bint negative
    if head == NULL or size > MAX_RESPONSE_BYTES or take(&r, name_bytes + 4) == NULL:
        return False
    flags = u16(head + 2)
    if flags & (QR | OPCODE_MASK | TC) != QR or u16(head + 4) != 1:
        return False
    out.rcode = flags & RCODE_MASK
    out.ad = flags & AD != 0
    out.ancount = u16(head + 6)
    negative = out.ancount == 0
    if out.rcode != 0 and not (out.rcode == RCODE_NXDOMAIN and negative):
        return False
    body = r.at
    out.body_at = <uint16_t>(body - wire)
    out.lifetime_s = bounds.max_ttl_s
    for at in range(out.ancount):
        if not read_record(&r, size, &record):
            return False
        if record.rtype != qtype or u16(record.start) != AT_QNAME or leads_elsewhere(&record, addresses_listed):
            return False
        out.ttl_at[at] = <uint16_t>(record.rdata - 6 - body)
        out.ttl_s[at] = bounded(record.ttl_s, bounds)
        if out.ttl_s[at] < out.lifetime_s:
            out.lifetime_s = out.ttl_s[at]
    out.body_bytes = <uint16_t>(r.at - body)
    out.ttl_count = out.ancount
    out.nscount = 0
    for at in range(u16(head + 8)):
        if not read_record(&r, size, &record):
            return False
        if want_dnssec and (record.rtype == TYPE_NSEC or record.rtype == TYPE_NSEC3 or record.rtype == TYPE_RRSIG):
            return False
        if not negative:
            continue
        if at == 0:
            if record.rtype != TYPE_SOA or not is_above(wire, record.start, name_bytes):
                return False
            soa_ttl_s = bounded(record.ttl_s, bounds)
            if u32(record.end - 4) < soa_ttl_s:
                soa_ttl_s = u32(record.end - 4)
            if bounds.max_negative_ttl_s < soa_ttl_s:
                soa_ttl_s = bounds.max_negative_ttl_s
            if soa_ttl_s < out.lifetime_s:
                out.lifetime_s = soa_ttl_s
            out.ttl_at[0] = <uint16_t>(record.rdata - 6 - body)
            out.ttl_s[0] = soa_ttl_s
            out.body_bytes = <uint16_t>(r.at - body)
            out.ttl_count = out.nscount = 1
        elif record.rtype == TYPE_SOA:
            return False
    out.edns = False
    for at in range(u16(head + 10)):
        if not read_record(&r, size, &record):
            return False
        if record.rtype == TYPE_OPT:
            if out.edns or not record.at_root or record.ttl_s >> 24:
                return False
            out.edns = True
            if check_options(record.rdata, record.end - record.rdata):
                return False
    return r.left == 0 and out.ttl_count > 0 and out.lifetime_s > 0


def plain_entry(bytes wire not None, bytes key not None, config, bint do, bint addresses_listed, double now, int stamp):
    """The entry of a plain response; None for another. `key` begins with the question in lower case, which `wire` has."""
    cdef Plain plain
    cdef Bounds bounds
    cdef uint8_t ttl[4]
    cdef Py_ssize_t name_bytes = 0, at
    while key[name_bytes]:
        name_bytes += 1 + key[name_bytes]
    bounds.min_ttl_s, bounds.max_ttl_s, bounds.max_negative_ttl_s = config.min_ttl_s, config.max_ttl_s, config.max_negative_ttl_s
    if not read_plain(
        <const uint8_t *>PyBytes_AS_STRING(wire), PyBytes_GET_SIZE(wire), <const uint8_t *>PyBytes_AS_STRING(key), name_bytes + 1, do,
        addresses_listed, &bounds, &plain,
    ):  # fmt: skip
        return None
    body = bytearray(wire[plain.body_at : plain.body_at + plain.body_bytes])
    ttls = []
    for at in range(plain.ttl_count):
        put32(ttl, plain.ttl_s[at])
        body[plain.ttl_at[at] : plain.ttl_at[at] + 4] = ttl[:4]
        ttls.append((plain.ttl_at[at], plain.ttl_s[at]))
    return Entry(
        plain.rcode, "upstream", now, plain.lifetime_s, body=bytes(body), counts=plain.ancount.to_bytes(2) + plain.nscount.to_bytes(2),
        ttls=tuple(ttls), ad=bool(plain.ad), stamp=stamp,
    )  # fmt: skip
