"""Who a client is and how much it may ask. `clients.pxd` has the shape."""

# specification: pdns/core/clients.py:ClientTable
# specification: pdns/reference/rate_limit.py:RateLimiter

import os
import socket

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING
from cpython.unicode cimport PyUnicode_FromString
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from pdns.fast.hashing cimport siphash

from pdns.core import clients as reference
from pdns.core import rate_limit
from pdns.core.enrolled import NO_CREDENTIAL_RULES

cdef extern from "<arpa/inet.h>" nogil:
    enum:
        AF_INET
        AF_INET6
        INET6_ADDRSTRLEN
    const char *inet_ntop(int family, const void *address, char *out, unsigned int size)

cdef extern from *:
    """
    #define load64(at) __atomic_load_n(at, __ATOMIC_RELAXED)
    #define exchange64(at, before, after) __atomic_compare_exchange_n(at, before, after, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)
    """
    uint64_t load64(const uint64_t *at) noexcept nogil
    bint exchange64(uint64_t *at, uint64_t *before, uint64_t after) noexcept nogil  # `before` becomes what was there, if it was not that

cdef enum:
    BUCKET_SETS = 32768  # as pdns.core.rate_limit has it
    TURNS = 8
    SECOND_NS = 1000000000
assert (BUCKET_SETS, WAYS, SECOND_NS) == (rate_limit.SETS, rate_limit.WAYS, rate_limit.SECOND_NS)

cdef object _BY_ADDRESS = reference.Identity(None)
cdef bytes _MAPPED = bytes(10) + b"\xff\xff"


cdef HashKey new_hash_key():
    cdef HashKey key
    drawn = os.urandom(16)
    memcpy(&key, <const char *>drawn, 16)
    return key


cdef bint is_ipv4(const uint8_t *address) noexcept nogil:
    cdef int at
    for at in range(10):
        if address[at]:
            return False
    return address[10] == 0xFF and address[11] == 0xFF


cdef object text_of(const uint8_t *address):
    cdef char text[INET6_ADDRSTRLEN]
    if is_ipv4(address):
        inet_ntop(AF_INET, address + 12, text, sizeof(text))
    else:
        inet_ntop(AF_INET6, address, text, sizeof(text))
    return PyUnicode_FromString(text)


cdef bytes packed(str address):
    return socket.inet_pton(socket.AF_INET6, address) if ":" in address else _MAPPED + socket.inet_pton(socket.AF_INET, address)


cdef class ClientTable:
    """As `pdns.core.clients.ClientTable`, which it asks about credentials, and about addresses that it has not seen lately.

    The clients of the table `before` keep their numbers.
    """

    def __cinit__(self, access, tenants, policies, translation=reference.ALL_ALIKE, credentials=NO_CREDENTIAL_RULES, ClientTable before=None):
        self._hash_key = new_hash_key()
        self._reference = reference.ClientTable(access, tenants, policies, translation, credentials, remember=False)
        self.clients = [] if before is None else before.clients
        self.tenants = [] if before is None else before.tenants
        self._numbers = {} if before is None else before._numbers
        self._known = <Known *>calloc(SETS * WAYS, sizeof(Known))
        if self._known == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self._known)

    def lookup(self, str address not None):
        try:
            wanted = packed(address)
        except OSError:
            raise ValueError(f"{address!r} is not an address") from None
        return self.clients[self.find(<const uint8_t *>PyBytes_AS_STRING(wanted)).number]

    cdef Known *find(self, const uint8_t *address) except NULL:
        """What is known of an address. Good until the next look-up."""
        cdef Known *ways = &self._known[(siphash(self._hash_key, address, ADDRESS_BYTES) % SETS) * WAYS]
        cdef Known *oldest = ways
        cdef int way
        self._lookups += 1
        for way in range(WAYS):
            if ways[way].used and memcmp(ways[way].address, address, ADDRESS_BYTES) == 0:
                ways[way].used = self._lookups
                return &ways[way]
            if ways[way].used < oldest.used:
                oldest = &ways[way]
        self._describe(address, self._reference.lookup(text_of(address)), oldest)
        return oldest

    def identify(self, str address not None, credential not None):
        cdef Known known
        wanted = packed(address)
        identity = self.find_credential(<const uint8_t *>PyBytes_AS_STRING(wanted), credential, &known)
        return identity._replace(client=self.clients[known.number])

    cdef object find_credential(self, const uint8_t *address, object credential, Known *out):
        """As `identify` of the specification; `out` describes the client."""
        if not (credential.token or credential.certificate_sha256 or credential.server_name in self._reference.server_names):
            memcpy(out, self.find(address), sizeof(Known))  # of most connections: their name is that of the resolver, no tenant's
            return _BY_ADDRESS
        identity = self._reference.identify(text_of(address), credential)
        self._describe(address, identity.client, out)
        return identity

    cdef int _describe(self, const uint8_t *address, object client, Known *out) except -1:
        number = self._numbers.get(client)
        if number is None:
            number = self._numbers[client] = len(self.clients)
            self.clients.append(client)
            self.tenants.append(client.tenant)
        memcpy(out.address, address, ADDRESS_BYTES)
        out.used = self._lookups
        out.number, out.policy, out.allowed = number, client.policy, client.allowed
        return 0


cdef class RateLimiter:
    """As `pdns.reference.rate_limit.RateLimiter`."""

    def __cinit__(self, config, memory=None, *, bint verified=False):
        cdef Py_buffer view
        self.action = config.action
        self._interval_ns, self._burst_ns = rate_limit.times_of(config, verified=verified)
        self.on = self._interval_ns > 0
        self._prefix_bits[0], self._prefix_bits[1] = 96 + config.ipv4_prefix, config.ipv6_prefix
        if not self.on:
            return
        self._memory = bytearray(rate_limit.MEMORY_BYTES) if memory is None else memory
        PyObject_GetBuffer(self._memory, &view, PyBUF_WRITABLE)
        try:
            if view.len != rate_limit.MEMORY_BYTES:
                raise ValueError(f"{view.len} bytes for the rate limit instead of {rate_limit.MEMORY_BYTES}")
            memcpy(&self._hash_key, view.buf, sizeof(HashKey))
            self._buckets = <Bucket *>(<uint8_t *>view.buf + <Py_ssize_t>rate_limit.HEADER_BYTES)
        finally:
            PyBuffer_Release(&view)  # the memory is there as long as this is
        self._hash_key.k1 ^= verified

    def admits(self, str address not None, double now):
        wanted = packed(address)
        return self.admits_address(<const uint8_t *>PyBytes_AS_STRING(wanted), now)

    cdef bint admits_address(self, const uint8_t *address, double now) noexcept nogil:
        cdef uint64_t now_ns, latest_ns, before_ns, full_ns, after_ns
        cdef Bucket *bucket
        cdef bint admitted
        if not self.on:
            return True
        now_ns = <uint64_t>(now * SECOND_NS)
        latest_ns = now_ns + self._burst_ns
        bucket = self._bucket(address, now_ns)
        before_ns = load64(&bucket.full_ns)
        while True:
            full_ns = before_ns if before_ns > now_ns else now_ns
            if full_ns > latest_ns:
                full_ns = latest_ns
            admitted = full_ns + self._interval_ns <= latest_ns
            after_ns = full_ns + self._interval_ns if admitted else full_ns
            if after_ns == before_ns or exchange64(&bucket.full_ns, &before_ns, after_ns):
                return admitted

    cdef Bucket *_bucket(self, const uint8_t *address, uint64_t now_ns) noexcept nogil:
        cdef uint8_t prefix[ADDRESS_BYTES]
        cdef Bucket *ways
        cdef Bucket *fullest
        cdef int way, bits, turn
        cdef uint64_t wanted, tag, full_ns, least_ns
        memset(prefix, 0, ADDRESS_BYTES)
        bits = self._prefix_bits[0 if is_ipv4(address) else 1]
        memcpy(prefix, address, bits // 8)
        if bits % 8:
            prefix[bits // 8] = <uint8_t>(address[bits // 8] & (0xFF00 >> (bits % 8)))
        wanted = siphash(self._hash_key, prefix, ADDRESS_BYTES) | 1
        ways = &self._buckets[(wanted >> 32) % BUCKET_SETS * WAYS]
        for way in range(WAYS):
            if load64(&ways[way].tag) == wanted:
                return &ways[way]
        for turn in range(TURNS):  # until a place is taken and no worker has taken one before it for the same prefix
            fullest, least_ns = ways, load64(&ways[0].full_ns)
            for way in range(1, WAYS):
                full_ns = load64(&ways[way].full_ns)
                if full_ns < least_ns:
                    fullest, least_ns = &ways[way], full_ns
            tag = load64(&fullest.tag)
            if exchange64(&fullest.tag, &tag, wanted) and least_ns > now_ns:
                exchange64(&fullest.full_ns, &least_ns, now_ns)
            for way in range(WAYS):
                if load64(&ways[way].tag) == wanted:
                    return &ways[way]
        return fullest  # of another prefix, whose query this counts as: that many workers at once are after this set
