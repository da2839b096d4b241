"""Who a client is and how much it may ask. `clients.pxd` has the shape, `pdns.core.clients` and `pdns.core.ratelimit` the specification."""

import os
import socket

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from pdns.fast.hashing cimport siphash

from pdns.core import clients as reference

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
    if is_ipv4(address):
        return f"{address[12]}.{address[13]}.{address[14]}.{address[15]}"
    return socket.inet_ntop(socket.AF_INET6, PyBytes_FromStringAndSize(<char *>address, ADDRESS_BYTES))


cdef bytes packed(str address):
    return socket.inet_pton(socket.AF_INET6, address) if ":" in address else _MAPPED + socket.inet_pton(socket.AF_INET, address)


cdef class ClientTable:
    """As `pdns.core.clients.ClientTable`, which it asks about addresses that it has not seen lately.

    The clients of the table `before` keep their numbers.
    """

    def __cinit__(self, access, tenants, policies, ClientTable before=None):
        self._hash_key = new_hash_key()
        self._reference = reference.ClientTable(access, tenants, policies, remember=False)
        self.clients = [] if before is None else before.clients
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
        client = self._reference.lookup(text_of(address))
        number = self._numbers.get(client)
        if number is None:
            number = self._numbers[client] = len(self.clients)
            self.clients.append(client)
        memcpy(oldest.address, address, ADDRESS_BYTES)
        oldest.used = self._lookups
        oldest.number, oldest.policy, oldest.allowed = number, client.policy, client.allowed
        return oldest


cdef class RateLimiter:
    """As `pdns.core.ratelimit.RateLimiter`."""

    def __cinit__(self, config, *, bint verified=False):
        self._hash_key = new_hash_key()
        self.action = config.action
        self._rate = (verified and config.verified_queries_per_s) or config.queries_per_s
        self._burst = config.burst
        self.on = self._rate > 0
        self._prefix_bits[0], self._prefix_bits[1] = 96 + config.ipv4_prefix, config.ipv6_prefix
        self._buckets = NULL
        if self.on:
            self._buckets = <Bucket *>calloc(SETS * WAYS, sizeof(Bucket))
            if self._buckets == NULL:
                raise MemoryError

    def __dealloc__(self):
        free(self._buckets)

    def admits(self, str address not None, double now):
        wanted = packed(address)
        return self.admits_address(<const uint8_t *>PyBytes_AS_STRING(wanted), now)

    cdef bint admits_address(self, const uint8_t *address, double now) noexcept nogil:
        cdef uint8_t prefix[ADDRESS_BYTES]
        cdef Bucket *ways
        cdef Bucket *bucket = NULL
        cdef int way, bits
        cdef double tokens
        if not self.on:
            return True
        memset(prefix, 0, ADDRESS_BYTES)
        bits = self._prefix_bits[0 if is_ipv4(address) else 1]
        memcpy(prefix, address, bits // 8)
        if bits % 8:
            prefix[bits // 8] = <uint8_t>(address[bits // 8] & (0xFF00 >> (bits % 8)))
        ways = &self._buckets[(siphash(self._hash_key, prefix, ADDRESS_BYTES) % SETS) * WAYS]
        for way in range(WAYS):
            if ways[way].used and memcmp(ways[way].prefix, prefix, ADDRESS_BYTES) == 0:
                bucket = &ways[way]
                break
        if bucket == NULL:  # the prefix that was quiet for longest starts afresh: a flood of prefixes limits nobody else
            bucket = ways
            for way in range(WAYS):
                if not ways[way].used:
                    bucket = &ways[way]
                    break
                if ways[way].at_s < bucket.at_s:
                    bucket = &ways[way]
            memcpy(bucket.prefix, prefix, ADDRESS_BYTES)
            bucket.used, bucket.tokens, bucket.at_s = True, self._burst, now
        tokens = bucket.tokens + (now - bucket.at_s) * self._rate
        if tokens > self._burst:
            tokens = self._burst
        bucket.at_s = now
        bucket.tokens = tokens - 1 if tokens >= 1 else tokens
        return tokens >= 1
