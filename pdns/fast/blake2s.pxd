"""BLAKE2s with a key of 32 bytes and a digest of 16 (RFC 7693). The state behind the key is made once."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    static const uint32_t pdns_blake2s_iv[8] = {
        0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
    };
    static const uint8_t pdns_blake2s_sigma[10][16] = {
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
        {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
        {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
        {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
        {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    };
    """
    const uint32_t *pdns_blake2s_iv
    const uint8_t pdns_blake2s_sigma[10][16]

cdef enum:
    BLAKE2S_BLOCK_BYTES = 64
    BLAKE2S_KEY_BYTES = 32
    BLAKE2S_DIGEST_BYTES = 16


cdef inline uint32_t _rotr(uint32_t x, int by) noexcept nogil:
    return (x >> by) | (x << (32 - by))


cdef inline void _mix(uint32_t *v, int a, int b, int c, int d, uint32_t x, uint32_t y) noexcept nogil:
    v[a] += v[b] + x
    v[d] = _rotr(v[d] ^ v[a], 16)
    v[c] += v[d]
    v[b] = _rotr(v[b] ^ v[c], 12)
    v[a] += v[b] + y
    v[d] = _rotr(v[d] ^ v[a], 8)
    v[c] += v[d]
    v[b] = _rotr(v[b] ^ v[c], 7)


cdef inline void _compress(uint32_t *h, const uint8_t *block, uint32_t bytes_so_far, bint last) noexcept nogil:
    cdef uint32_t v[16]
    cdef uint32_t m[16]
    cdef const uint8_t *s
    cdef int at
    memcpy(m, block, BLAKE2S_BLOCK_BYTES)  # little-endian machines only, as blocksets
    for at in range(8):
        v[at], v[at + 8] = h[at], pdns_blake2s_iv[at]
    v[12] ^= bytes_so_far
    if last:
        v[14] = ~v[14]
    for at in range(10):
        s = pdns_blake2s_sigma[at]
        _mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]])
        _mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]])
        _mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]])
        _mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]])
        _mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]])
        _mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]])
        _mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]])
        _mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]])
    for at in range(8):
        h[at] ^= v[at] ^ v[at + 8]


cdef inline void blake2s_begin(uint32_t *state, const uint8_t *key) noexcept nogil:
    """Eight words for `blake2s_end`."""
    cdef uint8_t block[BLAKE2S_BLOCK_BYTES]
    memcpy(state, pdns_blake2s_iv, 32)
    state[0] ^= 0x01010000 ^ (BLAKE2S_KEY_BYTES << 8) ^ BLAKE2S_DIGEST_BYTES
    memset(block, 0, BLAKE2S_BLOCK_BYTES)
    memcpy(block, key, BLAKE2S_KEY_BYTES)
    _compress(state, block, BLAKE2S_BLOCK_BYTES, False)


cdef inline void blake2s_end(const uint32_t *state, const uint8_t *data, size_t size, uint8_t *digest) noexcept nogil:
    """The digest of `data`, at least one byte."""
    cdef uint8_t block[BLAKE2S_BLOCK_BYTES]
    cdef uint32_t h[8]
    cdef size_t at = 0
    memcpy(h, state, 32)
    while size - at > BLAKE2S_BLOCK_BYTES:
        at += BLAKE2S_BLOCK_BYTES
        _compress(h, data + at - BLAKE2S_BLOCK_BYTES, <uint32_t>(BLAKE2S_BLOCK_BYTES + at), False)
    memset(block, 0, BLAKE2S_BLOCK_BYTES)
    memcpy(block, data + at, size - at)
    _compress(h, block, <uint32_t>(BLAKE2S_BLOCK_BYTES + size), True)
    memcpy(digest, h, BLAKE2S_DIGEST_BYTES)
