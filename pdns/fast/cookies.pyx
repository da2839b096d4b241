"""Options in answers. `cookies.pxd` has the shape."""

# specification: pdns/core/cookies.py:Options

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from pdns.fast.clients cimport ADDRESS_BYTES, is_ipv4
from pdns.fast.hashing cimport siphash24
from pdns.fast.stats cimport TCP, TLS, UDP
from pdns.fast.wire cimport CLIENT_COOKIE_BYTES, KEEPALIVE_BYTES, MOST_NSID_BYTES, SERVER_COOKIE_BYTES, put16, put32, u32

from pdns.core import cookies as specification
from pdns.wire import protocol as p

cdef enum:
    HEAD_BYTES = 8  # of a server cookie: version, reserved, time
    MOST_HASHED_BYTES = 32

cdef int64_t _ROLL_S, _VALID_S, _RENEW_S, _AHEAD_S
_ROLL_S, _VALID_S, _RENEW_S, _AHEAD_S = specification.ROLL_S, specification.VALID_S, specification.RENEW_S, specification.AHEAD_S
cdef int _COOKIE = p.EDNS_OPTION_COOKIE


cdef class Options:
    """As `pdns.core.cookies.Options`."""

    def __init__(self, bytes secret not None, server):
        self._secret, self._keepalive, self._day = secret, specification.keepalive_option(server), -1
        self._nsid = specification.nsid_option(server)
        if len(self._nsid) > MOST_NSID_BYTES:
            raise ValueError(f"server.identity has more than {MOST_NSID_BYTES - 4} characters")

    cdef int _key_at(self, int64_t time_s) except -1:
        if time_s // _ROLL_S != self._day:
            self._day = time_s // _ROLL_S
            secret = specification.secret_of(self._secret, self._day)
            memcpy(&self._key, PyBytes_AS_STRING(secret), sizeof(HashKey))
        return 0

    cdef bint take_up(self, Question *question, const uint8_t *address, int transport, double now) except -1:
        cdef uint8_t expected[SERVER_COOKIE_BYTES]
        cdef uint8_t *given = question.cookie + CLIENT_COOKIE_BYTES
        cdef uint8_t *out = question.options
        cdef int64_t time_s = <int64_t>now, made, age_s = 0
        cdef bint valid = False
        if question.cookie_bytes:
            if question.cookie_bytes == CLIENT_COOKIE_BYTES + SERVER_COOKIE_BYTES and u32(given) == 0x01000000:
                made = u32(given + 4)
                age_s = time_s - made
                if -_AHEAD_S <= age_s <= _VALID_S:
                    self._key_at(made)
                    make(self._key, question.cookie, made, address, expected)
                    valid = memcmp(expected, given, SERVER_COOKIE_BYTES) == 0
            put16(out, _COOKIE)
            put16(out + 2, CLIENT_COOKIE_BYTES + SERVER_COOKIE_BYTES)
            memcpy(out + 4, question.cookie, CLIENT_COOKIE_BYTES)
            if valid and age_s <= _RENEW_S:
                memcpy(out + 4 + CLIENT_COOKIE_BYTES, given, SERVER_COOKIE_BYTES)
            else:
                self._key_at(time_s)
                make(self._key, question.cookie, time_s, address, out + 4 + CLIENT_COOKIE_BYTES)
            question.option_bytes = 4 + CLIENT_COOKIE_BYTES + SERVER_COOKIE_BYTES
        if (transport == TCP or transport == TLS) and question.keepalive:
            memcpy(out + question.option_bytes, PyBytes_AS_STRING(self._keepalive), KEEPALIVE_BYTES)
            question.option_bytes += KEEPALIVE_BYTES
        if question.nsid:
            memcpy(out + question.option_bytes, PyBytes_AS_STRING(self._nsid), PyBytes_GET_SIZE(self._nsid))
            question.option_bytes += <uint8_t>PyBytes_GET_SIZE(self._nsid)
        return transport != UDP or valid


cdef void make(HashKey key, const uint8_t *client_cookie, int64_t time_s, const uint8_t *address, uint8_t *out) noexcept nogil:
    cdef uint8_t hashed[MOST_HASHED_BYTES]
    cdef size_t before = ADDRESS_BYTES - 4 if is_ipv4(address) else 0
    cdef uint64_t digest
    put32(out, 0x01000000)
    put32(out + 4, <uint32_t>time_s)
    memcpy(hashed, client_cookie, CLIENT_COOKIE_BYTES)
    memcpy(hashed + CLIENT_COOKIE_BYTES, out, HEAD_BYTES)
    memcpy(hashed + CLIENT_COOKIE_BYTES + HEAD_BYTES, address + before, ADDRESS_BYTES - before)
    digest = siphash24(key, hashed, CLIENT_COOKIE_BYTES + HEAD_BYTES + ADDRESS_BYTES - before)
    memcpy(out + HEAD_BYTES, &digest, 8)
