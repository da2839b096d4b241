"""DNS over HTTPS. `doh.pxd` has the contract."""

# specification: pdns/wire/doh.py:DohRequest
# specification: pdns/wire/doh.py:max_age_s

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int8_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memchr, memcmp, memcpy

from pdns.fast.wire cimport HEADER_BYTES, RCODE_MASK, TC, u16, u32

from pdns.wire import doh as specification

cdef enum:
    MAX_PATH_BYTES = 8192
    CONTENT_TYPE_BYTES = 23
    TYPE_SOA = 6
    LEAST_SOA_BYTES = 22
    NXDOMAIN = 3
    SIGN_BIT = 0x80000000
    POINTER = 0xC0
    REFUSALS_AT_MOST = 16
assert (MAX_PATH_BYTES, MAX_TOKEN_BYTES, MAX_BODY_BYTES, MAX_HEADERS_BYTES, FIELD_BYTES) == (
    specification.MAX_PATH_BYTES, specification.MAX_TOKEN_BYTES, specification.MAX_BODY_BYTES, specification.MAX_HEADERS_BYTES,
    specification.FIELD_BYTES,
)  # fmt: skip

cdef const uint8_t *_CONTENT_TYPE = b"application/dns-message"
assert len(specification.CONTENT_TYPE) == CONTENT_TYPE_BYTES

cdef int8_t _digits[256]  # of base64url; -1: no digit
for _byte in range(256):
    _digits[_byte] = -1
for _value, _digit in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"):
    _digits[ord(_digit)] = _value


cdef dict _texts = specification.REFUSALS  # keeps the texts alive
cdef Refusal[REFUSALS_AT_MOST] _refusals
cdef int _refusal_count = 0
for _status, _text in _texts.items():
    _refusals[_refusal_count].status = _status
    _refusals[_refusal_count].status_text = [48 + _status // 100, 48 + _status // 10 % 10, 48 + _status % 10]
    _refusals[_refusal_count].text, _refusals[_refusal_count].text_bytes = <const uint8_t *>PyBytes_AS_STRING(_text), PyBytes_GET_SIZE(_text)
    _refusal_count += 1


cdef const Refusal *refusal_of(int status) noexcept nogil:
    cdef int at
    for at in range(_refusal_count):
        if _refusals[at].status == status:
            return &_refusals[at]
    return refusal_of(400)


cdef void clear_fields(DohFields *fields) noexcept nogil:
    fields.header_bytes = 0
    fields.method = OTHER_METHOD
    fields.token_bytes = 0
    fields.path_status = 404
    fields.is_message = False


cdef void read_field(
    DohFields *fields, const DohPath *path, const uint8_t *name, size_t name_bytes, const uint8_t *value, size_t value_bytes,
    const uint8_t **dns, Py_ssize_t *dns_bytes,
) noexcept nogil:
    dns[0] = NULL
    if name_bytes + value_bytes > MAX_HEADERS_BYTES or fields.header_bytes > MAX_HEADERS_BYTES:
        fields.header_bytes = MAX_HEADERS_BYTES + 1
        return
    fields.header_bytes += <uint32_t>(FIELD_BYTES + name_bytes + value_bytes)
    if fields.header_bytes > MAX_HEADERS_BYTES:
        return
    if name_bytes == 7 and memcmp(name, b":method", 7) == 0:
        if value_bytes == 3 and memcmp(value, b"GET", 3) == 0:
            fields.method = GET
        elif value_bytes == 4 and memcmp(value, b"POST", 4) == 0:
            fields.method = POST
        else:
            fields.method = OTHER_METHOD
    elif name_bytes == 5 and memcmp(name, b":path", 5) == 0:
        read_path(fields, path, value, value_bytes, dns, dns_bytes)
    elif name_bytes == 12 and memcmp(name, b"content-type", 12) == 0:
        fields.is_message = is_dns_message(value, value_bytes)


cdef void read_path(
    DohFields *fields, const DohPath *path, const uint8_t *value, Py_ssize_t size, const uint8_t **dns, Py_ssize_t *dns_bytes
) noexcept nogil:
    cdef const uint8_t *mark
    cdef Py_ssize_t path_bytes, at
    cdef const uint8_t *token
    fields.path_status, fields.token_bytes = 404, 0
    if size > MAX_PATH_BYTES:
        fields.path_status = 414
        return
    mark = <const uint8_t *>memchr(value, b"?", size)
    path_bytes = size if mark == NULL else mark - value
    if path_bytes != path.base_bytes or memcmp(value, path.base, path_bytes) != 0:
        at = path_bytes - path.prefix_bytes - 1  # bytes of the token
        if not 0 < at <= MAX_TOKEN_BYTES or memcmp(value, path.base, path.prefix_bytes) != 0 or value[path.prefix_bytes] != b"/":
            return
        token = value + path.prefix_bytes + 1
        fields.token_bytes = <uint8_t>at
        for at in range(fields.token_bytes):
            if _digits[token[at]] < 0:
                return
        memcpy(fields.token, token, fields.token_bytes)
    fields.path_status = 0
    if mark != NULL:
        find_dns(mark + 1, value + size, dns, dns_bytes)


cdef void find_dns(const uint8_t *at, const uint8_t *end, const uint8_t **dns, Py_ssize_t *dns_bytes) noexcept nogil:
    """The value of the parameter `dns` if it is there once."""
    cdef const uint8_t *behind
    cdef bint found = False
    while at < end:
        behind = <const uint8_t *>memchr(at, b"&", end - at)
        if behind == NULL:
            behind = end
        if behind - at >= 4 and memcmp(at, b"dns=", 4) == 0:
            if found:
                dns[0] = NULL
                return
            found = True
            dns[0], dns_bytes[0] = at + 4, behind - at - 4
        at = behind + 1


cdef bint is_dns_message(const uint8_t *value, Py_ssize_t size) noexcept nogil:
    cdef const uint8_t *mark = <const uint8_t *>memchr(value, b";", size)
    cdef Py_ssize_t at
    cdef uint8_t byte
    if mark != NULL:
        size = mark - value
    while size > CONTENT_TYPE_BYTES and (value[size - 1] == b" " or value[size - 1] == b"\t"):
        size -= 1
    if size != CONTENT_TYPE_BYTES:
        return False
    for at in range(CONTENT_TYPE_BYTES):
        byte = value[at]
        if b"A" <= byte <= b"Z":
            byte |= 32
        if byte != _CONTENT_TYPE[at]:
            return False
    return True


cdef Py_ssize_t decode_base64url(const uint8_t *text, Py_ssize_t size, uint8_t *out) noexcept nogil:
    cdef Py_ssize_t at = 0, written = 0, rest = size & 3
    cdef int a, b, c, d
    if rest == 1:
        return 0
    while at + 4 <= size:
        a, b, c, d = _digits[text[at]], _digits[text[at + 1]], _digits[text[at + 2]], _digits[text[at + 3]]
        if (a | b | c | d) < 0:
            return 0
        out[written] = <uint8_t>(a << 2 | b >> 4)
        out[written + 1] = <uint8_t>(b << 4 | c >> 2)
        out[written + 2] = <uint8_t>(c << 6 | d)
        at += 4
        written += 3
    if rest:
        a, b, c = _digits[text[at]], _digits[text[at + 1]], (_digits[text[at + 2]] if rest == 3 else 0)
        if (a | b | c) < 0:
            return 0
        out[written] = <uint8_t>(a << 2 | b >> 4)
        written += 1
        if rest == 3:
            out[written] = <uint8_t>(b << 4 | c >> 2)
            written += 1
    return written


cdef int early_status(const DohFields *fields, Py_ssize_t dns_bytes) noexcept nogil:
    if fields.header_bytes > MAX_HEADERS_BYTES:
        return 431
    if fields.path_status:
        return fields.path_status
    if fields.method == GET:
        return 0 if dns_bytes else 400
    if fields.method != POST:
        return 405
    return 0 if fields.is_message else 415


cdef uint32_t max_age_of(const uint8_t *answer, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t at = HEADER_BYTES
    cdef uint32_t smallest = SIGN_BIT, ttl_s
    cdef int number, answers, rcode
    cdef uint16_t rtype, rdata_bytes
    if size < HEADER_BYTES:
        return 0
    rcode = u16(answer + 2) & RCODE_MASK
    if u16(answer + 2) & TC or (rcode != 0 and rcode != NXDOMAIN):
        return 0
    for number in range(u16(answer + 4)):
        at = behind_name(answer, size, at) + 4
    answers = u16(answer + 6)
    for number in range(answers + u16(answer + 8)):
        at = behind_name(answer, size, at) + 10
        if at > size:
            return 0
        rtype, ttl_s, rdata_bytes = u16(answer + at - 10), u32(answer + at - 6), u16(answer + at - 2)
        at += rdata_bytes
        if at > size:
            return 0
        ttl_s = 0 if ttl_s & SIGN_BIT else ttl_s
        if number < answers:
            smallest = ttl_s if ttl_s < smallest else smallest
        elif rtype == TYPE_SOA and rdata_bytes >= LEAST_SOA_BYTES:
            smallest = ttl_s if ttl_s < smallest else smallest
            ttl_s = u32(answer + at - 4)
            ttl_s = 0 if ttl_s & SIGN_BIT else ttl_s
            smallest = ttl_s if ttl_s < smallest else smallest
    return 0 if smallest == SIGN_BIT else smallest


cdef inline Py_ssize_t behind_name(const uint8_t *message, Py_ssize_t size, Py_ssize_t at) noexcept nogil:
    while at < size:
        if message[at] == 0:
            return at + 1
        if message[at] >= POINTER:
            return at + 2
        at += 1 + message[at]
    return size + 1


def max_age_s(bytes answer not None):
    """As the specification has it."""
    return max_age_of(<const uint8_t *>PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer))


def message_of(bytes value not None):
    """What `value`, base64url, decodes to; b"" if it is not that."""
    out = bytearray(len(value))
    cdef uint8_t[:] room = out if out else bytearray(1)
    cdef Py_ssize_t size = decode_base64url(<const uint8_t *>PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), &room[0])
    return bytes(out[:size])
