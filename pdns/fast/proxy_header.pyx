"""The header of the PROXY protocol in a datagram, and who may send one. `proxy_header.pxd` has the contract."""

# specification: pdns/wire/proxy_header.py:parse_header
# specification: pdns/net/balancers.py:Balancers

from ipaddress import ip_network

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from pdns.fast.clients cimport ADDRESS_BYTES, is_ipv4, packed, text_of

from pdns.errors import WireError
from pdns.wire import proxy_header as specification

cdef enum:
    SIGNATURE_BYTES = 12
    FIXED_BYTES = 16
    MAX_BLOCK_BYTES = 536
    VERSION_1_BYTES = 6
    LOCAL = 0
    PROXY = 1
    INET = 1
    INET6 = 2
    UNIX = 3
    DATAGRAMS = 2
    INET_BYTES = 12  # two addresses, two ports
    INET6_BYTES = 36
    TLV_HEAD_BYTES = 3
    CRC32C = 3
    CRC32C_BYTES = 4
    MAPPED_BYTES = 12  # before an IPv4 address
assert (MAX_BLOCK_BYTES, FIXED_BYTES) == (specification.MAX_BLOCK_BYTES, specification.FIXED_BYTES)

cdef const uint8_t *_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
cdef const uint8_t *_VERSION_1 = b"PROXY "
cdef tuple _REASONS = (
    "", specification.NO_HEADER, specification.VERSION, specification.TOO_LONG, specification.MALFORMED, specification.NO_CLIENT,
)  # fmt: skip
cdef uint32_t _table[256]
for _byte in range(256):
    _table[_byte] = specification.crc32c_of_byte(_byte)


cdef class Balancers:
    """As `pdns.net.balancers.Balancers`, with at most 64 networks."""

    def __cinit__(self, networks):
        cdef int at, bit
        cdef Network *one
        texts = tuple(networks)
        if len(texts) > MAX_NETWORKS:
            raise ValueError(f"more than {MAX_NETWORKS} networks")
        for at, text in enumerate(texts):
            network = ip_network(text)
            one = &self._networks[at]
            prefix = packed(str(network.network_address))
            memcpy(one.prefix, PyBytes_AS_STRING(prefix), ADDRESS_BYTES)
            memset(one.mask, 0, ADDRESS_BYTES)
            one.ipv4 = network.version == 4
            for bit in range(8 * ADDRESS_BYTES - network.max_prefixlen + network.prefixlen):
                one.mask[bit // 8] |= 0x80 >> bit % 8
        self._count = len(texts)

    def __contains__(self, str address not None):
        wanted = packed(address)
        return self.has(<const uint8_t *>PyBytes_AS_STRING(wanted))

    cdef bint has(self, const uint8_t *address) noexcept nogil:
        cdef int at, byte
        cdef bint ipv4 = is_ipv4(address)
        cdef const Network *one
        for at in range(self._count):
            one = &self._networks[at]
            if one.ipv4 != ipv4:
                continue
            for byte in range(ADDRESS_BYTES):
                if address[byte] & one.mask[byte] != one.prefix[byte]:
                    break
            else:
                return True
        return False


cdef HeaderFault read_header(const uint8_t *wire, Py_ssize_t size, ProxyHeader *out) noexcept nogil:
    """Read the header that `wire` begins with. With a fault, what is in `out` means nothing."""
    cdef Py_ssize_t block_bytes
    cdef int command, family, protocol
    if size < SIGNATURE_BYTES or memcmp(wire, _SIGNATURE, SIGNATURE_BYTES) != 0:
        return VERSION if size >= VERSION_1_BYTES and memcmp(wire, _VERSION_1, VERSION_1_BYTES) == 0 else NO_HEADER
    if size < FIXED_BYTES:
        return MALFORMED
    if wire[12] >> 4 != 2:
        return VERSION
    block_bytes = wire[14] << 8 | wire[15]
    if block_bytes > MAX_BLOCK_BYTES:
        return TOO_LONG
    command, family, protocol = wire[12] & 0xF, wire[13] >> 4, wire[13] & 0xF
    if command > PROXY or FIXED_BYTES + block_bytes > size:
        return MALFORMED
    out.size, out.names_client, out.datagrams = FIXED_BYTES + block_bytes, command == PROXY, False
    if command == LOCAL:
        return HEADER_SOUND
    if family > UNIX or protocol > DATAGRAMS:
        return MALFORMED
    if family == 0 or family == UNIX or protocol == 0:
        return NO_CLIENT
    out.datagrams = protocol == DATAGRAMS
    if not _has_sound_tlvs(wire, FIXED_BYTES + (INET_BYTES if family == INET else INET6_BYTES), out.size):
        return MALFORMED
    if family == INET:
        memset(out.client, 0, MAPPED_BYTES - 2)
        memset(out.client + MAPPED_BYTES - 2, 0xFF, 2)
        memcpy(out.client + MAPPED_BYTES, wire + FIXED_BYTES, 4)
    else:
        memcpy(out.client, wire + FIXED_BYTES, ADDRESS_BYTES)
    return HEADER_SOUND if _is_a_clients(out.client) else NO_CLIENT


cdef bint _is_a_clients(const uint8_t *address) noexcept nogil:
    cdef int at
    if is_ipv4(address):
        return 0 < address[MAPPED_BYTES] < 224
    if address[0] == 0xFF:
        return False
    for at in range(ADDRESS_BYTES):
        if address[at]:
            return True
    return False


cdef bint _has_sound_tlvs(const uint8_t *wire, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """Whether TLVs fill the header from `at` to its `end`, with at most one checksum, which is right."""
    cdef Py_ssize_t checksum_at = 0, size
    cdef int kind
    while at < end:
        if at + TLV_HEAD_BYTES > end:
            return False
        kind, size = wire[at], wire[at + 1] << 8 | wire[at + 2]
        at += TLV_HEAD_BYTES
        if kind == CRC32C:
            if checksum_at or size != CRC32C_BYTES:
                return False
            checksum_at = at
        at += size
    return at == end and (checksum_at == 0 or _has_checksum(wire, checksum_at, end))


cdef bint _has_checksum(const uint8_t *wire, Py_ssize_t checksum_at, Py_ssize_t end) noexcept nogil:
    cdef uint32_t remainder = 0xFFFFFFFF, said = 0
    cdef Py_ssize_t at
    cdef uint8_t byte
    for at in range(end):
        byte = wire[at]
        if checksum_at <= at < checksum_at + CRC32C_BYTES:
            said = said << 8 | byte
            byte = 0
        remainder = remainder >> 8 ^ _table[(remainder ^ byte) & 0xFF]
    return <uint32_t>~remainder == said


cdef object reason_of(HeaderFault fault):
    return _REASONS[<int>fault]


def parse_header(bytes wire not None):
    cdef ProxyHeader header
    cdef HeaderFault fault = read_header(<const uint8_t *>PyBytes_AS_STRING(wire), PyBytes_GET_SIZE(wire), &header)
    if fault != HEADER_SOUND:
        raise WireError(reason_of(fault), rcode=None)
    client = text_of(header.client) if header.names_client else ""
    return specification.ProxyHeader(header.size, client, bool(header.datagrams))
