"""XXH3, 128 bits, seed 0, for inputs of 17 to 240 bytes (the algorithm's description: doc/xxhash_spec.md of xxHash, XXH3)."""

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    static const uint8_t pdns_xxh3_secret[136] = {
        0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c,
        0xde, 0xd4, 0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f,
        0xcb, 0x79, 0xe6, 0x4e, 0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21,
        0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43, 0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c,
        0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb, 0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3,
        0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19, 0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8,
        0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7, 0xc7, 0x0b, 0x4f, 0x1d,
        0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78, 0x73, 0x64,
        0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3,
    };
    static inline uint64_t pdns_fold(uint64_t a, uint64_t b) {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    #define pdns_swapped(word) __builtin_bswap64(word)
    """
    const uint8_t *pdns_xxh3_secret
    uint64_t pdns_fold(uint64_t a, uint64_t b) noexcept nogil
    uint64_t pdns_swapped(uint64_t word) noexcept nogil  # little-endian, as all that is compiled here

cdef enum:
    XXH3_LEAST_BYTES = 17
    XXH3_MOST_BYTES = 240
    XXH3_DIGEST_BYTES = 16


cdef inline uint64_t _read64(const uint8_t *at) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, at, 8)
    return word


cdef inline uint64_t _mix16(const uint8_t *at, const uint8_t *secret) noexcept nogil:
    return pdns_fold(_read64(at) ^ _read64(secret), _read64(at + 8) ^ _read64(secret + 8))


cdef inline void _mix32(uint64_t *low, uint64_t *high, const uint8_t *first, const uint8_t *last, const uint8_t *secret) noexcept nogil:
    low[0] += _mix16(first, secret)
    low[0] ^= _read64(last) + _read64(last + 8)
    high[0] += _mix16(last, secret + 16)
    high[0] ^= _read64(first) + _read64(first + 8)


cdef inline uint64_t _avalanche(uint64_t hash) noexcept nogil:
    hash ^= hash >> 37
    hash *= <uint64_t>0x165667919E3779F9
    return hash ^ (hash >> 32)


cdef inline void _write64(uint8_t *out, uint64_t word) noexcept nogil:
    word = pdns_swapped(word)
    memcpy(out, &word, 8)


cdef inline uint64_t xxh128_head(const uint8_t *digest) noexcept nogil:
    """The first half of a digest as a number, most significant byte first."""
    return pdns_swapped(_read64(digest))


cdef inline void _mix_short(uint64_t *low, uint64_t *high, const uint8_t *data, size_t size) noexcept nogil:
    """Of 17 to 128 bytes."""
    if size > 96:
        _mix32(low, high, data + 48, data + size - 64, pdns_xxh3_secret + 96)
    if size > 64:
        _mix32(low, high, data + 32, data + size - 48, pdns_xxh3_secret + 64)
    if size > 32:
        _mix32(low, high, data + 16, data + size - 32, pdns_xxh3_secret + 32)
    _mix32(low, high, data, data + size - 16, pdns_xxh3_secret)


cdef inline void _mix_long(uint64_t *low, uint64_t *high, const uint8_t *data, size_t size) noexcept nogil:
    """Of 129 to 240 bytes."""
    cdef size_t at = 0
    while at < 128:
        _mix32(low, high, data + at, data + at + 16, pdns_xxh3_secret + at)
        at += 32
    low[0], high[0] = _avalanche(low[0]), _avalanche(high[0])
    while at + 32 <= size:
        _mix32(low, high, data + at, data + at + 16, pdns_xxh3_secret + 3 + at - 128)
        at += 32
    _mix32(low, high, data + size - 16, data + size - 32, pdns_xxh3_secret + 103)


cdef inline void xxh128(const uint8_t *data, size_t size, uint8_t *digest) noexcept nogil:
    """The digest as `xxhash.xxh128_digest` gives it: 16 bytes, most significant first."""
    cdef uint64_t low = size * <uint64_t>0x9E3779B185EBCA87, high = 0, whole
    if size > 128:
        _mix_long(&low, &high, data, size)
    else:
        _mix_short(&low, &high, data, size)
    whole = low * <uint64_t>0x9E3779B185EBCA87 + high * <uint64_t>0x85EBCA77C2B2AE63 + size * <uint64_t>0xC2B2AE3D27D4EB4F
    _write64(digest, <uint64_t>0 - _avalanche(whole))
    _write64(digest + 8, _avalanche(low + high))
