"""EDNS options in answers: DNS cookies (RFC 7873, computed as RFC 9018 says), edns-tcp-keepalive (RFC 7828), NSID (RFC 5001)."""

# kernel: pdns/fast/cookies.pyx

from __future__ import annotations

import hashlib
from ipaddress import ip_address

from pdns.config.schema import Server
from pdns.core.query import Query
from pdns.wire import protocol as p
from pdns.wire.transport import Transport

CLIENT_COOKIE_BYTES = 8
SERVER_COOKIE_BYTES = 16
ROLL_S = 86400  # each secret is used that long; the one before is believed for `VALID_S` more
VALID_S = 3600  # RFC 9018, 4.3
RENEW_S = 1800
AHEAD_S = 300
SECRET_BYTES = 16
_VERSION = b"\1\0\0\0"  # and three reserved bytes
_MASK = 0xFFFF_FFFF_FFFF_FFFF


class Options:
    """Reads the COOKIE, edns-tcp-keepalive and NSID options of queries, and makes those of their answers.

    `now` is in seconds of a clock that all who know the secret share.
    """

    def __init__(self, secret: bytes, server: Server) -> None:
        """`secret`: what the secrets of all days are derived from."""
        self._secret = secret
        self._days: dict[int, bytes] = {}
        self._keepalive = keepalive_option(server)
        self._nsid = nsid_option(server)

    def take_up(self, query: Query, address: str, transport: Transport, now: float) -> None:
        """Set what the answer to `query` says, and whether its client's address is proven: by TCP or by a valid cookie."""
        query.verified = transport.is_stream
        if query.cookie:
            option, valid = self._cookie(query.cookie, ip_address(address).packed, int(now))
            query.verified |= valid
            query.options = option
        if query.keepalive and transport.has_keepalive:
            query.options += self._keepalive
        if query.nsid:
            query.options += self._nsid

    def _cookie(self, cookie: bytes, client: bytes, now: int) -> tuple[bytes, bool]:
        client_cookie, server_cookie = cookie[:CLIENT_COOKIE_BYTES], cookie[CLIENT_COOKIE_BYTES:]
        age_s, valid = 0, False
        if len(server_cookie) == SERVER_COOKIE_BYTES and server_cookie[:4] == _VERSION:
            made = int.from_bytes(server_cookie[4:8])
            age_s = now - made
            valid = -AHEAD_S <= age_s <= VALID_S and server_cookie == make(self._secret_at(made), client_cookie, made, client)
        if not valid or age_s > RENEW_S:
            server_cookie = make(self._secret_at(now), client_cookie, now, client)
        data = client_cookie + server_cookie
        return p.EDNS_OPTION_COOKIE.to_bytes(2) + len(data).to_bytes(2) + data, valid

    def _secret_at(self, time_s: int) -> bytes:
        day = time_s // ROLL_S
        if day not in self._days:
            self._days = {day: secret_of(self._secret, day)}
        return self._days[day]


def keepalive_option(server: Server) -> bytes:
    """The edns-tcp-keepalive option, in units of 100 ms."""
    units = min(int(server.tcp_idle_timeout_s * 10), 0xFFFF)
    return p.EDNS_OPTION_KEEPALIVE.to_bytes(2) + b"\0\2" + units.to_bytes(2)


def nsid_option(server: Server) -> bytes:
    """The NSID option; empty without `server.identity`."""
    data = server.identity.encode("ascii")
    return p.EDNS_OPTION_NSID.to_bytes(2) + len(data).to_bytes(2) + data if data else b""


def secret_of(secret: bytes, day: int) -> bytes:
    """The secret that cookies of this day, counted in `ROLL_S`, are made with. It tells nothing of those of other days."""
    return hashlib.blake2b(day.to_bytes(8), key=secret, digest_size=SECRET_BYTES).digest()


def make(secret: bytes, client_cookie: bytes, time_s: int, client: bytes) -> bytes:
    """The server cookie for the client at the address `client`, 4 or 16 bytes (RFC 9018, 4)."""
    head = _VERSION + (time_s & 0xFFFF_FFFF).to_bytes(4)
    return head + siphash24(secret, client_cookie + head + client).to_bytes(8, "little")


def siphash24(key: bytes, data: bytes) -> int:
    """SipHash-2-4 (Aumasson and Bernstein)."""
    return siphash(key, data, 2, 4)


def siphash(key: bytes, data: bytes, rounds: int, last_rounds: int) -> int:
    """SipHash with so many rounds for each word, and so many at the end."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    data += bytes(7 - len(data) % 8) + bytes([len(data) & 0xFF])
    for at in range(0, len(data), 8):
        word = int.from_bytes(data[at : at + 8], "little")
        v[3] ^= word
        _rounds(v, rounds)
        v[0] ^= word
    v[2] ^= 0xFF
    _rounds(v, last_rounds)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _rounds(v: list[int], count: int) -> None:
    a, b, c, d = v
    for _ in range(count):
        a = (a + b) & _MASK
        b = _rotated(b, 13) ^ a
        a = _rotated(a, 32)
        c = (c + d) & _MASK
        d = _rotated(d, 16) ^ c
        a = (a + d) & _MASK
        d = _rotated(d, 21) ^ a
        c = (c + b) & _MASK
        b = _rotated(b, 17) ^ c
        c = _rotated(c, 32)
    v[:] = a, b, c, d


def _rotated(word: int, by: int) -> int:
    return (word << by | word >> (64 - by)) & _MASK
