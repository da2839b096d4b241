"""Private addresses in answers. `private.pxd` has the contract."""

# specification: pdns/core/rebinding.py:PrivateAnswers

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcmp

from pdns.fast.response cimport Plain
from pdns.fast.wire cimport u16

cdef enum:
    TYPE_A = 1
    TYPE_AAAA = 28
    TYPE_SVCB = 64
    TYPE_HTTPS = 65
    TYPE_BEFORE_TTL = 4
    RDATA_BEHIND_TYPE = 10
    NAT64_BYTES = 17  # of a prefix in `Embeddings.nat64`
    POINTER = 0xC0
    KEY_IPV4HINT = 4
    KEY_IPV6HINT = 6

cdef const uint8_t *_MAPPED = b"\0\0\0\0\0\0\0\0\0\0\xff\xff"
cdef const uint8_t *_TRANSLATED = b"\0\0\0\0\0\0\0\0\xff\xff\0\0"
cdef const uint8_t *_COMPATIBLE = b"\0\0\0\0\0\0\0\0\0\0\0\0"
cdef const uint8_t *_WELL_KNOWN_NAT64 = b"\0\x64\xff\x9b\0\0\0\0\0\0\0\0"
cdef const uint8_t *_LOCAL_NAT64 = b"\0\x64\xff\x9b\0\1"
cdef const uint8_t *_TEREDO = b"\x20\x01\0\0"


cdef bint is_private_ipv4(const uint8_t *address) noexcept nogil:
    cdef uint8_t first = address[0], second = address[1]
    if first == 0 or first == 10 or first == 127:
        return True
    if first == 100:
        return second & 0xC0 == 64
    if first == 169:
        return second == 254
    if first == 172:
        return second & 0xF0 == 16
    return first == 192 and second == 168


cdef bint is_private_ipv6(const uint8_t *address, const uint8_t *nat64, Py_ssize_t count) noexcept nogil:
    cdef const uint8_t *prefix
    cdef bint is_own = False
    cdef uint8_t inside[4]
    cdef int i
    if address[0] & 0xFE == 0xFC or (address[0] == 0xFE and address[1] & 0x80):  # fc00::/7; fe80::/10 and fec0::/10
        return True
    if address[0] == 0 and is_private_ipv4(address + 12) and (
        memcmp(address, _MAPPED, 12) == 0
        or memcmp(address, _COMPATIBLE, 12) == 0  # :: and ::1 are in it, as 0.0.0.0 and 0.0.0.1
        or memcmp(address, _TRANSLATED, 12) == 0
        or memcmp(address, _WELL_KNOWN_NAT64, 12) == 0
    ):  # fmt: skip
        return True
    if address[0] == 0x20 and address[1] == 2 and is_private_ipv4(address + 2):  # 6to4
        return True
    if memcmp(address, _TEREDO, 4) == 0:
        for i in range(4):
            inside[i] = address[12 + i] ^ 0xFF
        if is_private_ipv4(address + 4) or is_private_ipv4(inside):
            return True
    if address[8] & 0xFD == 0 and address[9] == 0 and address[10] == 0x5E and address[11] == 0xFE:  # ISATAP
        if is_private_ipv4(address + 12):
            return True
    for i in range(count):
        prefix = nat64 + i * NAT64_BYTES
        if memcmp(address, prefix + 1, prefix[0]) == 0:
            is_own = True
            if is_private_behind(address, prefix[0], False):
                return True
    if not is_own and memcmp(address, _LOCAL_NAT64, 6) == 0:
        return (
            is_private_behind(address, 6, True) or is_private_behind(address, 7, True) or is_private_behind(address, 8, True)
            or is_private_ipv4(address + 12)
        )  # fmt: skip
    return False


cdef bint is_private_behind(const uint8_t *address, int at, bint exact) noexcept nogil:
    """Whether the IPv4 address behind a NAT64 prefix of `at` bytes is private. With `exact` it is not one where bits that must be
    zero are not."""
    cdef uint8_t inside[4]
    cdef int i, taken = 0
    if at == 12:
        return is_private_ipv4(address + 12)
    if exact and address[8] != 0:
        return False
    for i in range(at, 16):
        if i == 8:
            continue
        if taken < 4:
            inside[taken] = address[i]
            taken += 1
        elif exact and address[i] != 0:
            return False
    return is_private_ipv4(inside)


cdef bint has_private_hint(const uint8_t *rdata, const uint8_t *end, const uint8_t *nat64, Py_ssize_t count) noexcept nogil:
    """Whether a hint of an HTTPS or SVCB record, whose target was found sound, is private."""
    cdef const uint8_t *at = rdata + 2
    cdef const uint8_t *value
    cdef const uint8_t *behind
    cdef uint16_t key
    while at < end and 0 < at[0] < POINTER:
        at += 1 + at[0]
    at += 2 if at < end and at[0] >= POINTER else 1
    while end - at >= 4:
        key = u16(at)
        value = at + 4
        behind = value + u16(at + 2) if u16(at + 2) < end - value else end
        at = behind
        if key == KEY_IPV4HINT:
            while behind - value >= 4:
                if is_private_ipv4(value):
                    return True
                value += 4
        elif key == KEY_IPV6HINT:
            while behind - value >= 16:
                if is_private_ipv6(value, nat64, count):
                    return True
                value += 16
    return False


cdef bint has_private_address(const uint8_t *wire, const Plain *plain, bytes nat64) noexcept:
    cdef const uint8_t *prefixes = <const uint8_t *>PyBytes_AS_STRING(nat64)
    cdef Py_ssize_t count = PyBytes_GET_SIZE(nat64) // NAT64_BYTES
    cdef const uint8_t *record
    cdef const uint8_t *rdata
    cdef uint16_t rtype
    cdef int at
    for at in range(plain.ancount):
        record = wire + plain.body_at + plain.ttl_at[at] - TYPE_BEFORE_TTL
        rdata = record + RDATA_BEHIND_TYPE
        rtype = u16(record)
        if rtype == TYPE_A:
            if is_private_ipv4(rdata):
                return True
        elif rtype == TYPE_AAAA:
            if is_private_ipv6(rdata, prefixes, count):
                return True
        elif rtype == TYPE_HTTPS or rtype == TYPE_SVCB:
            if has_private_hint(rdata, rdata + u16(rdata - 2), prefixes, count):
                return True
    return False


def is_private(bytes packed not None, bytes nat64 not None):
    """Whether the address (4 or 16 bytes) is private, or an IPv4 address inside it."""
    cdef const uint8_t *address = <const uint8_t *>PyBytes_AS_STRING(packed)
    if PyBytes_GET_SIZE(packed) == 4:
        return is_private_ipv4(address)
    if PyBytes_GET_SIZE(packed) != 16:
        raise ValueError("expected 4 or 16 bytes")
    return is_private_ipv6(address, <const uint8_t *>PyBytes_AS_STRING(nat64), PyBytes_GET_SIZE(nat64) // NAT64_BYTES)


def hints_are_private(bytes rdata not None, bytes nat64 not None):
    """Whether the RDATA of an HTTPS or SVCB record has a private address in its hints."""
    cdef const uint8_t *start = <const uint8_t *>PyBytes_AS_STRING(rdata)
    return has_private_hint(
        start, start + PyBytes_GET_SIZE(rdata), <const uint8_t *>PyBytes_AS_STRING(nat64), PyBytes_GET_SIZE(nat64) // NAT64_BYTES
    )
