"""Reading messages off the wire. `wire.pxd` has the contract."""

# specification: pdns/reference/query.py:parse_query

from libc.string cimport memcpy


# ---- reading

cdef Reader reader(const uint8_t *wire, Py_ssize_t size) noexcept nogil:
    cdef Reader r
    r.start = wire
    r.at = wire
    r.left = size
    return r


cdef const uint8_t *take(Reader *r, Py_ssize_t n) noexcept nogil:
    cdef const uint8_t *taken = r.at
    must(r.left >= 0)
    if n < 0 or n > r.left:
        return NULL
    r.at += n
    r.left -= n
    return taken


cdef bint seek(Reader *r, Py_ssize_t to, Py_ssize_t size) noexcept nogil:
    if to < 0 or to > size:
        return False
    r.at = r.start + to
    r.left = size - to
    return True


# ---- a query

cdef Fault parse_question(const uint8_t *wire, Py_ssize_t size, Question *out) noexcept nogil:
    """As `pdns.reference.query.parse_query`. What is refused has `edns` set when it has an OPT record."""
    cdef Fault fault = read_question(wire, size, out)
    if fault != SOUND:
        out.edns = has_opt(wire, size)
    return fault


cdef inline Fault read_question(const uint8_t *wire, Py_ssize_t size, Question *out) noexcept nogil:
    """Everything that `pdns.reference.query.parse_query` looks at, in its order."""
    cdef Reader r = reader(wire, size)
    cdef const uint8_t *head = take(&r, HEADER_BYTES)
    cdef const uint8_t *at
    cdef Py_ssize_t i
    cdef uint8_t byte
    cdef uint16_t additionals
    if head == NULL:
        return SHORT_HEADER
    out.id = u16(head)
    out.flags = u16(head + 2)
    additionals = u16(head + 10)
    if out.flags & QR:
        return A_RESPONSE
    if out.flags & OPCODE_MASK:
        return UNKNOWN_OPCODE
    if u16(head + 4) != 1:
        return NOT_ONE_QUESTION
    if u32(head + 6) != 0:
        return HAS_ANSWERS
    while True:
        at = take(&r, 1)
        if at == NULL:
            return QUESTION_CUT
        byte = at[0]
        if byte == 0:
            break
        if byte > 63:
            return COMPRESSED
        if take(&r, byte) == NULL:
            return QUESTION_CUT
    at = take(&r, 4)
    if at == NULL:
        return QUESTION_CUT
    i = r.at - r.start - HEADER_BYTES
    if i > MAX_QUESTION_BYTES:
        return LONG_NAME
    out.bytes = <uint16_t>i
    out.name_bytes = <uint16_t>(i - 4)
    out.qtype = u16(at)
    out.qclass = u16(at + 2)
    memcpy(out.section, wire + HEADER_BYTES, i)
    fold(out.key, out.section, i - 4)
    memcpy(out.key + i - 4, at, 4)
    out.edns = False
    out.want_dnssec = False
    out.has_options = out.keepalive = out.nsid = out.structured = False
    out.cookie_bytes = out.option_bytes = 0
    out.udp_bytes = PLAIN_UDP_BYTES
    if additionals == 0:
        pass
    elif additionals == 1 and r.left >= OPT_BYTES and is_plain_opt(r.at):  # what most clients send
        out.edns = True
        out.want_dnssec = (r.at[7] & 0x80) != 0
        out.udp_bytes = u16(r.at + 3)
        if out.udp_bytes < PLAIN_UDP_BYTES:
            out.udp_bytes = PLAIN_UDP_BYTES
    else:
        i = parse_edns(&r, size, additionals, out)
        if i:
            return <Fault>i
    out.key[out.bytes] = <uint8_t>((1 if out.want_dnssec else 0) | (2 if out.flags & CD else 0))
    out.key_bytes = <uint16_t>(out.bytes + KEY_TAIL_BYTES)
    out.key[out.bytes + 1] = 0
    out.key[out.bytes + 2] = 0
    return SOUND


cdef inline bint is_plain_opt(const uint8_t *at) noexcept nogil:
    """Whether the 11 bytes at `at` are an OPT record of version 0 without options, with no flag but DO."""
    return at[0] == 0 and u16(at + 1) == TYPE_OPT and u16(at + 5) == 0 and u16(at + 7) & 0x7FFF == 0 and u16(at + 9) == 0


cdef Fault parse_edns(Reader *r, Py_ssize_t size, uint16_t additionals, Question *out) noexcept nogil:
    cdef const uint8_t *head
    cdef const uint8_t *rdata
    cdef uint16_t rdata_bytes, record
    cdef uint8_t version = 0
    cdef bint is_root = False
    cdef Fault fault
    for record in range(additionals):
        fault = skip_name(r, size, &is_root)
        if fault:
            return fault
        head = take(r, 10)
        if head == NULL:
            return RECORD_CUT
        rdata_bytes = u16(head + 8)
        rdata = take(r, rdata_bytes)
        if rdata == NULL:
            return RDATA_LEAVES
        if u16(head) != TYPE_OPT:
            continue
        if out.edns or not is_root:
            return TWO_OPTS
        out.edns = True
        out.udp_bytes = u16(head + 2)
        if out.udp_bytes < PLAIN_UDP_BYTES:
            out.udp_bytes = PLAIN_UDP_BYTES
        version = head[5]
        out.want_dnssec = (head[6] & 0x80) != 0
        fault = read_options(rdata, rdata_bytes, out)
        if fault:
            return fault
    return NEWER_EDNS if version else SOUND


cdef Fault read_options(const uint8_t *rdata, Py_ssize_t size, Question *out) noexcept nogil:
    """Checks the options of a query, and keeps those that its answer takes up."""
    cdef Reader r = reader(rdata, size)
    cdef const uint8_t *head
    cdef const uint8_t *data
    cdef uint16_t code, data_bytes
    cdef Fault fault = SOUND
    while r.left:
        head = take(&r, 4)
        if head == NULL:
            return OPTION_CUT
        code, data_bytes = u16(head), u16(head + 2)
        data = take(&r, data_bytes)
        if data == NULL:
            return OPTION_LEAVES
        if code == OPTION_COOKIE and out.cookie_bytes == 0 and fault == SOUND:
            if data_bytes != CLIENT_COOKIE_BYTES and not LEAST_COOKIES_BYTES <= data_bytes <= MOST_COOKIES_BYTES:
                fault = COOKIE_SIZE
                continue
            out.cookie_bytes = <uint8_t>data_bytes
            memcpy(out.cookie, data, data_bytes)
            out.has_options = True
        elif code == OPTION_KEEPALIVE:
            out.keepalive = out.has_options = True
        elif code == OPTION_NSID:
            out.nsid = out.has_options = True
        elif code == OPTION_STRUCTURED_ERROR:
            out.structured = True
    return fault


cdef Fault check_options(const uint8_t *rdata, Py_ssize_t size) noexcept nogil:
    cdef Reader r = reader(rdata, size)
    cdef const uint8_t *head
    while r.left:
        head = take(&r, 4)
        if head == NULL:
            return OPTION_CUT
        if take(&r, u16(head + 2)) == NULL:
            return OPTION_LEAVES
    return SOUND


cdef Fault skip_name(Reader *r, Py_ssize_t size, bint *is_root) noexcept nogil:
    """Past the name at `r`, which is checked as `pdns.wire.message.read_name` does: each pointer leads to before the
    place where the name so far began, and what it leads to ends there: loops cannot exist."""
    cdef Reader walk = r[0]
    cdef Py_ssize_t limit = r.at - r.start, behind = -1, length = 0, to
    cdef const uint8_t *at
    cdef uint8_t byte
    while True:
        at = take(&walk, 1)
        if at == NULL:
            return NAME_LEAVES
        byte = at[0]
        if byte == 0:
            break
        if byte < 64:
            length += 1 + byte
            if length >= MAX_NAME_BYTES:
                return NAME_OVER_255
            if take(&walk, byte) == NULL:
                return NAME_LEAVES
        elif byte >= 192:
            at = take(&walk, 1)
            if at == NULL:
                return POINTER_CUT
            if behind < 0:
                behind = walk.at - walk.start
            to = ((byte & 63) << 8) | at[0]
            if to >= limit or to < HEADER_BYTES:
                return POINTER_AHEAD
            seek(&walk, to, limit)
            limit = to
        else:
            return UNKNOWN_LABEL
    is_root[0] = length == 0
    if behind < 0:
        behind = walk.at - walk.start
    seek(r, behind, size)
    return SOUND


# ---- what is sent back for what is not a query

cdef bint has_opt(const uint8_t *wire, Py_ssize_t size) noexcept nogil:
    """As `pdns.core.query.has_opt`."""
    cdef Reader r = reader(wire, size)
    cdef const uint8_t *head = take(&r, HEADER_BYTES)
    cdef const uint8_t *owner
    cdef const uint8_t *record
    cdef uint32_t at, before, records
    if head == NULL:
        return False
    for at in range(u16(head + 4)):
        if not pass_name(&r) or take(&r, 4) == NULL:
            return False
    before = <uint32_t>u16(head + 6) + u16(head + 8)
    records = before + u16(head + 10)
    for at in range(records):
        owner = r.at
        if not pass_name(&r):
            return False
        record = take(&r, 10)
        if record == NULL or take(&r, u16(record + 8)) == NULL:
            return False
        if at >= before and u16(record) == TYPE_OPT and owner[0] == 0:
            return True
    return False


cdef inline bint pass_name(Reader *r) noexcept nogil:
    """Past the name at `r`, without following its pointers; False for what is no name."""
    cdef const uint8_t *at
    cdef uint8_t byte
    while True:
        at = take(r, 1)
        if at == NULL:
            return False
        byte = at[0]
        if byte == 0:
            return True
        if byte >= 192:
            return take(r, 1) != NULL
        if byte > 63 or take(r, byte) == NULL:
            return False


cdef int _rcodes[FAULTS]
_rcodes[:] = [
    0, -1, -1, 4, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 16, 1, 1, 1, 1, 1,
]  # fmt: skip


cdef int rcode_of(Fault fault) noexcept nogil:
    return _rcodes[<int>fault]


cdef Py_ssize_t write_refusal(const uint8_t *wire, Fault fault, const Question *question, uint8_t *out) noexcept nogil:
    """As `pdns.core.query.error_reply`."""
    cdef int rcode = _rcodes[<int>fault]
    cdef unsigned int opcode
    cdef Py_ssize_t size = HEADER_BYTES
    cdef bint has_question = fault >= RECORD_CUT
    if rcode < 0:
        return 0
    opcode = (wire[2] & 0x78) << 8
    out[0] = wire[0]
    out[1] = wire[1]
    put16(out + 2, QR | opcode | (0 if opcode else (wire[2] & 1) << 8) | (rcode & RCODE_MASK))
    put16(out + 4, 1 if has_question else 0)
    put32(out + 6, 0)
    put16(out + 10, 1 if question.edns else 0)
    if has_question:
        memcpy(out + size, question.section, question.bytes)
        size += question.bytes
    if question.edns:
        out[size] = 0
        put16(out + size + 1, TYPE_OPT)
        put16(out + size + 3, 1232)
        put32(out + size + 5, <uint32_t>(rcode >> 4) << 24)
        put16(out + size + 9, 0)
        size += 11
    return size
